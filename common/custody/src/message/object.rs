//! `/cosmic/object/1`: a device gives sealed chunks to a gateway and takes them back.
//!
//! Requests of one stream are served one after the other; several chunks fly on several streams. The right is
//! that of a session opened on `/cosmic/space/1` between the same two peers.
//!
//! ```text
//! Put ──▶   ◀── Send   then `length` bulk bytes ──▶   ◀── Stored | Refused
//!           ◀── Stored (had it already) | Refused
//! Get ──▶   ◀── Follows   then its bulk bytes ◀── | Refused
//! ```

use cosmic_common::{
    id::ObjectId,
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use minicbor::{Decode, Encode};

use super::{
    bounded,
    bulk::BulkLength,
    care::{REMOVALS_MAX, RemovalProgress},
    refusal::Refusal,
    space::SessionId,
};

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/object/1";
/// Objects one `Have` may ask for: a file of 16 GiB.
pub const HAVE_MAX: u64 = 4096;

/// What a device may ask of its gateway.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ObjectRequest {
    /// Keep this object. Its bytes follow only after `Send`.
    #[n(0)]
    Put {
        /// The session whose space the object belongs to.
        #[n(0)]
        session: SessionId,
        /// The plain hash of the sealed bytes.
        #[n(1)]
        object: ObjectId,
        /// How many bytes will follow.
        #[n(2)]
        length: BulkLength,
    },
    /// The bytes of this object.
    #[n(1)]
    Get {
        /// A session of the space.
        #[n(0)]
        session: SessionId,
        /// The object.
        #[n(1)]
        object: ObjectId,
    },
    /// Where this object is, and how safe.
    #[n(2)]
    Status {
        /// A session of the space.
        #[n(0)]
        session: SessionId,
        /// The object.
        #[n(1)]
        object: ObjectId,
    },
    /// Which of these objects need not be sent (an upload resumes with this).
    #[n(3)]
    Have {
        /// A session of the space.
        #[n(0)]
        session: SessionId,
        /// The objects, at most [`HAVE_MAX`].
        #[cbor(n(1), decode_with = "bounded::values::<_, _, HAVE_MAX>")]
        objects: Vec<ObjectId>,
    },
    /// How far the removals of these objects are: who has signed that it deleted them, and how many have not.
    #[n(4)]
    Removals {
        /// A session of the space.
        #[n(0)]
        session: SessionId,
        /// The objects.
        #[cbor(n(1), decode_with = "bounded::values::<_, _, REMOVALS_MAX>")]
        objects: Vec<ObjectId>,
    },
}

/// What a gateway answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ObjectAnswer {
    /// To `Put`: send the bytes.
    #[n(0)]
    Send,
    /// To `Put` (after the bytes, or at once if the object is here already) and to `Status`.
    #[n(1)]
    Stored(#[n(0)] Whereabouts),
    /// To `Get`: this many bytes follow.
    #[n(2)]
    Follows {
        /// How many.
        #[n(0)]
        length: BulkLength,
    },
    /// To `Have`: those of the objects that are safe at their holders.
    #[n(3)]
    Had(#[n(0)] Vec<ObjectId>),
    /// To anything.
    #[n(4)]
    Refused(#[n(0)] Refusal),
    /// To `Removals`, in its order.
    #[n(5)]
    Removals(#[cbor(n(0), decode_with = "bounded::values::<_, _, REMOVALS_MAX>")] Vec<RemovalProgress>),
}

/// What is known of an object's safety; the device checks it all and counts for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Whereabouts {
    /// The encoded manifest; empty while the object is not coded yet.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub manifest: Vec<u8>,
    /// Signed receipts for the object or its shards.
    #[cbor(n(1), with = "bounded::blobs")]
    pub receipts: Vec<Vec<u8>>,
}

impl Record for ObjectRequest {
    const NAME: &'static str = "object request";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}

impl Record for ObjectAnswer {
    const NAME: &'static str = "object answer";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}
