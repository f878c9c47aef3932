//! Endpoints: where a running process may be reached, said and signed by itself.
//!
//! An operator signs a member record long before the supernode knows its ports; the process that runs says the rest.

use cosmic_common::{
    address::Address,
    hash,
    id::{Hash, NetworkId, PeerId},
    limit::ADDRESSES_MAX,
    record::Record,
};
use cosmic_identity::{
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::error::Error;

/// What a member or bootstrap node says about where it is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Endpoint {
    /// The network in which it says so.
    #[n(1)]
    pub network: NetworkId,
    /// Who says it and signs this.
    #[n(2)]
    pub peer: PeerId,
    /// Unix milliseconds, or any number that grows: the latest counts.
    #[n(3)]
    pub sequence: u64,
    /// Where it may be reached.
    #[n(4)]
    pub addresses: Vec<Address>,
}

/// The place of an endpoint among all of the same peer: the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Edition {
    /// The number its peer gave it.
    #[n(0)]
    pub sequence: u64,
    /// The plain hash of the signed record: decides between two of one number.
    #[n(1)]
    pub hash: Hash,
}

/// Checks bounds and the peer's signature; not whether that peer is anybody here.
///
/// # Errors
/// [`Error`] that says what is wrong.
pub fn verify_endpoint(record: &Signed<Endpoint>, network: NetworkId) -> Result<&Endpoint, Error> {
    let claimed = record.unverified();
    let peer = claimed.peer;
    if claimed.network != network {
        return Err(Error::OtherNetwork { found: claimed.network, pinned: network });
    }
    if claimed.addresses.len() > ADDRESSES_MAX {
        return Err(Error::Addresses { found: claimed.addresses.len(), max: ADDRESSES_MAX });
    }
    record.verify(peer.as_bytes()).map_err(|source| Error::EndpointSignature { peer, source })
}

/// The place of `record` among all of its peer.
#[must_use]
pub fn edition(record: &Signed<Endpoint>) -> Edition {
    Edition { sequence: record.unverified().sequence, hash: hash::plain(&record.to_bytes()) }
}

impl Record for Endpoint {
    const NAME: &'static str = "endpoint";
    // 16 addresses of 259 bytes, two ids and a number.
    const LIMIT: usize = 5 * 1024;
}

impl SignedRecord for Endpoint {
    const DOMAIN: Domain = Domain::new("cosmic/endpoint/1");
}
