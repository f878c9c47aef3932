//! Entries: from a device through its gateway to the replicas, receipts on the way back, live to other devices.

use cosmic_common::id::ChannelId;
use cosmic_custody::{Promise, message::refusal::RefusalCode};
use cosmic_log::{entry::Entry, kind::Kind};
use cosmic_store::Span;

use super::{
    device::Device,
    world::{Supernode, World, eventually, key},
};
use crate::tables::{FORWARDS, ORDER};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);

/// Waits until a supernode has stored `entry` as the last of its log.
async fn holds(supernode: &Supernode, device: &Device, entry: &Entry) {
    eventually("the replica has the entry", || async {
        let heads = supernode.spaces.stored_heads(device.space).unwrap();
        (heads.get(&NOTES)?.get(&entry.core().log)?.entry == entry.id()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_entry_pushed_to_a_replica_is_signed_for_by_all_three() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let gateway = &world.replicas(&device.space)[0].context.net;
    let mut link = device.connect(gateway).await.unwrap();
    assert_eq!(link.source, gateway.local_peer());
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3 && device.equal > 0)
        .await;
    assert!(link.ended.is_none(), "{:?}", link.ended);
    let live = device.write(NOTES, Kind::Change, b"live".to_vec());
    link.pushed(&mut device, NOTES, &live);
    link.run(&mut device, |device| device.keepers(&live, Promise::Keeps).len() >= 2).await;
    for supernode in world.replicas(&device.space) {
        holds(supernode, &device, &live).await;
    }
}

#[tokio::test]
async fn a_gateway_that_is_no_replica_relays_and_then_owes_nothing() {
    let world = World::new(5);
    let mut device = Device::founder(&world.network, 50);
    let gateway = world.stranger(&device.space);
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    assert_ne!(link.source, gateway.peer());
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3 && device.equal > 0)
        .await;
    assert_eq!(device.keepers(&entry, Promise::Forwards), [gateway.peer()]);
    let mut keepers: Vec<_> = world.replicas(&device.space).iter().map(|replica| replica.peer()).collect();
    keepers.sort_unstable();
    assert_eq!(device.keepers(&entry, Promise::Keeps), keepers);
    eventually("the gateway owes nothing", || async {
        gateway.context.store.scan(&FORWARDS, &Span::all(), 1).next().is_none().then_some(())
    })
    .await;
    assert!(gateway.context.store.scan(&ORDER, &Span::all(), 1).next().is_none(), "a gateway keeps nothing");
}

#[tokio::test]
async fn devices_at_two_gateways_see_each_other_live() {
    let world = World::new(5);
    let mut one = Device::founder(&world.network, 50);
    let first = one.write(NOTES, Kind::Change, b"first".to_vec());
    let stranger = world.stranger(&one.space);
    let mut here = one.connect(&stranger.context.net).await.unwrap();
    here.run(&mut one, |device| device.keepers(&first, Promise::Keeps).len() >= 2).await;
    let mut other = Device::member(&world.network, 51, one.space, key(50 ^ 0x80), None);
    let gateway = world.replicas(&one.space)[1];
    let mut there = other.connect(&gateway.context.net).await.unwrap();
    there.run(&mut other, |device| device.count(&NOTES) == 2 && device.equal > 0).await;
    let second = one.write(NOTES, Kind::Change, b"second".to_vec());
    here.pushed(&mut one, NOTES, &second);
    tokio::join!(
        here.run(&mut one, |device| device.keepers(&second, Promise::Keeps).len() >= 2),
        there.run(&mut other, |device| device.count(&NOTES) == 3),
    );
    let third = other.write(NOTES, Kind::Change, b"third".to_vec());
    for entry in [other.opening(&third), third] {
        there.pushed(&mut other, NOTES, &entry);
    }
    tokio::join!(
        here.run(&mut one, |device| device.count(&NOTES) == 5),
        there.run(&mut other, |device| device.count(&NOTES) == 5),
    );
}

#[tokio::test]
async fn a_replica_that_was_cut_off_is_made_good() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let [gateway, near, far] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    world.network.cut(gateway.peer(), far.peer());
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 2).await;
    let mut keepers = vec![gateway.peer(), near.peer()];
    keepers.sort_unstable();
    assert_eq!(device.keepers(&entry, Promise::Keeps), keepers);
    world.network.heal(gateway.peer(), far.peer());
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    holds(far, &device, &entry).await;
}

#[tokio::test]
async fn a_replica_that_came_by_an_entry_otherwise_signs_for_it_too() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let [gateway, near, far] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    world.network.cut(gateway.peer(), far.peer());
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 2).await;
    // Nothing is left to send it, so nothing that it would have to sign for.
    far.spaces.get(device.space).unwrap().reconcile(near.peer()).await.unwrap();
    holds(far, &device, &entry).await;
    world.network.heal(gateway.peer(), far.peer());
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
}

#[tokio::test]
async fn a_replica_that_knew_nothing_pulls_what_a_device_asks_for() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let [gateway, near, far] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    world.network.cut(gateway.peer(), far.peer());
    world.network.cut(near.peer(), far.peer());
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 2).await;
    drop(link);
    world.network.heal(near.peer(), far.peer());
    // Not the founder: this proof carries no genesis, so the replica has to ask.
    let mut other = Device::member(&world.network, 51, device.space, key(50 ^ 0x80), None);
    let mut there = other.connect(&far.context.net).await.unwrap();
    there.run(&mut other, |device| device.count(&NOTES) == 2).await;
}

