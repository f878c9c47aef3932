//! The routing table: few of one subnet, and only where somebody answered.

use std::{net::Ipv4Addr, sync::Arc};

use libp2p::{Multiaddr, PeerId, kad::Behaviour, multiaddr::Protocol as Part};

use super::{BUCKET_OF_SUBNET_MAX, TABLE_OF_SUBNET_MAX, add, proven};
use crate::{Config, RefuseAll, behaviour::directory, directory::store::Store};

fn table(local: PeerId) -> Behaviour<Store> {
    directory(local, &Config { directory_server: true, ..Config::default() }, Arc::new(RefuseAll))
}

fn at(ip: [u8; 4], port: u16) -> Multiaddr {
    Multiaddr::empty().with(Part::Ip4(Ipv4Addr::from(ip))).with(Part::Tcp(port))
}

fn count(table: &mut Behaviour<Store>) -> usize {
    table.kbuckets().map(|bucket| bucket.num_entries()).sum()
}

#[test]
fn a_subnet_gets_few_places_in_a_bucket_and_in_the_table() {
    let local = PeerId::random();
    let mut table = table(local);
    for host in 0..200 {
        add(&mut table, local, &PeerId::random(), &at([198, 51, 100, host], 1));
    }
    let fullest = table.kbuckets().map(|bucket| bucket.num_entries()).max();
    assert_eq!(fullest, Some(BUCKET_OF_SUBNET_MAX));
    assert!(count(&mut table) <= TABLE_OF_SUBNET_MAX);
    // Whoever comes from elsewhere finds the places that the others did not get.
    let others =
        (0..100).filter(|subnet| add(&mut table, local, &PeerId::random(), &at([203, 0, *subnet, 1], 1)));
    assert!(others.count() > 2 * TABLE_OF_SUBNET_MAX);
}

#[test]
fn another_address_of_a_known_server_takes_no_further_place() {
    let (local, peer) = (PeerId::random(), PeerId::random());
    let mut table = table(local);
    for port in 1..10 {
        assert!(add(&mut table, local, &peer, &at([198, 51, 100, 1], port)));
    }
    assert_eq!(count(&mut table), 1);
}

#[test]
fn machines_of_the_own_network_are_not_counted() {
    let local = PeerId::random();
    let mut table = table(local);
    for port in 0..100 {
        add(&mut table, local, &PeerId::random(), &at([10, 0, 0, 1], port));
    }
    assert!(count(&mut table) > TABLE_OF_SUBNET_MAX);
}

#[test]
fn a_peer_answers_for_its_own_host_alone() {
    let (own, foreign) = (at([198, 51, 100, 1], 7410), at([203, 0, 113, 1], 7410));
    let named: Multiaddr = "/dns4/example.org/tcp/7410".parse().unwrap();
    let claimed = [own.clone(), foreign, named];
    let seen = at([198, 51, 100, 1], 50_000);
    assert_eq!(proven(&claimed, &seen).collect::<Vec<_>>(), [&own]);
    let relayed = at([198, 51, 100, 1], 1).with(Part::P2p(PeerId::random())).with(Part::P2pCircuit);
    assert_eq!(proven(&claimed, &relayed).count(), 0, "a relay's host is not that of who comes through it");
    assert_eq!(proven(&claimed, &Multiaddr::empty()).count(), 0);
}
