//! Placement records: which holder was given which shard, under which ring table.

use std::collections::BTreeMap;

use cosmic_common::{
    id::{Hash, Incarnation, ObjectId, PeerId},
    record::Record,
    time::Timestamp,
};
use minicbor::{Decode, Encode};

/// Who holds the shards of one object, as far as somebody knew. Advice, not truth: a wrong record costs a question
/// to the wrong holder, and a lost one is made again by asking "which indices have you?".
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Placement {
    /// The object, or the name of its coding if it was coded anew.
    #[n(1)]
    pub object: ObjectId,
    /// The digest of the ring table it was placed under.
    #[n(2)]
    pub ring: Hash,
    /// When it was written; the later of two records counts.
    #[n(3)]
    pub time: Timestamp,
    /// Who holds each shard, by its index; readers pass over indices the object does not have.
    #[n(4)]
    pub holders: BTreeMap<u8, Holding>,
}

/// One shard's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Holding {
    /// The holder.
    #[n(0)]
    pub peer: PeerId,
    /// The life of its data in which it signed for the shard.
    #[n(1)]
    pub incarnation: Incarnation,
}

impl Placement {
    /// The record that counts of two about one object: the later one, and of two of one time the
    /// one whose bytes are greater, so that everybody keeps the same. `None` if they are about two objects.
    #[must_use]
    pub fn newer(self, other: Self) -> Option<Self> {
        let rank = |placement: &Self| (placement.time, placement.to_bytes());
        (self.object == other.object).then(|| if rank(&self) >= rank(&other) { self } else { other })
    }
}

impl Record for Placement {
    const NAME: &'static str = "placement";
    // 32 holders of 54 bytes, object, ring and time.
    const LIMIT: usize = 4 * 1024;
}
