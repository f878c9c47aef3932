//! Repute: how far a holder is trusted with more. Lost quickly, regained slowly.

use cosmic_common::time::Timestamp;

use super::evidence::Finding;

/// A holder nobody has complained about.
pub const REPUTE_FULL: u16 = 1000;
/// What is lost with a shard the holder does not even claim to have: a disk that died says the same.
const DENIAL_COSTS: u16 = 50;
/// What is lost with a shard that the holder pretends to have.
const PRETENCE_COSTS: u16 = 200;
/// What comes back by itself in an hour: a pretence is forgotten in eight days. Proofs are no merit: each supernode gets its
/// own, but hears of all losses, and would think worse of everybody each year.
const HOUR_GIVES: u16 = 1;
/// Below this a holder gets nothing new: it pretended three times in short order.
pub const TRUSTED_FROM: u16 = 500;
/// Below this everything it keeps counts as missing: it pretended five times, which is no accident of a disk.
pub const BELIEVED_FROM: u16 = 200;

/// The repute of one holder, as one supernode sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repute {
    score: u16,
    since: Timestamp,
}

impl Default for Repute {
    fn default() -> Self {
        Self { score: REPUTE_FULL, since: Timestamp::default() }
    }
}

impl Repute {
    /// It lost a shard.
    pub fn lost(&mut self, finding: Finding, now: Timestamp) {
        let cost = match finding {
            Finding::Denied => DENIAL_COSTS,
            Finding::Wrong => PRETENCE_COSTS,
        };
        *self = Self { score: self.score(now).saturating_sub(cost), since: now };
    }

    /// From 0 to [`REPUTE_FULL`].
    #[must_use]
    pub fn score(&self, now: Timestamp) -> u16 {
        let hours = now.since(self.since).as_secs() / 3600;
        let regained = u16::try_from(hours).unwrap_or(u16::MAX).saturating_mul(HOUR_GIVES);
        self.score.saturating_add(regained).min(REPUTE_FULL)
    }

    /// Whether it gets new shards.
    #[must_use]
    pub fn is_trusted(&self, now: Timestamp) -> bool {
        self.score(now) >= TRUSTED_FROM
    }

    /// Whether what it keeps counts.
    #[must_use]
    pub fn is_believed(&self, now: Timestamp) -> bool {
        self.score(now) >= BELIEVED_FROM
    }
}
