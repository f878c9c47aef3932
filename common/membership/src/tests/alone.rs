//! Whoever has lost everybody finds them in the directory.

use std::{collections::BTreeSet, sync::Arc};

use cosmic_common::{id::PeerId, protocol::RING, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_net::{RefuseAll, Validator as _};
use cosmic_ring::{Listing, Presence, RingMessage, listing::places};

use super::{Process, SOON, World, configuration, key, knows, supernode};
use crate::{Listings, directory_file, metrics::Ended, start::SERVED_MAX};

/// Waits until the directory lists these, in general and in their region.
async fn listed(at: &Process, wanted: &[PeerId]) {
    let network = configuration(1, &[]).network();
    let wanted: BTreeSet<PeerId> = wanted.iter().copied().collect();
    let here = "here".parse().unwrap();
    let waited = async {
        for place in [places(network, None), places(network, Some(&here))].concat() {
            loop {
                let found = at.net.find(&place, SOON).await.unwrap().unwrap_or_default();
                let listing =
                    Listing::from_bytes(&found).map(|listing| listing.presences).unwrap_or_default();
                let presences = listing.iter().map(|bytes| Signed::<Presence>::from_bytes(bytes).unwrap());
                let peers: BTreeSet<PeerId> = presences.map(|presence| presence.unverified().peer).collect();
                if peers.is_superset(&wanted) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(SOON, waited).await.unwrap();
}

#[tokio::test]
async fn who_has_moved_without_telling_anybody_is_found_in_the_directory() {
    let world = World::new();
    let door = world.door(&[0, 1]);
    let (one, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    let node = world.start(&key(9, 0), None, false, &[&door]);
    for process in [&one, &other, &node] {
        process.sees(|view| knows(view, &[&one, &other])).await;
    }
    listed(&one, &[one.peer(), other.peer()]).await;
    for process in [door, one, other, node] {
        world.stop(process).await;
    }
    // All live elsewhere now, and nobody is where anybody's file says.
    let (one, other) =
        (world.start(&supernode(0), None, true, &[]), world.start(&supernode(1), None, true, &[]));
    let node = world.start(&key(9, 0), None, false, &[]);
    for process in [&one, &other, &node] {
        process.sees(|view| knows(view, &[&one, &other])).await;
    }
}

#[tokio::test]
async fn a_newcomer_for_whom_the_door_has_no_time_is_told_by_others() {
    let world = World::new();
    let door = world.door(&[0, 1]);
    let (one, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    for process in [&door, &one, &other] {
        process.sees(|view| knows(view, &[&one, &other])).await;
    }
    listed(&one, &[one.peer(), other.peer()]).await;
    // A rush: whoever came before keeps every exchange of the door busy, for longer than this test waits.
    let rush = world.memory.join(key(8, 0).peer_id(), &[], Arc::new(RefuseAll));
    rush.add_addresses(door.peer(), &door.listening()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..SERVED_MAX {
        let mut stream = rush.open(door.peer(), RING, SOON).await.unwrap();
        // Its first word shows that the door has taken it.
        assert!(stream.recv(RingMessage::LIMIT).await.unwrap().is_some());
        held.push(stream);
    }
    let node = world.start(&key(9, 0), None, false, &[&door]);
    node.sees(|view| knows(view, &[&one, &other])).await;
    drop(held);
}

#[tokio::test]
async fn who_reaches_the_ring_lists_nobody_who_has_no_part_in_it() {
    let world = World::new();
    let listings = Arc::<Listings>::default();
    let presence = |number: u8| {
        let presence = Presence {
            network: configuration(1, &[]).network(),
            peer: supernode(number).peer_id(),
            said_ms: cosmic_runtime::clock::Clock::system().now().unix_ms(),
            addresses: vec!["/memory/7".parse().unwrap()],
        };
        let presence = Signed::sign(presence, &supernode(number)).to_bytes();
        Listing { presences: vec![presence.into()] }.to_bytes()
    };
    let place = places(configuration(1, &[]).network(), None)[0];
    assert!(
        listings.judge(&place, None, &presence(0)).is_none(),
        "it is not known yet which network this is"
    );
    let door = world.door(&[0]);
    let one = world.supernode(0, &[&door]);
    let late = world.start_judged(&key(9, 0), true, &[&door], listings.clone());
    late.sees(|view| knows(view, &[&one])).await;
    // In touch by the second patrol.
    late.counts(Ended::Equal).await;
    let strict = async {
        while listings.judge(&place, None, &presence(5)).is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, strict).await.unwrap();
    assert!(listings.judge(&place, None, &presence(0)).is_some());
}

#[test]
fn the_directory_file_is_read_as_it_was_written_and_a_damaged_one_is_none() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("network.directory");
    assert_eq!(directory_file::read(&path), Default::default());
    let kept = cosmic_net::Kept { key: vec![1], value: vec![2, 3], left: SOON };
    let server = (supernode(1).peer_id(), vec!["/ip4/192.0.2.1/tcp/7410".parse().unwrap()]);
    let snapshot = cosmic_net::Snapshot { records: vec![kept], servers: vec![server] };
    directory_file::write(&path, &directory_file::from_snapshot(snapshot.clone(), 1000)).unwrap();
    assert_eq!(directory_file::to_snapshot(&directory_file::read(&path), 1000), snapshot);
    let late = directory_file::to_snapshot(&directory_file::read(&path), u64::MAX);
    assert!(late.records[0].left.is_zero(), "a record that has ended meanwhile does not live on");
    std::fs::write(&path, b"flipped").unwrap();
    assert_eq!(directory_file::read(&path), Default::default());
}