#[tokio::test]
async fn a_gateway_that_loses_its_replica_goes_on_with_another() {
    let world = World::new(5);
    let mut device = Device::founder(&world.network, 50);
    let gateway = world.stranger(&device.space);
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    for replica in world.replicas(&device.space) {
        world.network.cut(gateway.peer(), replica.peer());
    }
    let alone = device.write(NOTES, Kind::Change, b"alone".to_vec());
    link.pushed(&mut device, NOTES, &alone);
    link.run(&mut device, |device| !device.keepers(&alone, Promise::Forwards).is_empty()).await;
    assert_eq!(device.keepers(&alone, Promise::Keeps), []);
    let others: Vec<_> =
        world.replicas(&device.space).into_iter().filter(|replica| replica.peer() != link.source).collect();
    for replica in &others {
        world.network.heal(gateway.peer(), replica.peer());
    }
    link.run(&mut device, |device| device.keepers(&alone, Promise::Keeps).len() == 2).await;
    // The third replica has it from the others, and what somebody writes there comes back over another one.
    let mut other = Device::member(&world.network, 51, device.space, key(50 ^ 0x80), None);
    let mut there = other.connect(&others[0].context.net).await.unwrap();
    there.run(&mut other, |other| other.count(&NOTES) == 3).await;
    let answer = other.write(NOTES, Kind::Change, b"answer".to_vec());
    for entry in [other.opening(&answer), answer] {
        there.pushed(&mut other, NOTES, &entry);
    }
    tokio::join!(
        there.run(&mut other, |other| other.equal > 1),
        link.run(&mut device, |device| device.count(&NOTES) == 5),
    );
    assert!(link.ended.is_none(), "{:?} {:?}", link.ended, link.last);
}

#[tokio::test]
async fn a_session_outlasts_the_absence_of_all_replicas() {
    let world = World::new(5);
    let mut one = Device::founder(&world.network, 50);
    let gateway = world.stranger(&one.space);
    let entry = one.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut here = one.connect(&gateway.context.net).await.unwrap();
    here.run(&mut one, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    for replica in world.replicas(&one.space) {
        world.network.cut(gateway.peer(), replica.peer());
    }
    // This device has nothing yet, and the gateway has nothing to give it.
    let mut other = Device::member(&world.network, 51, one.space, key(50 ^ 0x80), None);
    let mut there = other.connect(&gateway.context.net).await.unwrap();
    let space = gateway.spaces.get(one.space).unwrap();
    let source = space.open().await.unwrap().source;
    let back = async {
        let lost = source.range_at_once(entry.core().log, 0, 1, u64::MAX).await;
        assert!(lost.is_err(), "all replicas are away: {lost:?}");
        for replica in world.replicas(&one.space) {
            world.network.heal(gateway.peer(), replica.peer());
        }
    };
    tokio::join!(there.run(&mut other, |device| device.count(&NOTES) == 2), back);
    assert!(there.ended.is_none(), "{:?} {:?}", there.ended, there.last);
}

#[tokio::test]
async fn a_space_that_moves_is_handed_over() {
    let world = World::new(6);
    // A space whose gateway is a replica among the first three, and none among all six.
    let moves = |device: &Device, supernode: &Supernode| {
        !world.replicas(&device.space).iter().any(|replica| replica.peer() == supernode.peer())
    };
    let mut founders = (50..100).map(|n| Device::founder(&world.network, n));
    let (mut device, gateway) = founders
        .find_map(|device| {
            let gateway = world.supernodes[..3].iter().find(|supernode| moves(&device, supernode))?;
            Some((device, gateway))
        })
        .unwrap();
    world.set_members(&[1, 2, 3]);
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    world.set_members(&[1, 2, 3, 4, 5, 6]);
    // Its part has changed, so the session has to be opened anew.
    link.run(&mut device, |_| false).await;
    assert_eq!(link.ended.flatten().unwrap().code, RefusalCode::Stopping);
    for supernode in world.replicas(&device.space) {
        holds(supernode, &device, &entry).await;
    }
    let mut again = device.connect(&gateway.context.net).await.unwrap();
    again.run(&mut device, |device| device.equal > 1).await;
    assert_ne!(again.source, gateway.peer());
}

#[tokio::test]
async fn a_forged_entry_is_refused_and_its_bearer_cut_off() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let gateway = world.replicas(&device.space)[0];
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    let forged = device.forge(NOTES, &key(99));
    link.pushed(&mut device, NOTES, &forged);
    link.run(&mut device, |_| false).await;
    let refusal = link.ended.unwrap();
    assert!(refusal.is_none_or(|refusal| refusal.code == RefusalCode::InvalidEntry));
    for supernode in world.replicas(&device.space) {
        holds(supernode, &device, &entry).await;
    }
    eventually("the liar is disconnected", || async {
        let connected = gateway.context.net.connected().await.unwrap();
        (!connected.contains(&device.key.peer_id())).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_that_nobody_gave_a_right_opens_nothing() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let gateway = world.replicas(&device.space)[0];
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.equal > 0).await;
    let mut nobody = Device::member(&world.network, 51, device.space, key(77), None);
    let Err(refusal) = nobody.connect(&gateway.context.net).await else { panic!("it must be refused") };
    assert_eq!(refusal.code, RefusalCode::NotAuthorised);
    let elsewhere = cosmic_common::id::SpaceId::from_bytes([5; 32]);
    let mut lost = Device::member(&world.network, 52, elsewhere, key(77), None);
    let Err(refusal) = lost.connect(&gateway.context.net).await else { panic!("it must be refused") };
    assert_eq!(refusal.code, RefusalCode::UnknownSpace);
}
