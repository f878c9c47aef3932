//! Moves after a change of the ring: what belongs elsewhere goes there, and is freed where it was, last of all.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    hash,
    id::{ChannelId, ObjectId, PeerId, SpaceId},
};
use cosmic_custody::{Promise, Receipt, Release, retire::Stage};
use cosmic_log::{entry::Entry, kind::Kind};
use cosmic_ring::Regions;
use cosmic_runtime::clock::Clock;
use cosmic_store::{Span, Store};

use super::{
    device::Device,
    world::{Supernode, World, eventually, key},
};
use crate::{
    care,
    config::Config,
    moves,
    shards::Keeper,
    spaces::{self, Forgotten},
    tables::{
        ENTRIES, FORKS, FORWARDS, FREEING, HANDED, KEPT, LEAVING, LOGS, MANIFESTS, ORDER, PACKS, PLACEMENTS,
        SHARDS, SPACES, STRAYS, TAILS, USAGE,
    },
};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);
const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
/// One more than an object has shards.
const SUPERNODES: u8 = 7;
const OBJECTS: u8 = 6;

/// Supernodes that look every second, and free after two.
fn world() -> World {
    let care = care::Config { ping_every_secs: 1, walk_every_secs: 1, ..care::Config::default() };
    let moves = moves::Config { look_every_secs: 1, free_after_secs: 2, drain_secs: 2 };
    World::with_clock(SUPERNODES, &Clock::system(), &Config { care, moves, ..Config::default() })
}

fn object(seed: u8) -> (ObjectId, Vec<u8>) {
    let bytes = vec![seed; 30_000];
    (ObjectId::from_bytes(*hash::plain(&bytes).as_bytes()), bytes)
}

/// Objects that `gateway` has stored, each safe.
async fn stored(gateway: &Supernode) -> Vec<(ObjectId, Vec<u8>)> {
    let mut objects = Vec::new();
    for seed in 0..OBJECTS {
        let (id, bytes) = object(seed);
        let stored = gateway.services.objects.put(SPACE, id, bytes.clone()).await.unwrap();
        assert_eq!(stored.receipts.len(), 6);
        objects.push((id, bytes));
    }
    objects
}

fn own(supernode: &Supernode, object: &ObjectId) -> Vec<u8> {
    supernode.services.shards.keeper().surveyed(object).unwrap().own.iter().collect()
}

/// Who has which shards, if each is somewhere just once.
fn placed(world: &World, object: &ObjectId) -> Option<BTreeMap<u8, PeerId>> {
    let mut places = BTreeMap::new();
    for supernode in &world.supernodes {
        for index in own(supernode, object) {
            if places.insert(index, supernode.peer()).is_some() {
                return None;
            }
        }
    }
    (places.len() == 6).then_some(places)
}

fn is_empty(store: &Store) -> bool {
    let counters = store.scan(&USAGE, &Span::all(), usize::MAX).map(Result::unwrap);
    store.scan(&KEPT, &Span::all(), 1).next().is_none()
        && store.scan(&SHARDS, &Span::all(), 1).next().is_none()
        && store.scan(&MANIFESTS, &Span::all(), 1).next().is_none()
        && store.scan(&HANDED, &Span::all(), 1).next().is_none()
        && store.scan(&STRAYS, &Span::all(), 1).next().is_none()
        && store.scan(&PLACEMENTS, &Span::all(), 1).next().is_none()
        && store.scan(&ENTRIES, &Span::all(), 1).next().is_none()
        && store.scan(&FORKS, &Span::all(), 1).next().is_none()
        && store.scan(&LOGS, &Span::all(), 1).next().is_none()
        && store.scan(&ORDER, &Span::all(), 1).next().is_none()
        && store.scan(&SPACES, &Span::all(), 1).next().is_none()
        && store.scan(&LEAVING, &Span::all(), 1).next().is_none()
        && store.scan(&TAILS, &Span::all(), 1).next().is_none()
        && store.scan(&PACKS, &Span::all(), 1).next().is_none()
        && store.scan(&FREEING, &Span::all(), 1).next().is_none()
        && store.scan(&FORWARDS, &Span::all(), 1).next().is_none()
        && counters.into_iter().all(|(_account, amount)| amount == 0)
}

