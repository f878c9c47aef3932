//! The ledger of a session: for each log, what either side has, was told, was sent, and owes.
//!
//! All figures count entries from the start of the log, so 0 is "none" and a head at `seq` is `seq + 1`.
//! What is to be done follows from the figures; [`Ledger::change`] keeps the index of it, so that
//! no step of the session walks over all logs.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    heads::{Head, Heads},
    id::{ChannelId, LogId},
};

use crate::{
    config::{CHANNELS_MAX, LOGS_MAX},
    refusal::Refusal,
};

/// Membership goes before everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Membership,
    Content,
}

/// Why a log takes no part for the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Its entries wait for membership entries; over when membership moves.
    Waiting,
    /// This replica will not take it in this session.
    Aside,
}

/// One log as both sides are known to have it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) channel: ChannelId,
    /// The end of the log here.
    pub(crate) mine: Option<Head>,
    /// Entries the peer is known to have.
    pub(crate) theirs: u64,
    /// Entries of ours the peer knows about.
    pub(crate) told: u64,
    /// Entries of ours the peer fetches by itself if it wants them: told as heads, not pushed.
    pub(crate) offered: u64,
    /// Entries the peer has or that are on their way to it.
    pub(crate) sent: u64,
    /// Entries here or on their way into our store; ahead of `mine` while a store is under way.
    pub(crate) received: u64,
    /// The end of the range asked of the peer; 0 if nothing is.
    pub(crate) asked: u64,
    /// Entries in the head set of the last round.
    pub(crate) agreed: u64,
    pub(crate) held: Option<Held>,
    /// Batches with entries of this log that are accepted and not answered by our store.
    pub(crate) arriving: usize,
    /// Set once our store has left out part of the log, until all that is arriving is answered: how often
    /// membership had moved when the first batch left out went to the store.
    pub(crate) left_out: Option<u64>,
}

impl View {
    fn new(channel: ChannelId) -> Self {
        Self {
            channel,
            mine: None,
            theirs: 0,
            told: 0,
            offered: 0,
            sent: 0,
            received: 0,
            asked: 0,
            agreed: 0,
            held: None,
            arriving: 0,
            left_out: None,
        }
    }

    /// Entries here.
    pub(crate) fn count(&self) -> u64 {
        count(self.mine.as_ref())
    }

    /// The head here moves forward; `false` if it was there already.
    pub(crate) fn advance(&mut self, head: Head) -> bool {
        let moved = count(Some(&head)) > self.count();
        if moved {
            self.mine = Some(head);
            self.arrive(self.count());
        }
        moved
    }

    /// Entries up to `end` are here or about to be.
    pub(crate) fn arrive(&mut self, end: u64) {
        self.received = self.received.max(end);
        if self.asked <= self.received {
            self.asked = 0;
        }
    }

    /// The peer turns out to have `end` entries.
    pub(crate) fn peer_has(&mut self, end: u64) {
        self.theirs = self.theirs.max(end);
        self.sent = self.sent.max(self.theirs);
    }

    /// Forgets what was on its way, so that it is asked for again.
    pub(crate) fn start_over(&mut self) {
        self.received = self.count();
        self.asked = 0;
    }

    /// Whether entries of the log can be taken in now.
    pub(crate) fn is_taken(&self) -> bool {
        self.held.is_none() && self.left_out.is_none()
    }

    fn to_ask(&self) -> bool {
        self.is_taken() && self.asked == 0 && self.received < self.theirs
    }

    fn to_push(&self) -> bool {
        self.held != Some(Held::Aside) && self.sent >= self.offered && self.count() > self.sent
    }

    fn to_tell(&self) -> bool {
        self.told < self.count() && self.count() <= self.theirs
    }

    fn is_missing(&self) -> bool {
        self.held.is_none() && self.count() < self.theirs
    }
}

pub(crate) fn count(head: Option<&Head>) -> u64 {
    head.map_or(0, |head| head.seq.saturating_add(1))
}

/// Logs of one tier by what is to be done about them.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// To be asked for.
    pub(crate) ask: BTreeSet<LogId>,
    /// Grown beyond what the peer has or was offered.
    pub(crate) push: BTreeSet<LogId>,
    /// Not all here that the peer has.
    pub(crate) missing: BTreeSet<LogId>,
}

