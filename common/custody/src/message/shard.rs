//! `/cosmic/shard/1`: supernodes give shards, manifests and placement records to each other.
//!
//! Requests of one stream are served one after the other. A shard's bytes follow its `Put` at once; a holder that
//! refuses reads and drops them, so that the stream stays in step.

use cosmic_common::{
    id::{ObjectId, OperatorId, PeerId, SpaceId},
    limit::{MESSAGE_MAX_BYTES, SHARDS_MAX},
    record::{Record, Shape},
};
use minicbor::{Decode, Encode};

use super::{bulk::BulkLength, refusal::Refusal};
use crate::placement::Placement;

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/shard/1";

/// What a supernode may ask of a holder.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ShardRequest {
    /// Keep this shard, with its manifest beside it; `length` bulk bytes follow.
    #[n(0)]
    Put {
        /// The space whose quota it counts against.
        #[n(0)]
        space: SpaceId,
        /// The encoded manifest.
        #[cbor(n(1), with = "minicbor::bytes")]
        manifest: Vec<u8>,
        /// Which shard.
        #[n(2)]
        index: u8,
        /// The holder it is kept for while that one is away; None for the holder's own.
        #[n(3)]
        owner: Option<PeerId>,
        /// How many bytes follow.
        #[n(4)]
        length: BulkLength,
        /// The genesis of the space, exact bytes, if it names the regions its data may lie in: the hash of them is the space.
        #[cbor(n(5), with = "minicbor::bytes")]
        genesis: Option<Vec<u8>>,
        /// The operator on whose account the space is kept, if the sender knows; else it is the sender's own.
        #[n(6)]
        sponsor: Option<OperatorId>,
    },
    /// The bytes of this shard.
    #[n(1)]
    Get {
        /// The object.
        #[n(0)]
        object: ObjectId,
        /// Which shard.
        #[n(1)]
        index: u8,
    },
    /// Which shards of this object are kept there.
    #[n(2)]
    Which {
        /// The object.
        #[n(0)]
        object: ObjectId,
    },
    /// Keep this placement record.
    #[n(3)]
    PutPlacement(#[n(0)] Placement),
    /// The placement record of this object.
    #[n(4)]
    GetPlacement {
        /// The object.
        #[n(0)]
        object: ObjectId,
    },
}

/// What a holder answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ShardAnswer {
    /// To `Put`, after the durable batch.
    #[n(0)]
    Kept {
        /// The signed receipt.
        #[cbor(n(0), with = "minicbor::bytes")]
        receipt: Vec<u8>,
    },
    /// To `Get`: this many bytes follow.
    #[n(1)]
    Follows {
        /// The encoded manifest.
        #[cbor(n(0), with = "minicbor::bytes")]
        manifest: Vec<u8>,
        /// How many bytes.
        #[n(1)]
        length: BulkLength,
    },
    /// To `Which`.
    #[n(2)]
    Held {
        /// The encoded manifest; empty if nothing is kept.
        #[cbor(n(0), with = "minicbor::bytes")]
        manifest: Vec<u8>,
        /// The shards kept, ascending.
        #[n(1)]
        indices: Indices,
        /// Fresh signed receipts for them, in the same order.
        #[cbor(n(2), with = "super::bounded::blobs")]
        receipts: Vec<Vec<u8>>,
    },
    /// To `PutPlacement` and `GetPlacement`: the record now kept; None if there is none.
    #[n(3)]
    Placement(#[n(0)] Option<Placement>),
    /// To anything.
    #[n(4)]
    Refused(#[n(0)] Refusal),
}

/// A set of shard indices, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Indices(#[n(0)] u32);

const _: () = assert!(SHARDS_MAX == 32, "Indices has one bit for each shard");

impl Indices {
    /// Adds `index`; indices no object has are left out.
    pub fn insert(&mut self, index: u8) {
        self.0 |= 1_u32.checked_shl(u32::from(index)).unwrap_or(0);
    }

    /// Takes `index` out.
    pub fn remove(&mut self, index: u8) {
        self.0 &= !1_u32.checked_shl(u32::from(index)).unwrap_or(0);
    }

    /// Whether `index` is in the set.
    #[must_use]
    pub fn contains(self, index: u8) -> bool {
        self.0.checked_shr(u32::from(index)).is_some_and(|bits| bits & 1 == 1)
    }

    /// The indices, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |index| self.contains(*index))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<u8> for Indices {
    fn from_iter<I: IntoIterator<Item = u8>>(indices: I) -> Self {
        let mut set = Self::default();
        indices.into_iter().for_each(|index| set.insert(index));
        set
    }
}

impl Record for ShardRequest {
    const NAME: &'static str = "shard request";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}

impl Record for ShardAnswer {
    const NAME: &'static str = "shard answer";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}
