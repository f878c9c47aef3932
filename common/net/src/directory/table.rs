//! Who may stand in the routing table: servers that answered from where they say they are, and few of one subnet.

use libp2p::{
    Multiaddr, PeerId,
    kad::{Behaviour, KBucketKey},
};

use super::store::Store;
use crate::{
    address::{ip, is_circuit},
    guard::{Block, Origin},
};

/// Servers of one subnet in a bucket of twenty: whoever has one subnet can surround no key with it.
const BUCKET_OF_SUBNET_MAX: usize = 2;
/// Servers of one subnet in the whole table.
const TABLE_OF_SUBNET_MAX: usize = 8;

/// The subnet that an address counts to; none if it is of this machine or its own network, or not said.
pub(crate) fn subnet(address: &Multiaddr) -> Option<Block> {
    Origin::of_multiaddr(address).filter(|origin| !origin.nearby).map(|origin| origin.subnet)
}

/// Which of the `claimed` addresses a peer has answered from, which comes from `seen`: those of that very host. A handshake was
/// made with it, so it cannot stand for a host that is not its own.
pub(crate) fn proven<'a>(
    claimed: &'a [Multiaddr],
    seen: &'a Multiaddr,
) -> impl Iterator<Item = &'a Multiaddr> {
    let host = ip(seen).filter(|_| !is_circuit(seen));
    claimed.iter().filter(move |address| host.is_some() && ip(address) == host && !is_circuit(address))
}

/// Adds a server that answered at `address`, unless too many of its subnet are there; whether it stands there now.
pub(crate) fn add(table: &mut Behaviour<Store>, local: PeerId, peer: &PeerId, address: &Multiaddr) -> bool {
    if !has_room(table, local, peer, address) {
        return false;
    }
    !matches!(table.add_address(peer, address.clone()), libp2p::kad::RoutingUpdate::Failed)
}

fn has_room(table: &mut Behaviour<Store>, local: PeerId, peer: &PeerId, address: &Multiaddr) -> bool {
    let Some(own) = subnet(address) else { return true };
    let distance = KBucketKey::from(local).distance(&KBucketKey::from(*peer));
    let (mut in_bucket, mut in_table) = (0, 0);
    for bucket in table.kbuckets() {
        let others = bucket.iter().filter(|entry| entry.node.key.preimage() != peer);
        let of_subnet =
            others.filter(|entry| entry.node.value.iter().any(|known| subnet(known) == Some(own))).count();
        in_table += of_subnet;
        if bucket.contains(&distance) {
            in_bucket = of_subnet;
        }
    }
    in_bucket < BUCKET_OF_SUBNET_MAX && in_table < TABLE_OF_SUBNET_MAX
}

#[cfg(test)]
mod tests;
