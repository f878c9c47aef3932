//! What each peer may spend on each protocol, and all at one address together.

use std::{collections::HashMap, time::Duration};

use cosmic_common::{id::PeerId, protocol::Protocol, time::Timestamp};

use super::{
    bucket::{Bucket, Rate},
    config::Config,
    origin::{Block, Origin},
    places::Places,
    standing::Standing,
};

/// What may be saved up in a quiet while.
const BURST: Duration = Duration::from_secs(10);
/// Purses remembered; beyond that the full ones go first, then the fullest half. 2 MB.
const PURSES_MAX: usize = 16_384;

/// Members at one address may have as much together as so many of them: anybody can make a space, and be its member.
const MEMBERS_AT_ONE_ADDRESS: u64 = 4;

/// Who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Payer {
    Peer(PeerId, Protocol),
    Address(Block, Standing),
}

/// The table.
#[derive(Debug)]
pub(crate) struct Purses {
    purses: HashMap<Payer, (Bucket, Rate)>,
    stranger: Rate,
    member: Rate,
    /// Of all members at one address.
    members: Rate,
}

impl Purses {
    pub(crate) fn new(config: &Config) -> Self {
        let rate = |us_per_sec| Rate::new(us_per_sec, BURST);
        Self {
            purses: HashMap::new(),
            stranger: rate(config.stranger_us_per_sec),
            member: rate(config.member_us_per_sec),
            members: rate(config.member_us_per_sec.saturating_mul(MEMBERS_AT_ONE_ADDRESS)),
        }
    }

    /// `peer` has caused so many `units` on `protocol`: how long it should be made to wait before it may cause more. The ring
    /// never waits.
    pub(crate) fn charge(
        &mut self,
        (peer, standing): (PeerId, Standing),
        protocol: Protocol,
        origin: Option<(Origin, &Places)>,
        units: u64,
        now: Timestamp,
    ) -> Duration {
        let (own, all) = match standing {
            Standing::Ring => return Duration::ZERO,
            Standing::Member => (self.member, origin.map(|(origin, _)| (origin, self.members))),
            Standing::Stranger => {
                let shared = |(origin, places): (Origin, &Places)| {
                    (origin, Rate::new(places.limits(origin).strangers_us_per_sec, BURST))
                };
                (self.stranger, origin.map(shared))
            }
        };
        let wait = self.owe(Payer::Peer(peer, protocol), own, units, now);
        // Anybody makes as many keys as he wants; addresses are dearer.
        let shared =
            all.map(|(origin, rate)| self.owe(Payer::Address(origin.host, standing), rate, units, now));
        wait.max(shared.unwrap_or_default())
    }

    fn owe(&mut self, payer: Payer, rate: Rate, units: u64, now: Timestamp) -> Duration {
        if self.purses.len() >= PURSES_MAX && !self.purses.contains_key(&payer) {
            self.forget(now);
        }
        let (bucket, known) = self.purses.entry(payer).or_insert_with(|| (Bucket::full(rate, now), rate));
        if *known != rate {
            // A stranger has proven something, or a member's hour has passed.
            (*bucket, *known) = (Bucket::full(rate, now), rate);
        }
        bucket.owe(rate, units, now)
    }

    fn forget(&mut self, now: Timestamp) {
        self.purses.retain(|_payer, (bucket, rate)| !bucket.is_full(*rate, now));
        if self.purses.len() < PURSES_MAX {
            return;
        }
        let mut purses: Vec<_> =
            self.purses.iter().map(|(payer, (bucket, rate))| (bucket.missing(*rate), *payer)).collect();
        purses.sort_unstable();
        for (_, payer) in purses.iter().take(purses.len().div_ceil(2)) {
            self.purses.remove(payer);
        }
    }
}

#[cfg(test)]
mod tests;
