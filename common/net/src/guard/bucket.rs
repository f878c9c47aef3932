//! A token bucket: what may be spent at once, and how fast that comes back.

use std::time::Duration;

use cosmic_common::time::Timestamp;

/// A bucket counts in thousandths, so that nothing is lost however often it is looked at: a millisecond then brings as many as
/// a second brings units.
const PARTS: i64 = 1000;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    per_second: i64,
    burst: i64,
}

/// A bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    parts: i64,
    at: Timestamp,
}

impl Rate {
    /// So many units in a second, and as many as come in `burst` at once.
    pub(crate) fn new(per_second: u64, burst: Duration) -> Self {
        let held = u128::from(per_second).saturating_mul(burst.as_millis()) / 1000;
        // Far from where thousandths of it overflow.
        let most = i64::MAX / PARTS / 4;
        let capped = |units: u128| i64::try_from(units).unwrap_or(most).min(most);
        Self { per_second: capped(per_second.into()), burst: capped(held).max(1) }
    }
}

impl Bucket {
    /// A full one.
    pub(crate) const fn full(rate: Rate, now: Timestamp) -> Self {
        Self { parts: rate.burst * PARTS, at: now }
    }

    /// Takes `units`, if they are there.
    pub(crate) fn take(&mut self, rate: Rate, units: u64, now: Timestamp) -> bool {
        self.fill(rate, now);
        let parts = parts(units);
        let enough = self.parts >= parts;
        if enough {
            self.parts -= parts;
        }
        enough
    }

    /// Takes `units` that have been used already, and says how long to wait until nothing is owed any more. Of a debt no more
    /// than a whole bucket is remembered.
    pub(crate) fn owe(&mut self, rate: Rate, units: u64, now: Timestamp) -> Duration {
        self.fill(rate, now);
        self.parts = self.parts.saturating_sub(parts(units)).max(-rate.burst * PARTS);
        let owed = self.parts.min(0).unsigned_abs();
        Duration::from_millis(owed.div_ceil(rate.per_second.max(1).unsigned_abs()))
    }

    /// Whether forgetting it would change nothing.
    pub(crate) fn is_full(&mut self, rate: Rate, now: Timestamp) -> bool {
        self.fill(rate, now);
        self.parts >= rate.burst * PARTS
    }

    /// What it lacked when it was last looked at, in thousandths.
    pub(crate) const fn missing(&self, rate: Rate) -> i64 {
        rate.burst * PARTS - self.parts
    }

    fn fill(&mut self, rate: Rate, now: Timestamp) {
        let elapsed = i64::try_from(now.since(self.at).as_millis()).unwrap_or(i64::MAX);
        // Whoever's rate was lowered keeps no more than the lower one holds.
        self.parts =
            self.parts.saturating_add(elapsed.saturating_mul(rate.per_second)).min(rate.burst * PARTS);
        self.at = self.at.max(now);
    }
}

fn parts(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(PARTS)
}

#[cfg(test)]
mod tests;
