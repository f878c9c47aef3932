//! `/cosmic/replica/1`: supernodes append, read and follow the entries of spaces at each other.
//!
//! Calls are numbered by the caller and may be answered in any order; appends of one stream are carried out in the
//! order they came. A subscription is answered many times under the number of its call.

use std::collections::BTreeMap;

use cosmic_common::{
    hash,
    heads::Heads,
    id::{ChannelId, Hash, LogId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use minicbor::{Decode, Encode};

use super::{ATTEST_MAX, bounded, refusal::Refusal};
use crate::pack::Packed;

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/replica/1";
/// Calls one caller may have unanswered on one stream; subscriptions are not counted.
pub const CALLS_MAX: usize = 256;
/// Packs one message may name: 90 KB.
pub const PACKS_MAX: u64 = 1024;
/// Heads of a space by channel.
pub type SpaceHeads = BTreeMap<ChannelId, Heads>;

/// A numbered request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReplicaCall {
    /// Chosen by the caller, not in use by another unanswered call or subscription of the stream.
    #[n(1)]
    pub id: u64,
    /// What is asked.
    #[n(2)]
    pub request: ReplicaRequest,
}

/// What a supernode may ask of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ReplicaRequest {
    /// Store these entries durably and sign for them. Those of one log are in order, and membership
    /// entries come before those that need them.
    #[n(0)]
    Append {
        /// The space of all entries.
        #[n(0)]
        space: SpaceId,
        /// Encoded entries.
        #[cbor(n(1), with = "bounded::blobs")]
        entries: Vec<Vec<u8>>,
    },
    /// The heads of a space, a page at a time.
    #[n(1)]
    Heads {
        /// The space.
        #[n(0)]
        space: SpaceId,
        /// The last log of the page before; None for the first page.
        #[n(1)]
        after: Option<LogPlace>,
    },
    /// Entries `from ..= to` of a log.
    #[n(2)]
    Range {
        /// The space of the log.
        #[n(0)]
        space: SpaceId,
        /// The log.
        #[n(1)]
        log: LogId,
        /// The first sequence number.
        #[n(2)]
        from: u64,
        /// The last sequence number.
        #[n(3)]
        to: u64,
        /// Bytes of entries to answer with at most; one entry always fits.
        #[n(4)]
        max_bytes: u32,
    },
    /// The membership entries the caller does not have.
    #[n(3)]
    Membership {
        /// The space.
        #[n(0)]
        space: SpaceId,
        /// Heads of the membership channel as the caller has them.
        #[n(1)]
        known: Heads,
    },
    /// Sign again for what is kept of these logs (receipts can be lost on the way).
    #[n(4)]
    Attest {
        /// The space of the logs.
        #[n(0)]
        space: SpaceId,
        /// The logs, at most [`ATTEST_MAX`].
        #[cbor(n(1), decode_with = "bounded::values::<_, _, ATTEST_MAX>")]
        logs: Vec<LogId>,
    },
    /// Push whatever is appended to this space from now on.
    #[n(5)]
    Subscribe {
        /// The space.
        #[n(0)]
        space: SpaceId,
    },
    /// End a subscription; it is answered by `Ended`, under the subscription's number.
    #[n(6)]
    Unsubscribe {
        /// The number of the subscribing call.
        #[n(0)]
        subscription: u64,
    },
    /// Which spaces with `from <= id <= to` are kept, with a digest of their heads each (anti-entropy).
    #[n(7)]
    Spaces {
        /// The first id.
        #[n(0)]
        from: SpaceId,
        /// The last id.
        #[n(1)]
        to: SpaceId,
    },
    /// Note that these runs lie in packs, each after it was held against the entries kept there.
    #[n(8)]
    Note {
        /// The space of the logs.
        #[n(0)]
        space: SpaceId,
        /// The runs.
        #[cbor(n(1), decode_with = "bounded::values::<_, _, PACKS_MAX>")]
        packs: Vec<Packed>,
    },
    /// Which packs are known of a log, those that end at `from` or behind it, in their order.
    #[n(9)]
    Packs {
        /// The space of the log.
        #[n(0)]
        space: SpaceId,
        /// The log.
        #[n(1)]
        log: LogId,
        /// The first sequence number of interest.
        #[n(2)]
        from: u64,
    },
    /// See that the entry at `seq` lies in a pack, now: somebody waits for it.
    #[n(10)]
    Pack {
        /// The space of the log.
        #[n(0)]
        space: SpaceId,
        /// The log.
        #[n(1)]
        log: LogId,
        /// The sequence number of the entry.
        #[n(2)]
        seq: u64,
    },
    /// This is the genesis of a space that will be asked about next, and it names the regions its data may lie in. Not answered.
    #[n(11)]
    Introduce {
        /// The genesis, exact bytes: the hash of them is the space.
        #[cbor(n(0), with = "minicbor::bytes")]
        genesis: Vec<u8>,
    },
    /// The genesis of a space, if it is known there.
    #[n(12)]
    Genesis {
        /// The space.
        #[n(0)]
        space: SpaceId,
    },
}

