//! Between the house's ids and addresses and those of libp2p, which nobody else sees.

use std::net::IpAddr;

use cosmic_common::{
    address::Address,
    id::PeerId,
    limit::{ADDRESS_MAX_BYTES, ADDRESSES_MAX},
};
use libp2p::{Multiaddr, identity, multiaddr::Protocol as Part};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The way bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Transport {
    /// QUIC v1 over UDP: one round trip to connect, no head-of-line blocking.
    Quic,
    /// TCP with Noise and yamux: fewer CPU seconds per byte.
    Tcp,
    /// TCP inside WebSockets, with TLS or behind a proxy that does it: where firewalls let nothing else out.
    WebSocket,
    /// A circuit through a relay, for peers that nobody reaches from outside.
    Relay,
    /// The in-memory network of tests.
    Memory,
}

impl Transport {
    /// The transport an address names, if this build has it.
    #[must_use]
    pub fn of(address: &Address) -> Option<Self> {
        if address.as_str().starts_with("/memory/") {
            return Some(Self::Memory);
        }
        transport(&address.as_str().parse().ok()?)
    }
}

/// The transport of a libp2p address, if this build has it.
pub(crate) fn transport(address: &Multiaddr) -> Option<Transport> {
    if is_circuit(address) {
        return Some(Transport::Relay);
    }
    if address.iter().any(|part| matches!(part, Part::Ws(_) | Part::Wss(_))) {
        return Some(Transport::WebSocket);
    }
    address.iter().find_map(|part| match part {
        Part::QuicV1 => Some(Transport::Quic),
        Part::Tcp(_) => Some(Transport::Tcp),
        _ => None,
    })
}

/// Whether an address leads through a relay.
pub(crate) fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Part::P2pCircuit)
}

/// Where a peer with a reservation at `relay`, which listens at `address`, is reached.
pub(crate) fn circuit(address: &Multiaddr, relay: libp2p::PeerId) -> Multiaddr {
    bare(address).with(Part::P2p(relay)).with(Part::P2pCircuit)
}

/// The address of a host, if it is named by a number.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Part::Ip4(ip) => Some(ip.into()),
        Part::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}

/// How a multiaddress of this host begins.
#[must_use]
pub fn host(ip: IpAddr) -> String {
    let family = if ip.is_ipv4() { "ip4" } else { "ip6" };
    format!("/{family}/{ip}")
}

/// Whether it is one of this very machine.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_loopback())
}

/// The libp2p form of an address that can be dialed or listened on.
pub(crate) fn to_multiaddr(address: &Address) -> Result<Multiaddr, Error> {
    let refuse = |source| Error::Address { address: address.clone(), source };
    let parsed: Multiaddr = address.as_str().parse().map_err(|cause| refuse(Some(Error::shared(cause))))?;
    if transport(&parsed).is_some() { Ok(parsed) } else { Err(refuse(None)) }
}

/// The house's form of a libp2p address, if it is short enough to be told to anybody.
pub(crate) fn from_multiaddr(address: &Multiaddr) -> Option<Address> {
    let text = address.to_string();
    if text.len() > ADDRESS_MAX_BYTES { None } else { text.parse().ok() }
}

/// The addresses of `peer` that this build can dial, at most [`ADDRESSES_MAX`], each once.
pub(crate) fn dialable(peer: &PeerId, addresses: &[Address]) -> Vec<Multiaddr> {
    let mut usable: Vec<Multiaddr> = Vec::new();
    for address in addresses {
        let Some(parsed) = to_multiaddr(address).ok().and_then(|parsed| without_peer(parsed, peer)) else {
            continue;
        };
        if usable.len() < ADDRESSES_MAX && !usable.contains(&parsed) {
            usable.push(parsed);
        }
    }
    usable
}

/// The address without a trailing `/p2p/<peer>`; `None` if that names somebody else.
pub(crate) fn without_peer(mut address: Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
    if let Some(Part::P2p(named)) = address.iter().last() {
        if to_peer(&named) != Some(*peer) {
            return None;
        }
        address.pop();
    }
    Some(address)
}

/// The address without any trailing `/p2p/…`, which libp2p adds to what it has dialed.
pub(crate) fn bare(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(Part::P2p(_))) {
        address.pop();
    }
    address
}

/// The house's name of a libp2p peer, which is its Ed25519 public key; `None` for other key types.
pub(crate) fn to_peer(peer: &libp2p::PeerId) -> Option<PeerId> {
    // An Ed25519 peer id is the identity multihash (code 0) of the protobuf of its public key.
    let hash = peer.as_ref();
    if hash.code() != 0 {
        return None;
    }
    let key = identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    let key = key.try_into_ed25519().ok()?;
    Some(PeerId::from_bytes(key.to_bytes()))
}

/// The libp2p name of a peer; `None` if the bytes are no point of the curve.
pub(crate) fn from_peer(peer: &PeerId) -> Option<libp2p::PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(peer.as_bytes()).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests;