/// All logs the two sides may speak about.
#[derive(Debug)]
pub(crate) struct Ledger {
    membership: ChannelId,
    logs: BTreeMap<LogId, View>,
    channels: BTreeMap<ChannelId, BTreeSet<LogId>>,
    membership_due: Due,
    content_due: Due,
    /// Held completely as far as the peer is known to have them, without the peer knowing.
    pub(crate) to_tell: BTreeSet<LogId>,
    /// With a range asked for.
    pub(crate) asking: BTreeSet<LogId>,
    /// Held until membership moves.
    pub(crate) waiting: BTreeSet<LogId>,
    /// Told beyond the head set of the last round, by either side.
    pub(crate) moved: BTreeSet<LogId>,
}

impl Ledger {
    pub(crate) fn new(membership: ChannelId) -> Self {
        Self {
            membership,
            logs: BTreeMap::new(),
            channels: BTreeMap::new(),
            membership_due: Due::default(),
            content_due: Due::default(),
            to_tell: BTreeSet::new(),
            asking: BTreeSet::new(),
            waiting: BTreeSet::new(),
            moved: BTreeSet::new(),
        }
    }

    pub(crate) fn tier(&self, channel: &ChannelId) -> Tier {
        if *channel == self.membership { Tier::Membership } else { Tier::Content }
    }

    pub(crate) fn due(&self, tier: Tier) -> &Due {
        match tier {
            Tier::Membership => &self.membership_due,
            Tier::Content => &self.content_due,
        }
    }

    pub(crate) fn view(&self, log: &LogId) -> Option<&View> {
        self.logs.get(log)
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = (&LogId, &View)> {
        self.logs.iter()
    }

    /// The logs of `channel`, in order.
    pub(crate) fn logs_of(&self, channel: &ChannelId) -> impl Iterator<Item = (&LogId, &View)> {
        self.channels
            .get(channel)
            .into_iter()
            .flatten()
            .filter_map(|log| self.logs.get(log).map(|view| (log, view)))
    }

    /// The heads here of `channel`.
    pub(crate) fn heads_of(&self, channel: &ChannelId) -> Heads {
        self.logs_of(channel).filter_map(|(log, view)| view.mine.map(|head| (*log, head))).collect()
    }

    /// Makes room for a log, or finds it in another channel than said.
    pub(crate) fn admit(&mut self, channel: ChannelId, log: LogId) -> Result<(), Refusal> {
        if let Some(view) = self.logs.get(&log) {
            return if view.channel == channel { Ok(()) } else { Err(Refusal::LogMoved(log)) };
        }
        if self.logs.len() >= LOGS_MAX {
            return Err(Refusal::TooManyLogs);
        }
        if self.channels.len() >= CHANNELS_MAX && !self.channels.contains_key(&channel) {
            return Err(Refusal::TooManyChannels);
        }
        self.channels.entry(channel).or_default().insert(log);
        self.logs.insert(log, View::new(channel));
        Ok(())
    }

    /// Forgets the channels that are not shared.
    pub(crate) fn keep_channels(&mut self, shared: impl Fn(&ChannelId) -> bool) {
        self.channels.retain(|channel, _| shared(channel));
        let gone: Vec<LogId> = self
            .logs
            .iter()
            .filter(|(_, view)| !self.channels.contains_key(&view.channel))
            .map(|(log, _)| *log)
            .collect();
        for log in gone {
            self.logs.remove(&log);
            self.unlist(&log);
        }
    }

    /// Changes one log and brings the index up to date; `None` if the log is unknown.
    pub(crate) fn change<R>(&mut self, log: &LogId, change: impl FnOnce(&mut View) -> R) -> Option<R> {
        let view = self.logs.get_mut(log)?;
        let result = change(view);
        let due =
            if view.channel == self.membership { &mut self.membership_due } else { &mut self.content_due };
        list(&mut due.ask, *log, view.to_ask());
        list(&mut due.push, *log, view.to_push());
        list(&mut due.missing, *log, view.is_missing());
        list(&mut self.to_tell, *log, view.to_tell());
        list(&mut self.asking, *log, view.asked > 0);
        list(&mut self.waiting, *log, view.held == Some(Held::Waiting));
        list(&mut self.moved, *log, view.told.max(view.theirs) > view.agreed);
        Some(result)
    }

    fn unlist(&mut self, log: &LogId) {
        for due in [&mut self.membership_due, &mut self.content_due] {
            for set in [&mut due.ask, &mut due.push, &mut due.missing] {
                set.remove(log);
            }
        }
        for set in [&mut self.to_tell, &mut self.asking, &mut self.waiting, &mut self.moved] {
            set.remove(log);
        }
    }
}

fn list(set: &mut BTreeSet<LogId>, log: LogId, belongs: bool) {
    if belongs {
        set.insert(log);
    } else {
        set.remove(&log);
    }
}