impl ReplicaRequest {
    /// The space that is asked about, if it is one.
    #[must_use]
    pub const fn space(&self) -> Option<SpaceId> {
        match self {
            Self::Append { space, .. }
            | Self::Heads { space, .. }
            | Self::Range { space, .. }
            | Self::Membership { space, .. }
            | Self::Attest { space, .. }
            | Self::Subscribe { space }
            | Self::Note { space, .. }
            | Self::Packs { space, .. }
            | Self::Pack { space, .. } => Some(*space),
            Self::Unsubscribe { .. }
            | Self::Spaces { .. }
            | Self::Introduce { .. }
            | Self::Genesis { .. } => None,
        }
    }
}

/// A place in the heads of a space, ordered as they are paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LogPlace {
    /// The channel of the log.
    #[n(0)]
    pub channel: ChannelId,
    /// The log.
    #[n(1)]
    pub log: LogId,
}

/// An answer to the call with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReplicaReply {
    /// The number of the call.
    #[n(1)]
    pub id: u64,
    /// The answer.
    #[n(2)]
    pub answer: ReplicaAnswer,
}

/// What a replica answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ReplicaAnswer {
    /// To `Append`, after the durable batch.
    #[n(0)]
    Appended {
        /// A signed receipt for each log that the request touched and that is kept.
        #[cbor(n(0), with = "bounded::blobs")]
        receipts: Vec<Vec<u8>>,
        /// The entries that were not stored, and why; all others were (or had been before).
        #[n(1)]
        stopped: Vec<Stopped>,
    },
    /// To `Heads`.
    #[n(1)]
    Heads {
        /// The heads of this page.
        #[n(0)]
        heads: SpaceHeads,
        /// Whether another page follows.
        #[n(1)]
        more: bool,
    },
    /// To `Range` and `Membership`.
    #[n(2)]
    Entries {
        /// Encoded entries, in an order in which each can be admitted.
        #[cbor(n(0), with = "bounded::blobs")]
        entries: Vec<Vec<u8>>,
        /// Whether the replica has more of what was asked.
        #[n(1)]
        more: bool,
    },
    /// To `Attest`.
    #[n(3)]
    Receipts(#[cbor(n(0), with = "bounded::blobs")] Vec<Vec<u8>>),
    /// To `Subscribe`: whatever is appended after this answer will be pushed.
    #[n(4)]
    Subscribed,
    /// To `Subscribe`, again and again: entries, perhaps before they are durable.
    #[n(5)]
    Pushed(#[cbor(n(0), with = "bounded::blobs")] Vec<Vec<u8>>),
    /// To `Subscribe`, last: it was ended, or the subscriber was too slow. Compare heads and subscribe anew.
    #[n(6)]
    Ended,
    /// To `Spaces`.
    #[n(7)]
    Spaces {
        /// [`heads_digest`] of each space kept, from the first id on.
        #[n(0)]
        digests: BTreeMap<SpaceId, Hash>,
        /// Whether more spaces follow; ask again from behind the last id.
        #[n(1)]
        more: bool,
    },
    /// To anything.
    #[n(8)]
    Refused(#[n(0)] Refusal),
    /// To `Note`: those of the packs that are noted now. To `Packs`: those that are known, as many as fit. To `Pack`: the one
    /// the entry lies in.
    #[n(9)]
    Packs(#[cbor(n(0), decode_with = "bounded::values::<_, _, PACKS_MAX>")] Vec<Packed>),
    /// To `Genesis`: its exact bytes; None if it is not known.
    #[n(10)]
    Genesis(#[cbor(n(0), with = "minicbor::bytes")] Option<Vec<u8>>),
}

/// One entry of an `Append` that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Stopped {
    /// Its place in the request.
    #[n(0)]
    pub index: u32,
    /// Why it was not stored.
    #[n(1)]
    pub refusal: Refusal,
}

impl Record for ReplicaCall {
    const NAME: &'static str = "replica call";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
}

impl Record for ReplicaReply {
    const NAME: &'static str = "replica reply";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
}

/// Heads as a record of their own, so that they have one byte form.
#[derive(Encode, Decode)]
#[cbor(transparent)]
struct HeadsRecord(#[n(0)] SpaceHeads);

impl Record for HeadsRecord {
    const NAME: &'static str = "space heads";
    const LIMIT: usize = usize::MAX;
    const SHAPE: Shape = Shape::Value;
}

/// One hash over all heads of a space; equal exactly if the heads are.
#[must_use]
pub fn heads_digest(heads: &SpaceHeads) -> Hash {
    Hash::from_bytes(hash::derive("cosmic heads 1", &[&HeadsRecord(heads.clone()).to_bytes()]))
}
