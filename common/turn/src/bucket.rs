//! So much in a second, and a second's worth at once.

use cosmic_common::time::Timestamp;

/// What may be spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    left: u64,
    at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub(crate) const fn full(rate: u64, now: Timestamp) -> Self {
        Self { left: rate, at: now }
    }

    /// Spends `cost`, if there is as much; `rate` comes back each second. A clock that goes back gives nothing.
    pub(crate) fn take(&mut self, cost: u64, rate: u64, now: Timestamp) -> bool {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(rate) / 1000;
        if gained > 0 || now < self.at {
            self.left = self.left.saturating_add(gained).min(rate);
            self.at = now;
        }
        let Some(left) = self.left.checked_sub(cost) else { return false };
        self.left = left;
        true
    }
}
