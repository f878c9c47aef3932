//! `/cosmic/meeting/1`: devices of a space leave word of where they are, sealed, and find each other.
//!
//! One request on a stream. A gateway passes a card on to the replicas of the space and gives back what they have; nobody
//! but the members of the space can read a card.
//!
//! ```text
//! device ── Meet ──▶ gateway ── Note ──▶ each replica
//!        ◀─ Cards ──         ◀─ Cards ──
//! ```

use cosmic_common::{
    id::SpaceId,
    record::{Record, Shape},
};
use minicbor::{Decode, Encode};

use super::{bounded, refusal::Refusal, space::SessionId};

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/meeting/1";
/// A sealed card: up to eight addresses of at most 256 bytes.
pub const CARD_MAX_BYTES: usize = 2560;
/// Cards in one answer.
pub const CARDS_MAX: usize = 64;

/// A random number that a device takes for one run and one space, so that its newer card replaces the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Seat(
    /// Random bytes of the device.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub [u8; 16],
);

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MeetingRequest {
    /// Device to gateway: here I am; who else is there?
    #[n(0)]
    Meet {
        /// A session of the space.
        #[n(0)]
        session: SessionId,
        /// Whose card it is.
        #[n(1)]
        seat: Seat,
        /// The sealed card, at most [`CARD_MAX_BYTES`].
        #[cbor(n(2), with = "minicbor::bytes")]
        card: Vec<u8>,
    },
    /// Gateway to replica: the same, of a device that has shown its right to the gateway.
    #[n(1)]
    Note {
        /// The space.
        #[n(0)]
        space: SpaceId,
        /// Whose card it is.
        #[n(1)]
        seat: Seat,
        /// The sealed card.
        #[cbor(n(2), with = "minicbor::bytes")]
        card: Vec<u8>,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MeetingAnswer {
    /// The cards of others, at most [`CARDS_MAX`].
    #[n(0)]
    Cards(#[cbor(n(0), with = "bounded::blobs")] Vec<Vec<u8>>),
    /// Why not.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

impl Record for MeetingRequest {
    const NAME: &'static str = "meeting request";
    const LIMIT: usize = CARD_MAX_BYTES + 128;
    const SHAPE: Shape = Shape::Value;
}

impl Record for MeetingAnswer {
    const NAME: &'static str = "meeting answer";
    const LIMIT: usize = CARDS_MAX * (CARD_MAX_BYTES + 3) + 1024;
    const SHAPE: Shape = Shape::Value;
}
