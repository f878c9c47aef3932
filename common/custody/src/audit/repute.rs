//! Repute: how far a holder is trusted with more. Lost quickly, regained slowly.

use std::time::Duration;

use cosmic_common::time::Timestamp;

/// A holder nobody has complained about.
pub const REPUTE_FULL: u16 = 1000;
/// What one lost shard costs.
const LOSS_COSTS: u16 = 200;
/// What is regained for a proof, at most once an hour: four days for one lost shard.
const PROOF_GIVES: u16 = 2;
const PROOF_COUNTS_EVERY: Duration = Duration::from_hours(1);
/// Below this a holder gets nothing new: it lost three shards in short order.
pub const TRUSTED_FROM: u16 = 500;
/// Below this everything it keeps counts as missing: it lost five, which is no accident of a disk.
pub const BELIEVED_FROM: u16 = 200;

/// The repute of one holder, as one supernode sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repute {
    score: u16,
    regained: Timestamp,
}

impl Default for Repute {
    fn default() -> Self {
        Self { score: REPUTE_FULL, regained: Timestamp::default() }
    }
}

impl Repute {
    /// It lost a shard.
    pub const fn lost(&mut self) {
        self.score = self.score.saturating_sub(LOSS_COSTS);
    }

    /// It proved that it has a shard.
    pub fn proved(&mut self, now: Timestamp) {
        if now.since(self.regained) >= PROOF_COUNTS_EVERY {
            self.regained = now;
            self.score = self.score.saturating_add(PROOF_GIVES).min(REPUTE_FULL);
        }
    }

    /// From 0 to [`REPUTE_FULL`].
    #[must_use]
    pub const fn score(&self) -> u16 {
        self.score
    }

    /// Whether it gets new shards.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.score >= TRUSTED_FROM
    }

    /// Whether what it keeps counts.
    #[must_use]
    pub const fn is_believed(&self) -> bool {
        self.score >= BELIEVED_FROM
    }
}
