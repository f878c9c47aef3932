//! `/cosmic/care/1`: supernodes look after what they keep together: surveys, audits, repairs, removals.
//!
//! Between members of the ring, retired ones included; requests of one stream are served one after the other, and nothing is bulk. The
//! shards themselves move on `/cosmic/shard/1`.

use cosmic_common::{
    id::{ObjectId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use minicbor::{Decode, Encode};

use super::{bounded, refusal::Refusal, shard::Indices};
use crate::{audit::proof::Challenge, repair::lease::Lease};

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/care/1";
/// Objects one `Survey` may ask for: a question of 140 KB and an answer of 50 KB.
pub const SURVEY_MAX: u64 = 4096;
/// Objects one `Removals` may ask for: an answer has up to 20 deletions of 250 bytes for each.
pub const REMOVALS_MAX: u64 = 128;

/// What a supernode may ask of another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum CareRequest {
    /// Which shards of each of these objects are kept there: like `Which`, without receipts, for many at once.
    #[n(0)]
    Survey(#[cbor(n(0), decode_with = "bounded::values::<_, _, SURVEY_MAX>")] Vec<ObjectId>),
    /// Keep this shard, which was kept for another, as your own.
    #[n(1)]
    Keep {
        /// The object.
        #[n(0)]
        object: ObjectId,
        /// Which shard.
        #[n(1)]
        index: u8,
    },
    /// Prove that you have these groups of a shard.
    #[n(2)]
    Challenge(#[n(0)] Challenge),
    /// Let me repair this object; asked of those who keep its placement record.
    #[n(3)]
    Lease {
        /// The object.
        #[n(0)]
        object: ObjectId,
    },
    /// I do not need the lease any more.
    #[n(4)]
    EndLease {
        /// The object.
        #[n(0)]
        object: ObjectId,
    },
    /// No entry claims these objects any more: signed removals. Asked again until every deletion is signed.
    #[n(5)]
    Remove(#[cbor(n(0), with = "bounded::blobs")] Vec<Vec<u8>>),
    /// Signed evidence of audits that failed.
    #[n(6)]
    Report(#[cbor(n(0), with = "bounded::blobs")] Vec<Vec<u8>>),
    /// Does anybody claim these objects of a space, of which something is kept here? Asked of its replicas. Those that nobody
    /// claims are removed.
    #[n(7)]
    Claims {
        /// The space.
        #[n(0)]
        space: SpaceId,
        /// The objects.
        #[cbor(n(1), decode_with = "bounded::values::<_, _, SURVEY_MAX>")]
        objects: Vec<ObjectId>,
        /// Whether those that nobody claims are overdue: nobody did since they were put, and their lease is over.
        #[n(2)]
        overdue: bool,
    },
    /// How far the removals of these objects of a space are. Asked of its replicas.
    #[n(8)]
    Removals {
        /// The space.
        #[n(0)]
        space: SpaceId,
        /// The objects.
        #[cbor(n(1), decode_with = "bounded::values::<_, _, REMOVALS_MAX>")]
        objects: Vec<ObjectId>,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum CareAnswer {
    /// To `Survey`, in its order.
    #[n(0)]
    Surveyed(#[cbor(n(0), decode_with = "bounded::values::<_, _, SURVEY_MAX>")] Vec<Surveyed>),
    /// To `Keep`, after the durable batch.
    #[n(1)]
    Kept {
        /// The signed receipt.
        #[cbor(n(0), with = "minicbor::bytes")]
        receipt: Vec<u8>,
    },
    /// To `Challenge`: the groups, with what binds them to the shard's hash.
    #[n(2)]
    Proof(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// To `Lease`: the one that holds, yours or another's; None if too many are given.
    #[n(3)]
    Leased(#[n(0)] Option<Lease>),
    /// To `EndLease` and `Report`.
    #[n(4)]
    Noted,
    /// To `Remove`: signed deletions of those objects that are gone. The others go later.
    #[n(5)]
    Removing(#[cbor(n(0), with = "bounded::blobs")] Vec<Vec<u8>>),
    /// To anything.
    #[n(6)]
    Refused(#[n(0)] Refusal),
    /// To `Claims`, in its order.
    #[n(7)]
    Claimed(#[cbor(n(0), decode_with = "bounded::values::<_, _, SURVEY_MAX>")] Vec<Claim>),
    /// To `Removals`, in its order.
    #[n(8)]
    Removals(#[cbor(n(0), decode_with = "bounded::values::<_, _, REMOVALS_MAX>")] Vec<RemovalProgress>),
}

/// What a replica knows of an object of its space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Claim {
    /// No entry claims it; none that is known here.
    #[n(0)]
    None,
    /// An entry claims it, or it is a pack of entries.
    #[n(1)]
    Claimed,
    /// It is being removed.
    #[n(2)]
    Removing,
}

/// How far the removal of one object is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RemovalProgress {
    /// Whether it is under way: not everybody who may keep a part has signed its deletion.
    #[n(1)]
    pub under_way: bool,
    /// Members that are known to keep a part of it still.
    #[n(2)]
    pub keeping: u32,
    /// Members that did not answer when they were asked last.
    #[n(3)]
    pub silent: u32,
    /// Signed deletions.
    #[cbor(n(4), with = "bounded::blobs")]
    pub deletions: Vec<Vec<u8>>,
}

/// What is kept of one object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Surveyed {
    /// Shards of the holder's own.
    #[n(0)]
    pub own: Indices,
    /// Shards kept for others.
    #[n(1)]
    pub handed_off: Indices,
}

impl Record for CareRequest {
    const NAME: &'static str = "care request";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}

impl Record for CareAnswer {
    const NAME: &'static str = "care answer";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}
