//! Who may stand in the routing table: servers that answered from where they say they are, and few of one subnet.

use cosmic_common::{address::Address, id::PeerId as PeerName};
use libp2p::{
    Multiaddr, PeerId,
    kad::{Behaviour, KBucketKey},
};

use super::{message::NAMED_ADDRESSES_MAX, place::Place, store::Store, walk::Server};
use crate::{
    address::{bare, dialable, ip, is_circuit, to_peer},
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
    is_few(in_bucket, in_table)
}

/// Whether one more of a subnet may stand in a bucket and a table that have so many.
pub(super) const fn is_few(in_bucket: usize, in_table: usize) -> bool {
    in_bucket < BUCKET_OF_SUBNET_MAX && in_table < TABLE_OF_SUBNET_MAX
}

/// Everybody in the table.
pub(crate) fn servers(table: &mut Behaviour<Store>) -> Vec<Server> {
    let mut servers = Vec::new();
    for bucket in table.kbuckets() {
        for entry in bucket.iter() {
            let addresses = entry.node.value.iter().map(bare);
            servers.extend(
                to_peer(entry.node.key.preimage()).and_then(|peer| server(peer, addresses.collect())),
            );
        }
    }
    servers
}

/// Those whom a server at `teller` names: addresses of its own network mean something to its neighbours alone.
pub(crate) fn named_by(teller: &Server, named: Vec<(PeerName, Vec<Address>)>) -> Vec<Server> {
    let is_near = teller.subnets.is_empty();
    let usable = |address: &Multiaddr| is_near || subnet(address).is_some();
    let named = named.into_iter().filter_map(|(peer, addresses)| {
        server(peer, dialable(&peer, &addresses).into_iter().filter(usable).collect())
    });
    named.collect()
}

/// A server at the addresses that say where it is: of each family those of one subnet, so that it counts to that.
fn server(peer: PeerName, addresses: Vec<Multiaddr>) -> Option<Server> {
    let place = Place::of_peer(&peer)?;
    let mut of_families: [Option<Option<Block>>; 2] = [None, None];
    let mut told = Vec::new();
    for address in addresses {
        let Some(host) = ip(&address).filter(|_| !is_circuit(&address)) else { continue };
        let [four, six] = &mut of_families;
        let family = if host.is_ipv4() { four } else { six };
        let own = subnet(&address);
        if *family.get_or_insert(own) == own && told.len() < NAMED_ADDRESSES_MAX {
            told.push(address);
        }
    }
    let subnets = of_families.into_iter().flatten().flatten().collect();
    (!told.is_empty()).then_some(Server { peer, place, addresses: told, subnets })
}

#[cfg(test)]
mod tests;
