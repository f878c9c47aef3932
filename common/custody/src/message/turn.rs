//! `/cosmic/turn/1`: a device asks its gateway for credentials of the relay for browsers (STUN and TURN), if it has one.
//!
//! One request on a stream. The right is that of a session opened on `/cosmic/space/1` between the same two peers.
//!
//! ```text
//! Credential ──▶   ◀── Credential | Refused
//! ```

use cosmic_common::{
    record::{Record, Shape},
    time::Timestamp,
};
use minicbor::{Decode, Encode};

use super::{bounded, refusal::Refusal, space::SessionId};

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/turn/1";
/// Addresses in one answer.
pub const URLS_MAX: u64 = 8;

/// What may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum TurnRequest {
    /// Let the browser of this device use the relay.
    #[n(0)]
    Credential {
        /// A session of any space.
        #[n(0)]
        session: SessionId,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum TurnAnswer {
    /// Where the relay is, and what it takes.
    #[n(0)]
    Credential {
        /// Addresses as browsers write them, `turn:203.0.113.7:3478?transport=udp`, at most [`URLS_MAX`].
        #[cbor(n(0), decode_with = "bounded::values::<_, _, URLS_MAX>")]
        urls: Vec<String>,
        /// The name.
        #[n(1)]
        username: String,
        /// The password.
        #[n(2)]
        password: String,
        /// When both end.
        #[n(3)]
        expires: Timestamp,
    },
    /// Why not.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

impl Record for TurnRequest {
    const NAME: &'static str = "turn request";
    const LIMIT: usize = 64;
    const SHAPE: Shape = Shape::Value;
}

impl Record for TurnAnswer {
    const NAME: &'static str = "turn answer";
    const LIMIT: usize = 4096;
    const SHAPE: Shape = Shape::Value;
}
