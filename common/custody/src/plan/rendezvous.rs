//! Rendezvous: an order of peers for one object that everybody finds alone.

use cosmic_common::{
    hash,
    id::{ObjectId, PeerId},
};

/// The peers in the order of their weight for `object`, the highest first: the hash of object and peer, as a number.
#[must_use]
pub fn rendezvous(object: &ObjectId, peers: impl IntoIterator<Item = PeerId>) -> Vec<PeerId> {
    let weight = |peer: &PeerId| hash::derive("cosmic rendezvous 1", &[object.as_bytes(), peer.as_bytes()]);
    let mut weighed: Vec<_> = peers.into_iter().map(|peer| (weight(&peer), peer)).collect();
    weighed.sort_unstable_by(|one, other| other.cmp(one));
    weighed.dedup();
    weighed.into_iter().map(|(_weight, peer)| peer).collect()
}
