//! Times as values: rules receive them and never look at a clock.

use std::{fmt, time::Duration};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Bits of a [`HybridTime`] that count events within one millisecond.
const COUNTER_BITS: u32 = 16;

/// Milliseconds since 1970-01-01 UTC, as some clock told.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Timestamp(#[n(0)] u64);

impl Timestamp {
    /// The instant `unix_ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// This instant and `duration` more, at most the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was, zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A hybrid logical time: 48 bits of milliseconds, 16 bits of counter. Advisory: it orders what
/// people see and never decides validity (Kulkarni et al., "Logical Physical Clocks", 2014).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct HybridTime(#[n(0)] u64);

impl HybridTime {
    /// The time with exactly these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits, milliseconds above the counter.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The physical part.
    #[must_use]
    pub const fn timestamp(self) -> Timestamp {
        Timestamp(self.0 >> COUNTER_BITS)
    }

    /// The time of a new event: later than `self`, and not before `now`.
    #[must_use]
    pub const fn tick(self, now: Timestamp) -> Self {
        let physical = now.0 << COUNTER_BITS;
        if physical > self.0 { Self(physical) } else { Self(self.0.saturating_add(1)) }
    }

    /// What is left of a peer's time: never further ahead of `now` than `ahead`.
    #[must_use]
    pub fn clamp_ahead(self, now: Timestamp, ahead: Duration) -> Self {
        let ceiling = Self(now.after(ahead).0 << COUNTER_BITS);
        self.min(ceiling)
    }
}

impl fmt::Debug for HybridTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HybridTime({} ms + {})", self.timestamp().unix_ms(), self.0 & ((1 << COUNTER_BITS) - 1))
    }
}
