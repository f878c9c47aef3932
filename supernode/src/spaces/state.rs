//! What is known of one space in memory: its membership, and where its logs end.

use std::collections::BTreeMap;

use cosmic_common::{
    heads::Heads,
    id::{ChannelId, LogId, SpaceId},
};
use cosmic_custody::{
    Charge, Error as CustodyError, Quota, Tail, Usage, message::replica::SpaceHeads, quota::Allowance,
};
use cosmic_log::{chain::LogState, entry::Entry};
use cosmic_space::{
    admission::{Verdict, admit},
    membership::Membership,
    refusal::Refusal,
};

/// One space.
#[derive(Debug)]
pub(super) struct State {
    pub(super) space: SpaceId,
    pub(super) membership: Membership,
    pub(super) logs: BTreeMap<LogId, LogState>,
    /// What is not packed yet of them.
    pub(super) tails: BTreeMap<LogId, Tail>,
    /// The next place in the order of membership entries.
    pub(super) next_order: u64,
    pub(super) usage: Usage,
    pub(super) quota: Quota,
    /// What its sponsor may keep besides, if not whatever there is room for.
    pub(super) allowance: Option<Allowance>,
    /// Whether anything of the space was stored before.
    pub(super) known: bool,
}

/// What became of one entry.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is part of the space now, and to be stored; in the membership channel it has this place in the order.
    New { channel: ChannelId, order: Option<u64> },
    /// Its place is taken: compare.
    Placed,
    /// It waits for others.
    Waits(Refusal),
    /// It can never stand.
    Refused(Refusal),
    /// The space is full.
    Full(CustodyError),
}

impl State {
    pub(super) fn new(space: SpaceId, usage: Usage, quota: Quota) -> Self {
        let membership = Membership::new(space);
        let (logs, tails) = (BTreeMap::new(), BTreeMap::new());
        Self { space, membership, logs, tails, next_order: 0, usage, quota, allowance: None, known: false }
    }

    /// Takes in whatever may stand: whoever relays leaves room to those who keep.
    pub(super) const fn unlimited(&mut self) {
        self.quota = Quota { entry_bytes: u64::MAX, shard_bytes: u64::MAX };
        self.allowance = None;
    }

    /// Judges an entry and, if it may stand, moves on.
    pub(super) fn take(&mut self, entry: &Entry) -> Taken {
        let log = entry.core().log;
        let state = match admit(&self.membership, self.logs.get(&log), entry) {
            Verdict::Admit(state) => state,
            Verdict::Taken => return Taken::Placed,
            Verdict::Wait(missing) => return Taken::Waits(missing.into()),
            Verdict::Refuse(refusal) => return Taken::Refused(refusal),
        };
        if state.open().space != self.space {
            return Taken::Refused(Refusal::OtherSpace);
        }
        let bytes = u64::try_from(entry.as_bytes().len()).unwrap_or(u64::MAX);
        let charge = Charge::Entries { count: 1, bytes };
        let charged = self.usage.charged(charge, &self.quota).and_then(|usage| {
            Ok((usage, self.allowance.map(|allowance| allowance.charged(charge)).transpose()?))
        });
        let (usage, allowance) = match charged {
            Ok(charged) => charged,
            Err(error) => return Taken::Full(error),
        };
        let channel = state.open().channel;
        let mut order = None;
        if channel == self.membership.channel() {
            match self.membership.insert(entry) {
                Ok(_) => {}
                Err(refusal @ Refusal::Missing(_)) => return Taken::Waits(refusal),
                Err(refusal) => return Taken::Refused(refusal),
            }
            order = Some(self.next_order);
            self.next_order += 1;
        }
        (self.usage, self.allowance) = (usage, allowance);
        self.logs.insert(log, state);
        Taken::New { channel, order }
    }

    /// Where the logs end, by channel.
    pub(super) fn heads(&self) -> SpaceHeads {
        let mut heads: BTreeMap<ChannelId, Heads> = BTreeMap::new();
        for (log, state) in &self.logs {
            heads.entry(state.open().channel).or_default().insert(*log, state.head());
        }
        heads
    }
}
