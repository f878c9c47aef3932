//! Packs: runs of entries of one log, coded and placed like any object, so that replicas need not keep them for ever.
//!
//! ```text
//! append ─▶ the tail of the log grows ─ full, idle, old or wanted ─▶ a pack is coded, placed and noted by all replicas
//!        ─▶ every shard is signed for, twice, a day apart ─▶ each replica frees its own entries of the run
//! ```
//! A pack holds entries of one log, and so every replica and every device that has the log can make its bytes, and finds
//! by their hash alone that a pack is what it is said to be.

pub mod bytes;
pub mod tail;

use cosmic_common::id::{LogId, ObjectId, PeerId};
use minicbor::{Decode, Encode};

use crate::plan::rendezvous::rendezvous;

/// A run of entries that lies in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Packed {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// The sequence number of its first entry.
    #[n(1)]
    pub from: u64,
    /// The sequence number of its last entry.
    #[n(2)]
    pub to: u64,
    /// The pack: the plain hash of its bytes.
    #[n(3)]
    pub object: ObjectId,
}

impl Packed {
    /// Whether the entry at `seq` lies in it.
    #[must_use]
    pub const fn contains(&self, seq: u64) -> bool {
        self.from <= seq && seq <= self.to
    }

    /// How many entries it names; none if it ends before it begins, or names more than a pack can hold.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.to.checked_sub(self.from).filter(|last| *last < bytes::ENTRIES_MAX).map(|last| last + 1)
    }

    /// The bytes of this pack, if the entries `from ..= to` make it. Whoever has them need not believe anybody.
    #[must_use]
    pub fn made_of<E: std::ops::Deref<Target = [u8]>>(&self, entries: &[E]) -> Option<Vec<u8>> {
        if self.count() != u64::try_from(entries.len()).ok() {
            return None;
        }
        let pack = bytes::encode(self.log, self.from, entries.iter().map(|entry| &**entry))?;
        (bytes::object(&pack) == self.object).then_some(pack)
    }

    /// Whether these entries make this pack.
    #[must_use]
    pub fn is_made_of<E: std::ops::Deref<Target = [u8]>>(&self, entries: &[E]) -> bool {
        self.made_of(entries).is_some()
    }
}

/// The replicas of a log in the order in which they pack it: the first at once, each next one a
/// [`tail::TURN`] later, should those before be away.
#[must_use]
pub fn packers(log: &LogId, replicas: impl IntoIterator<Item = PeerId>) -> Vec<PeerId> {
    rendezvous(&ObjectId::from_bytes(*log.as_bytes()), replicas)
}
