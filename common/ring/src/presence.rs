//! Presences: what a serving process says of itself in the directory, and for how long that counts.
//!
//! An endpoint counts until a newer one comes; a presence is said again and again, and dies with its process.

use cosmic_common::{
    address::Address,
    id::{NetworkId, PeerId},
    record::Record,
};
use cosmic_identity::{
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::error::Error;

/// Addresses one presence may name: enough to be reached over both transports and both families.
pub const PRESENT_ADDRESSES_MAX: usize = 4;
/// How long a presence counts: a process that is gone is not looked for much longer than a restart takes people.
pub const PRESENT_FOR_MS: u64 = 2 * 60 * 60 * 1000;
/// How far the clock of whoever said it may be ahead; the same tolerance as clocks have elsewhere.
pub const AHEAD_MAX_MS: u64 = 5 * 60 * 1000;

/// Somebody who serves is here now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Presence {
    /// The network it serves.
    #[n(1)]
    pub network: NetworkId,
    /// Who says it and signs this.
    #[n(2)]
    pub peer: PeerId,
    /// When it said so, in Unix milliseconds.
    #[n(3)]
    pub said_ms: u64,
    /// Where it may be reached.
    #[n(4)]
    pub addresses: Vec<Address>,
}

impl Presence {
    /// Whether it counts at `now_ms`.
    #[must_use]
    pub const fn counts_at(&self, now_ms: u64) -> bool {
        self.said_ms <= now_ms.saturating_add(AHEAD_MAX_MS)
            && now_ms <= self.said_ms.saturating_add(PRESENT_FOR_MS)
    }
}

/// Checks bounds and the signature; neither the time nor whether that peer is anybody here.
///
/// # Errors
/// [`Error`] that says what is wrong.
pub fn verify_presence(record: &Signed<Presence>, network: NetworkId) -> Result<&Presence, Error> {
    let claimed = record.unverified();
    let peer = claimed.peer;
    if claimed.network != network {
        return Err(Error::OtherNetwork { found: claimed.network, pinned: network });
    }
    let found = claimed.addresses.len();
    if !(1..=PRESENT_ADDRESSES_MAX).contains(&found) {
        return Err(Error::Addresses { found, max: PRESENT_ADDRESSES_MAX });
    }
    record.verify(peer.as_bytes()).map_err(|source| Error::EndpointSignature { peer, source })
}

impl Record for Presence {
    const NAME: &'static str = "presence";
    // 4 addresses of 259 bytes, two ids and a number.
    const LIMIT: usize = 1152;
}

impl SignedRecord for Presence {
    const DOMAIN: Domain = Domain::new("cosmic/presence/1");
}