fn number(world: &World, supernode: &Supernode) -> u8 {
    let place = world.supernodes.iter().position(|other| other.peer() == supernode.peer()).unwrap();
    u8::try_from(place).unwrap() + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_retires_leaves_nothing_behind_and_says_so() {
    let world = world();
    let mut device = Device::founder(&world.network, 50);
    let [gateway, leaving, _] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    let written: Vec<Entry> = (0..20).map(|n| device.write(NOTES, Kind::Change, vec![n; 1000])).collect();
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    let last = written.last().unwrap().clone();
    link.run(&mut device, |device| device.keepers(&last, Promise::Keeps).len() == 3).await;
    // A run of it lies in a pack, which new replicas learn of.
    let log = last.core().log;
    let packed = gateway.services.packs.wanted(device.space, log, last.core().seq).await.unwrap();
    let objects = stored(gateway).await;
    let had: usize = objects.iter().map(|(object, _)| own(leaving, object).len()).sum();
    assert!(had > 0, "it keeps some of the shards");

    world.retire(number(&world, leaving));
    assert!(!world.replicas(&device.space).iter().any(|replica| replica.peer() == leaving.peer()));
    // The log goes on where it is kept now, so that the end that is left behind is nobody's end any more.
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    let more = device.write(NOTES, Kind::Change, b"more".to_vec());
    link.pushed(&mut device, NOTES, &more);
    link.run(&mut device, |device| device.keepers(&more, Promise::Keeps).len() >= 2).await;

    eventually("it says that nothing is left", || async {
        matches!(leaving.services.leaving.stage(), Stage::Empty { .. }).then_some(())
    })
    .await;
    assert!(is_empty(&leaving.context.store), "{}", leaving.services.leaving.status());
    assert_eq!(leaving.services.leaving.status()["left"]["bytes"], 0);
    world.network.leave(leaving.peer());
    for replica in world.replicas(&device.space) {
        let heads = replica.spaces.stored_heads(device.space).unwrap();
        assert_eq!(heads[&NOTES][&log].entry, more.id(), "every replica has the whole log");
        let packs = replica.spaces.reader().packs(device.space, log, 0, usize::MAX).unwrap();
        assert!(packs.contains(&packed), "and knows of its packs");
    }
    for (object, bytes) in &objects {
        let places = placed(&world, object).expect("each shard is somewhere once");
        assert!(!places.values().any(|holder| *holder == leaving.peer()));
        let read = gateway.services.objects.get(SPACE, *object).await.unwrap();
        assert_eq!(&read.into_vec(), bytes);
        let found = gateway.services.objects.whereabouts(&SPACE, *object).await.unwrap();
        assert_eq!(found.receipts.len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_gets_its_part_and_the_old_copies_go() {
    let world = world();
    world.set_members(&[1, 2, 3, 4, 5, 6]);
    let gateway = &world.supernodes[0];
    let objects = stored(gateway).await;
    let newcomer = &world.supernodes[6];
    let before: Vec<_> = objects.iter().map(|(object, _)| placed(&world, object).unwrap()).collect();

    world.set_members(&[1, 2, 3, 4, 5, 6, 7]);
    eventually("every shard is where it belongs, and nowhere else", || async {
        let holders = world.holders.borrow().clone();
        let at_home = |object: &ObjectId| {
            let mut should = holders.table(&SPACE, &Regions::ALL).holders(object, 6);
            should.sort_unstable();
            let mut are: Vec<PeerId> = placed(&world, object)?.into_values().collect();
            are.sort_unstable();
            (are == should).then_some(())
        };
        objects.iter().all(|(object, _)| at_home(object).is_some()).then_some(())
    })
    .await;
    let mut moved = 0;
    for ((object, bytes), before) in objects.iter().zip(before) {
        let after = placed(&world, object).unwrap();
        let changed: Vec<u8> = (0..6).filter(|index| before[index] != after[index]).collect();
        assert!(changed.iter().all(|index| after[index] == newcomer.peer()), "only to the newcomer");
        assert!(changed.len() <= 1, "who has a shard keeps it");
        moved += changed.len();
        assert_eq!(&newcomer.services.objects.get(SPACE, *object).await.unwrap().into_vec(), bytes);
    }
    assert!(moved > 0, "the newcomer has a part");
    for supernode in &world.supernodes {
        assert!(supernode.context.store.scan(&STRAYS, &Span::all(), 1).next().is_none());
        let kept = objects.iter().map(|(object, _)| own(supernode, object).len()).sum::<usize>() as u64;
        assert_eq!(supernode.services.quotas.totals().unwrap().shards, kept, "the counters are exact");
    }
}

fn promises(keeper: &Keeper, object: &ObjectId) -> Vec<Promise> {
    let receipts = keeper.which(object).unwrap().receipts;
    receipts.iter().map(|receipt| Receipt::open(receipt).unwrap().promise).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_on_its_way_out_is_promised_to_nobody_and_goes_only_as_it_was_asked_about() {
    let world = World::new(SUPERNODES);
    let gateway = &world.supernodes[0];
    let (object, bytes) = object(1);
    gateway.services.objects.put(SPACE, object, bytes).await.unwrap();
    let holder = world.supernodes.iter().find(|node| !own(node, &object).is_empty()).unwrap();
    let (keeper, index) = (holder.services.shards.keeper(), own(holder, &object)[0]);
    // Nobody moves what is noted here: it would be found to belong here before the next line is reached, or after it.
    holder.context.tasks.stop(Duration::from_secs(20)).await.unwrap();
    let settled = |ms| Release::since(Some(cosmic_common::time::Timestamp::from_unix_ms(ms)));
    assert!(!keeper.let_go(object, index, settled(5)).await.unwrap(), "it is no stray");
    keeper.note_strays(&[(object, index), (object, index ^ 1)]).await.unwrap();
    assert_eq!(keeper.strays(&object).unwrap(), BTreeMap::from([(index, Release::default())]));
    assert_eq!(promises(keeper, &object), [Promise::Keeps]);
    keeper.settle(object, index, Some(settled(5))).await.unwrap();
    assert_eq!(promises(keeper, &object), [Promise::Forwards]);
    keeper.note_strays(&[(object, index)]).await.unwrap();
    assert_eq!(promises(keeper, &object), [Promise::Forwards], "to be noted again changes nothing");
    // Somebody counts on it after all.
    let receipt = Receipt::open(&keeper.adopt(object, index).await.unwrap()).unwrap();
    assert_eq!(receipt.promise, Promise::Keeps);
    assert!(!keeper.let_go(object, index, settled(5)).await.unwrap(), "the release began anew");
    keeper.settle(object, index, Some(settled(6))).await.unwrap();
    assert!(keeper.let_go(object, index, settled(6)).await.unwrap());
    assert!(own(holder, &object).is_empty() && keeper.strays(&object).unwrap().is_empty());
    assert_eq!(holder.services.quotas.totals().unwrap().shards, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_forgets_nothing() {
    let world = World::new(SUPERNODES);
    let mut device = Device::founder(&world.network, 50);
    let replica = world.replicas(&device.space)[0];
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&replica.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    let ring = world.holders.borrow().digest();
    let part = Forgotten { logs: Vec::new(), entries: 0, bytes: 0, ring, is_last: true };
    let forgotten = replica.spaces.get(device.space).unwrap().forget(part.clone()).await;
    assert!(matches!(forgotten, Err(spaces::Error::StillReplica)));
    // Nor does anybody else by another ring than that by which the replicas were asked.
    let stranger = world.stranger(&device.space);
    let other = Forgotten { ring: cosmic_common::id::Hash::from_bytes([9; 32]), ..part };
    let forgotten = stranger.spaces.get(device.space).unwrap().forget(other).await;
    assert!(matches!(forgotten, Err(spaces::Error::StillReplica)));
    let mut other = Device::member(&world.network, 51, device.space, key(50 ^ 0x80), None);
    let mut there = other.connect(&replica.context.net).await.unwrap();
    there.run(&mut other, |other| other.count(&NOTES) == device.count(&NOTES)).await;
}
