//! The budget of background work: bytes per second, a share of the uplink, more in panic, less when people wait.

use cosmic_common::time::Timestamp;

/// Pace counts in sixteenths: enough steps to feel its way back after it was halved.
const PACE_FULL: u16 = 16;
/// What may be saved up while nothing is to be done, as milliseconds of the rate: a second, so that a burst stays short.
const SAVED_MS: u64 = 1000;

/// What background work may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes per second the supernode can send; none lifts every limit.
    pub uplink: Option<u64>,
    /// Its share in thousandths.
    pub share: u16,
    /// Its share in thousandths while an object is in panic.
    pub panic_share: u16,
}

impl Default for Allowance {
    /// A fifth of 100 Mbit/s, half of it in panic.
    fn default() -> Self {
        Self { uplink: Some(12_500_000), share: 200, panic_share: 500 }
    }
}

/// A purse that fills with time. It may be overdrawn by one piece of work, so that large pieces are not stuck for ever.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    allowance: Allowance,
    pace: u16,
    /// Thousandths of bytes, so that nothing is lost by rounding.
    balance: i128,
    filled: Timestamp,
}

impl Budget {
    /// An empty purse.
    #[must_use]
    pub const fn new(allowance: Allowance, now: Timestamp) -> Self {
        Self { allowance, pace: PACE_FULL, balance: 0, filled: now }
    }

    /// Another allowance from now on.
    pub const fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    /// People wait longer than they should: half the pace, down to a sixteenth.
    pub fn pressed(&mut self) {
        self.pace = (self.pace / 2).max(1);
    }

    /// Nobody waits longer than he should: a sixteenth faster, up to the whole.
    pub fn eased(&mut self) {
        self.pace = (self.pace + 1).min(PACE_FULL);
    }

    /// The rate now in bytes per second; none is unlimited.
    #[must_use]
    pub fn rate(&self, panic: bool) -> Option<u64> {
        let share = if panic { self.allowance.panic_share } else { self.allowance.share };
        // In panic the object comes first, whoever waits.
        let pace = if panic { PACE_FULL } else { self.pace };
        let scaled = |uplink: u64| {
            u128::from(uplink) * u128::from(share) * u128::from(pace) / 1000 / u128::from(PACE_FULL)
        };
        self.allowance.uplink.map(|uplink| u64::try_from(scaled(uplink)).unwrap_or(u64::MAX))
    }

    /// When the next piece of work may begin: now, or later. None if never, because the rate is nothing.
    #[must_use]
    pub fn ready_at(&self, panic: bool, now: Timestamp) -> Option<Timestamp> {
        let Some(rate) = self.rate(panic) else { return Some(now) };
        let balance = self.balance_at(rate, now);
        if balance >= 0 {
            return (rate > 0).then_some(now);
        }
        // One thousandth of a byte per millisecond for each byte per second.
        let wait = balance.unsigned_abs().checked_div(u128::from(rate))?;
        let wait = u64::try_from(wait).unwrap_or(u64::MAX).saturating_add(1);
        Some(Timestamp::from_unix_ms(now.unix_ms().saturating_add(wait)))
    }

    /// Takes `bytes` out, whether they are there or not.
    pub fn spend(&mut self, bytes: u64, panic: bool, now: Timestamp) {
        if let Some(rate) = self.rate(panic) {
            self.balance = self.balance_at(rate, now) - i128::from(bytes) * 1000;
        } else {
            self.balance = 0;
        }
        self.filled = now;
    }

    /// Puts `bytes` back that were not needed after all.
    pub fn refund(&mut self, bytes: u64) {
        self.balance += i128::from(bytes) * 1000;
    }

    fn balance_at(&self, rate: u64, now: Timestamp) -> i128 {
        let passed = now.unix_ms().saturating_sub(self.filled.unix_ms());
        let earned = i128::from(rate) * i128::from(passed);
        (self.balance + earned).min(i128::from(rate) * i128::from(SAVED_MS))
    }
}
