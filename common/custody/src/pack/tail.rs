//! The tail of a log: the entries behind the last pack, and when they are packed.

use std::time::Duration;

use cosmic_common::{record::Record, time::Timestamp};
use minicbor::{Decode, Encode};

use super::bytes::{self, PACK_MAX_BYTES};

/// How much later than the one before it a replica packs what that one should have packed.
pub const TURN: Duration = Duration::from_mins(10);

/// What is not packed yet of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tail {
    /// The sequence number of its first entry.
    #[n(1)]
    pub from: u64,
    /// How many entries there are.
    #[n(2)]
    pub entries: u64,
    /// Bytes of these entries.
    #[n(3)]
    pub bytes: u64,
    /// When the first of them came.
    #[n(4)]
    pub since: Timestamp,
    /// When the last of them came.
    #[n(5)]
    pub grown: Timestamp,
}

impl Record for Tail {
    const NAME: &'static str = "tail";
    const LIMIT: usize = 64;
}

/// When a tail is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Once it makes a pack of so many bytes.
    pub full_bytes: u64,
    /// Once it has not grown for so long,
    pub idle_after: Duration,
    /// and would make a pack of so many bytes.
    pub idle_bytes: u64,
    /// Once its first entry is so old, however small it is.
    pub age: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            full_bytes: PACK_MAX_BYTES as u64,
            idle_after: Duration::from_mins(10),
            idle_bytes: 64 * 1024,
            age: Duration::from_hours(24),
        }
    }
}

impl Tail {
    /// The tail that begins with an entry at `from`.
    #[must_use]
    pub const fn new(from: u64, now: Timestamp) -> Self {
        Self { from, entries: 0, bytes: 0, since: now, grown: now }
    }

    /// An entry came.
    pub const fn grow(&mut self, bytes: u64, now: Timestamp) {
        self.entries = self.entries.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.grown = now;
    }

    /// The first entries, `entries` of them with `bytes`, were packed; what is left, if anything.
    #[must_use]
    pub const fn behind(self, entries: u64, bytes: u64) -> Option<Self> {
        let left = self.entries.saturating_sub(entries);
        if left == 0 {
            return None;
        }
        // What is left came after what was packed; when exactly nobody wrote down.
        Some(Self {
            from: self.from.saturating_add(entries),
            entries: left,
            bytes: self.bytes.saturating_sub(bytes),
            since: self.grown,
            grown: self.grown,
        })
    }

    /// Since when it should be packed, if it should.
    #[must_use]
    pub fn due(&self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        let length = bytes::length(self.entries, self.bytes);
        let full = (length >= rules.full_bytes).then_some(self.grown);
        let idle = (length >= rules.idle_bytes).then(|| self.grown.after(rules.idle_after));
        let old = Some(self.since.after(rules.age));
        [full, idle, old].into_iter().flatten().filter(|since| *since <= now).min()
    }
}
