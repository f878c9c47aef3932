//! Accounts: what the counters say is what a walk over everything finds.

use std::collections::BTreeMap;

use cosmic_common::{
    hash,
    id::{ChannelId, ObjectId, SpaceId},
};
use cosmic_custody::{Promise, Quota, Usage, message::refusal::RefusalCode};
use cosmic_identity::signed::Signed;
use cosmic_log::kind::Kind;
use cosmic_ring::{Admission, Members, NetworkConfig, State};
use cosmic_runtime::random;
use cosmic_store::{Span, Store};
use cosmic_sync::message::Frame;

use super::{
    device::Device,
    world::{World, key, member},
};
use crate::{
    accounts::bringer,
    quota::{Totals, by_space, sum_of},
    spaces::Origin,
    tables::{ENTRIES, KEPT, LOGS, SHARDS},
};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);
const SPACES: u8 = 4;

/// What a walk over everything finds.
pub(super) fn walked(store: &Store) -> BTreeMap<SpaceId, Totals> {
    let mut found: BTreeMap<SpaceId, Totals> = BTreeMap::new();
    let mut last = None;
    for item in store.scan(&KEPT, &Span::all(), usize::MAX) {
        let ((object, index), row) = item.unwrap();
        let bytes = store.get(&SHARDS, &(object, index)).unwrap().unwrap().len() as u64;
        assert_eq!(bytes, row.length);
        let used = found.entry(row.space).or_insert_with(|| Totals { spaces: 1, ..Totals::default() });
        used.shards += 1;
        used.shard_bytes += bytes;
        used.objects += u64::from(last.replace(object) != Some(object));
    }
    for item in store.scan(&LOGS, &Span::all(), usize::MAX) {
        let ((space, _, log), _) = item.unwrap();
        let used = found.entry(space).or_insert_with(|| Totals { spaces: 1, ..Totals::default() });
        for item in store.scan(&ENTRIES, &Span::prefix(&log), usize::MAX) {
            used.entries += 1;
            used.entry_bytes += item.unwrap().1.len() as u64;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_say_what_a_walk_finds() {
    let world = World::new(6);
    let mut device = Device::founder(&world.network, 50);
    for n in 0..15_u8 {
        let [size, gateway, ..] = random::bytes::<8>();
        let mut chunk = vec![0; 1 + usize::from(size) * 700];
        random::fill(&mut chunk);
        let object = ObjectId::from_bytes(*hash::plain(&chunk).as_bytes());
        let objects = &world.supernodes[usize::from(gateway) % 6].services.objects;
        // A put that is given up half way, as when its device is killed, may have left shards: they count.
        let put = objects.put(SpaceId::from_bytes([n % SPACES; 32]), object, chunk.clone());
        if n % 5 == 4 {
            drop(tokio::time::timeout(std::time::Duration::from_micros(u64::from(size) * 40), put).await);
        } else {
            put.await.unwrap();
            // The same again, in another space, changes nothing.
            objects.put(SpaceId::from_bytes([9; 32]), object, chunk).await.unwrap();
        }
    }
    let gateway = &world.replicas(&device.space)[0].context.net;
    let last =
        (0..30_u8).map(|n| device.write(NOTES, Kind::Change, vec![n; usize::from(n) * 50])).last().unwrap();
    let mut link = device.connect(gateway).await.unwrap();
    link.run(&mut device, |device| device.keepers(&last, Promise::Keeps).len() == 3).await;
    for supernode in &world.supernodes {
        let store = &supernode.context.store;
        // Whatever is still being written lands in one batch with its counters: at rest both agree.
        // One operator runs them all, and every space came through it.
        super::world::eventually("the counters to agree with a walk", || async {
            let (walked, spaces) = (walked(store), by_space(store).unwrap());
            let Totals { entries, entry_bytes, shards, shard_bytes, .. } = sum_of(walked.values());
            let sponsored = supernode.context.accounts.usage(&key(201).operator_id()).unwrap();
            let kept = Usage { entries, entry_bytes, shards, shard_bytes };
            (spaces == walked && sponsored == kept).then_some(())
        })
        .await;
        assert!(walked(store).len() >= usize::from(SPACES));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sponsor_without_room_is_refused_with_a_sentence() {
    let world = World::new(6);
    let operator = key(201).operator_id();
    let mut device = Device::founder(&world.network, 50);
    let replica = world.replicas(&device.space)[0];
    let first = device.write(NOTES, Kind::Change, vec![1; 1000]);
    let mut link = device.connect(&replica.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&first, Promise::Keeps).len() == 3).await;
    for supernode in &world.supernodes {
        let entry_bytes = supernode.context.accounts.usage(&operator).unwrap().entry_bytes;
        let small = Quota { entry_bytes, shard_bytes: 100_000 };
        supernode.context.accounts.set_quota(operator, Some(small)).await.unwrap();
    }
    let second = device.write(NOTES, Kind::Change, vec![2; 1000]);
    let space = replica.spaces.get(device.space).unwrap();
    let frame = Frame::from(second.as_bytes().to_vec());
    let appended = space.append(vec![frame.into()], Origin::Session(0)).await.unwrap();
    let [(0, refusal)] = appended.stopped.as_slice() else { panic!("{appended:?}") };
    assert_eq!(refusal.code, RefusalCode::QuotaExceeded);
    assert!(refusal.to_string().contains("ask the operator of this supernode"), "{refusal}");
    let chunk = vec![3; 600_000];
    let object = ObjectId::from_bytes(*hash::plain(&chunk).as_bytes());
    let objects = &world.supernodes[0].services.objects;
    let put = objects.put(SpaceId::from_bytes([9; 32]), object, chunk).await;
    let sentence = cosmic_runtime::exit::sentence(&put.unwrap_err());
    assert!(sentence.contains(&operator.short().to_string()), "{sentence}");
}

#[test]
fn whoever_moves_a_space_names_its_sponsor() {
    let config = NetworkConfig::new(&key(200));
    let network = config.network();
    let config = NetworkConfig { admission: Admission::Open, ..config };
    let mut members = Members::new(Signed::sign(config, &key(200)), network).unwrap();
    let (first, second, stranger) = (key(201), key(202), key(203).operator_id());
    for (number, operator) in [(1, &first), (2, &second)] {
        members.insert(member(network, operator, (number, "here", State::Active))).unwrap();
    }
    let (mover, named) = (key(1).peer_id(), second.operator_id());
    assert_eq!(bringer(&members, &mover, Some(named)), Some(named));
    assert_eq!(bringer(&members, &mover, None), Some(first.operator_id()));
    assert_eq!(bringer(&members, &mover, Some(stranger)), Some(first.operator_id()), "of this network only");
    assert_eq!(bringer(&members, &key(9).peer_id(), None), None);
}
