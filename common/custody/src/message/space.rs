//! `/cosmic/space/1`: a device opens a space at a gateway (or at another device) and syncs it.
//!
//! ```text
//! opener                                acceptor
//!    │ ◀──────────────────────── Challenge │  the acceptor speaks first
//!    │ Open ───────────────────────────▶   │
//!    │ ◀──────────── Opened (or Refused, end) │
//!    │ ◀──────────── Sync ───────────────▶ │  both ways, until one side ends the stream
//!    │ ◀───────────────────────── Receipts │  after each durable batch, and when asked with Attest
//! ```

use cosmic_common::{
    id::{Incarnation, LogId, PeerId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use minicbor::{Decode, Encode};

use super::{ATTEST_MAX, bounded, object::Whereabouts, refusal::Refusal};
use crate::pack::Packed;

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/space/1";
/// What a frame adds around a sync message of full size.
const FRAME_OVERHEAD_BYTES: usize = 64;
/// The encoded session proof in an [`SpaceFrame::Open`].
pub const PROOF_MAX_BYTES: usize = 4 * 1024;

/// A number an acceptor gave to a session; it stands for the proof on object streams of the same
/// two peers, so that not every chunk brings its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct SessionId(
    /// Random bytes of the acceptor.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub [u8; 16],
);

/// One frame of a space stream.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SpaceFrame {
    /// Acceptor → opener, first: what the proof must name.
    #[n(0)]
    Challenge {
        /// Fresh random bytes.
        #[cbor(n(0), with = "minicbor::bytes")]
        nonce: [u8; 32],
        /// The acceptor is busy, and the opener a stranger to it: leading zero bits of the [`Work`](crate::work::Work) to bring.
        #[n(1)]
        work_bits: Option<u8>,
    },
    /// Opener → acceptor: the right to this space.
    #[n(1)]
    Open {
        /// The space to open.
        #[n(0)]
        space: SpaceId,
        /// The signed session proof over both peer ids, the nonce and the protocol (`space::SessionProof`).
        #[cbor(n(1), with = "minicbor::bytes")]
        proof: Vec<u8>,
        /// Membership entries the acceptor may need to check the proof, in an order in which each can
        /// be admitted: at least genesis and the chain of delegations, for an acceptor that has not
        /// seen the space. They are stored like any other entry.
        #[cbor(n(2), with = "bounded::blobs")]
        credentials: Vec<Vec<u8>>,
        /// The answer, if work was asked for.
        #[n(3)]
        answer: Option<u64>,
    },
    /// Acceptor → opener: the session is open; sync messages may flow.
    #[n(2)]
    Opened {
        /// Stands for this session on object streams.
        #[n(0)]
        session: SessionId,
        /// The life of the acceptor's data.
        #[n(1)]
        incarnation: Incarnation,
        /// Whose heads and roots the acceptor speaks for: itself, or the replica it relays.
        #[n(2)]
        source: PeerId,
    },
    /// Both ways: one message of the sync machine.
    #[n(3)]
    Sync(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Acceptor → opener: signed receipts for entries, its own and those of replicas.
    #[n(4)]
    Receipts(#[cbor(n(0), with = "bounded::blobs")] Vec<Vec<u8>>),
    /// Both ways: why the stream ends.
    #[n(5)]
    Refused(#[n(0)] Refusal),
    /// Opener → acceptor: sign again, and ask the replicas to sign again, for what is kept of these logs. What is owed is
    /// own heads less receipts, and receipts can be lost on the way.
    #[n(6)]
    Attest(#[cbor(n(0), decode_with = "bounded::values::<_, _, ATTEST_MAX>")] Vec<LogId>),
    /// Opener → acceptor: see that the entry at `seq` of a log lies in a pack, and tell where that is.
    #[n(7)]
    Pack {
        /// The log.
        #[n(0)]
        log: LogId,
        /// The sequence number of the entry.
        #[n(1)]
        seq: u64,
    },
    /// Acceptor → opener: where a pack is, with the receipts of its holders as they are now.
    #[n(8)]
    Packed {
        /// The run of entries in it.
        #[n(0)]
        packed: Packed,
        /// Its manifest and receipts.
        #[n(1)]
        whereabouts: Whereabouts,
    },
}

impl Record for SpaceFrame {
    const NAME: &'static str = "space frame";
    const LIMIT: usize = MESSAGE_MAX_BYTES + FRAME_OVERHEAD_BYTES;
    const SHAPE: Shape = Shape::Value;
}
