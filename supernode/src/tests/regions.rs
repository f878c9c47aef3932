//! Regions: nothing of a space that names some lies anywhere else, whoever is asked, moved, handed off or repaired.

use cosmic_common::{
    hash,
    id::{ChannelId, ObjectId, PeerId},
    record::Record as _,
};
use cosmic_custody::{
    Promise, Receipt,
    message::{
        refusal::RefusalCode,
        replica::{ReplicaAnswer, ReplicaRequest},
    },
};
use cosmic_log::kind::Kind;
use cosmic_space::genesis::{Genesis, Policy, membership_channel};
use cosmic_store::{Span, Store};

use super::{
    device::Device,
    world::{Supernode, World, eventually, key},
};
use crate::{
    care,
    config::Config,
    moves,
    objects::Error,
    residences::Residences,
    tables::{
        ENTRIES, FORWARDS, HANDED, KEPT, LEASES, LOGS, MANIFESTS, ORDER, PACKS, PLACEMENTS, RESIDENCES,
        SHARDS, SPACES, TAILS, USAGE,
    },
};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);
/// Wide enough for a space of its own: seven; and four elsewhere.
const REGIONS: [&str; 11] =
    ["north", "north", "north", "north", "north", "north", "north", "south", "south", "south", "south"];

fn settings() -> Config {
    let care = care::Config { ping_every_secs: 1, walk_every_secs: 1, ..care::Config::default() };
    let moves = moves::Config { look_every_secs: 1, free_after_secs: 2, drain_secs: 2 };
    Config { care, moves, ..Config::default() }
}

fn world() -> World {
    World::in_regions(&REGIONS, &settings())
}

fn policy(region: &str) -> Policy {
    Policy { regions: vec![region.to_owned()], ..Policy::default() }
}

fn genesis(region: &str) -> Genesis {
    Genesis { root: key(90).writer_id(), nonce: [9; 16], policy: policy(region) }
}

fn object(seed: u8) -> (ObjectId, Vec<u8>) {
    let bytes = vec![seed; 30_000];
    (ObjectId::from_bytes(*hash::plain(&bytes).as_bytes()), bytes)
}

/// Whether nothing of any space is on the disk of a supernode, and never was counted.
fn is_empty(store: &Store) -> bool {
    let counters = store.scan(&USAGE, &Span::all(), usize::MAX).map(Result::unwrap);
    store.scan(&ENTRIES, &Span::all(), 1).next().is_none()
        && store.scan(&LOGS, &Span::all(), 1).next().is_none()
        && store.scan(&ORDER, &Span::all(), 1).next().is_none()
        && store.scan(&SPACES, &Span::all(), 1).next().is_none()
        && store.scan(&TAILS, &Span::all(), 1).next().is_none()
        && store.scan(&PACKS, &Span::all(), 1).next().is_none()
        && store.scan(&FORWARDS, &Span::all(), 1).next().is_none()
        && store.scan(&KEPT, &Span::all(), 1).next().is_none()
        && store.scan(&SHARDS, &Span::all(), 1).next().is_none()
        && store.scan(&MANIFESTS, &Span::all(), 1).next().is_none()
        && store.scan(&PLACEMENTS, &Span::all(), 1).next().is_none()
        && store.scan(&HANDED, &Span::all(), 1).next().is_none()
        && store.scan(&RESIDENCES, &Span::all(), 1).next().is_none()
        && counters.into_iter().all(|(_account, amount)| amount == 0)
}

fn north(world: &World) -> &[Supernode] {
    &world.supernodes[..7]
}

fn south(world: &World) -> &[Supernode] {
    &world.supernodes[7..]
}

fn is_in(nodes: &[Supernode], peer: &PeerId) -> bool {
    nodes.iter().any(|node| node.peer() == *peer)
}

/// Who keeps shards of an object, of those that are running.
fn keepers<'a>(world: &'a World, object: &ObjectId) -> Vec<&'a Supernode> {
    let keeps = |node: &&Supernode| !node.services.shards.keeper().surveyed(object).unwrap().own.is_empty();
    world.supernodes.iter().filter(keeps).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_outside_passes_on_and_keeps_nothing() {
    let world = world();
    let mut device = Device::founder_with(&world.network, 50, policy("north"));
    let gateway = &south(&world)[0];
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    assert!(device.keepers(&entry, Promise::Keeps).iter().all(|peer| is_in(north(&world), peer)));
    assert_eq!(device.keepers(&entry, Promise::Forwards), [], "what is on no disk is not promised");
    let live = device.write(NOTES, Kind::Change, b"live".to_vec());
    link.pushed(&mut device, NOTES, &live);
    link.run(&mut device, |device| device.keepers(&live, Promise::Keeps).len() == 3).await;

    let (id, bytes) = object(1);
    let stored = gateway.services.objects.put(device.space, id, bytes.clone()).await.unwrap();
    assert_eq!(stored.receipts.len(), 6, "seven supernodes stand there: 3 of 6");
    let holders = stored.receipts.iter().map(|receipt| Receipt::open(receipt).unwrap().holder);
    assert!(holders.into_iter().all(|holder| is_in(north(&world), &holder)));
    let read = gateway.services.objects.get(device.space, id).await.unwrap();
    assert_eq!(read.into_vec(), bytes);
    eventually("the placement record is kept in the region", || async {
        let keeps = |node: &&Supernode| node.context.store.contains(&PLACEMENTS, &id).unwrap();
        (north(&world).iter().filter(keeps).count() == 3).then_some(())
    })
    .await;
    for node in south(&world) {
        assert!(is_empty(&node.context.store), "{} stands elsewhere", node.peer().short());
        assert!(node.context.store.scan(&LEASES, &Span::all(), 1).next().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_the_genesis_finds_the_space_all_the_same() {
    let world = world();
    let mut founder = Device::founder_with(&world.network, 50, policy("south"));
    let entry = founder.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = founder.connect(&south(&world)[0].context.net).await.unwrap();
    link.run(&mut founder, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    // A second device of the same writer, that has nothing yet, at a gateway that never heard of the space.
    let gateway = &north(&world)[3];
    assert!(gateway.context.residences.genesis(&founder.space).is_none());
    let mut other = Device::member(&world.network, 51, founder.space, key(50 ^ 0x80), None);
    let mut there = other.connect(&gateway.context.net).await.unwrap();
    there.run(&mut other, |device| device.count(&NOTES) == 2 && device.equal > 0).await;
    assert!(north(&world).iter().all(|node| is_empty(&node.context.store)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_outside_refuses_with_a_sentence() {
    let world = world();
    let genesis = genesis("north");
    let (space, inside, outside) = (genesis.space_id(), &north(&world)[0], &south(&world)[0]);
    inside.spaces.learn(&genesis);
    let (id, bytes) = object(2);
    inside.services.objects.put(space, id, bytes).await.unwrap();
    let keeper = inside.services.shards.keeper();
    let from = keepers(&world, &id)[0];
    let manifest_bytes = from.services.shards.keeper().manifest(&id).unwrap().unwrap();
    let manifest = cosmic_erasure::Manifest::from_bytes(&manifest_bytes).unwrap();
    let index = from.services.shards.keeper().surveyed(&id).unwrap().own.iter().next().unwrap();
    let shard = from.services.shards.keeper().shard(id, index).await.unwrap();
    for owner in [None, Some(from.peer())] {
        let giving = crate::shards::Giving {
            holder: outside.peer(),
            owner,
            space,
            manifest: &manifest,
            manifest_bytes: &manifest_bytes,
            index,
            bytes: &shard.bytes,
        };
        let refused = inside.services.shards.give(giving).await.unwrap_err().refusal();
        assert_eq!(refused.code, RefusalCode::NotResponsible);
        let sentence = refused.sentence.as_str().to_owned();
        assert!(sentence.contains("stands in south") && sentence.contains("in north"), "{sentence}");
    }
    // Entries as well: also of somebody who does not say first where they may lie.
    let mut device = Device::founder_with(&world.network, 50, policy("north"));
    let note = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let entries = [device.opening(&note), note].map(|entry| entry.as_bytes().to_vec()).to_vec();
    let entries = device
        .entries(&membership_channel(&device.space))
        .iter()
        .map(|entry| entry.as_bytes().to_vec())
        .chain(entries)
        .collect();
    let request = ReplicaRequest::Append { space: device.space, entries };
    let answer = inside.spaces.replicas().call(outside.peer(), request).wait().await.unwrap();
    let ReplicaAnswer::Refused(refused) = answer else { panic!("it was taken: {answer:?}") };
    assert_eq!(refused.code, RefusalCode::NotResponsible, "{refused}");
    assert!(is_empty(&outside.context.store));
    assert!(keeper.may_keep(&space).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_off_and_repair_stay_in_the_region() {
    let world = world();
    let genesis = genesis("north");
    let space = genesis.space_id();
    let gateway = &south(&world)[1];
    gateway.spaces.learn(&genesis);
    let (id, bytes) = object(3);
    let plan = gateway.services.shards.plan(&space, &id).unwrap();
    assert_eq!(
        (plan.shards.len(), plan.stand_ins.len()),
        (6, 1),
        "the seventh of the region, and nobody else"
    );
    // A holder is away: the seventh stands in for it.
    let away = plan.shards[1].holder;
    world.network.leave(away);
    let stored = gateway.services.objects.put(space, id, bytes.clone()).await.unwrap();
    assert!(stored.receipts.len() >= 5, "{}", stored.receipts.len());
    // Two leave the ring for good, so that six shards have five places: south is not asked to help.
    let number =
        |peer: PeerId| u8::try_from(world.supernodes.iter().position(|n| n.peer() == peer).unwrap() + 1);
    let gone = [number(away).unwrap(), number(plan.shards[2].holder).unwrap()];
    world.network.leave(plan.shards[2].holder);
    let left: Vec<u8> = (1..=11).filter(|number| !gone.contains(number)).collect();
    world.set_members(&left);
    eventually("every one of the five that are left has a shard", || async {
        let living =
            keepers(&world, &id).into_iter().filter(|node| !gone.contains(&number(node.peer()).unwrap()));
        (living.count() == 5).then_some(())
    })
    .await;
    for node in south(&world) {
        assert!(is_empty(&node.context.store), "{} stands elsewhere", node.peer().short());
    }
    assert_eq!(gateway.services.objects.get(space, id).await.unwrap().into_vec(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supernode_that_moves_to_another_region_gives_up_what_may_not_lie_there() {
    let world = world();
    let mut device = Device::founder_with(&world.network, 50, policy("north"));
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let mut link = device.connect(&south(&world)[0].context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    let moving = world.replicas(&device.space)[1];
    let gateway = &south(&world)[0];
    let mut objects = Vec::new();
    for seed in 10..16 {
        let (id, bytes) = object(seed);
        gateway.services.objects.put(device.space, id, bytes.clone()).await.unwrap();
        objects.push((id, bytes));
    }
    assert!(
        objects.iter().any(|(id, _)| keepers(&world, id).iter().any(|node| node.peer() == moving.peer()))
    );
    let number = world.supernodes.iter().position(|node| node.peer() == moving.peer()).unwrap() + 1;
    world.move_to(u8::try_from(number).unwrap(), "south");
    eventually("it keeps no shard, and no entry", || async {
        let store = &moving.context.store;
        let shards = store.scan(&KEPT, &Span::all(), 1).next();
        let logs = store.scan(&LOGS, &Span::all(), 1).next();
        (shards.is_none() && logs.is_none()).then_some(())
    })
    .await;
    for (id, bytes) in &objects {
        assert_eq!(&gateway.services.objects.get(device.space, *id).await.unwrap().into_vec(), bytes);
        assert!(keepers(&world, id).iter().all(|node| node.peer() != moving.peer()));
    }
    assert!(!world.replicas(&device.space).iter().any(|node| node.peer() == moving.peer()));
    // What it knew goes with the next start, when nothing is left of the space.
    let residences = Residences::open(&moving.context.store).unwrap();
    assert!(residences.genesis(&device.space).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_members_make_a_smaller_class_and_none_make_a_sentence() {
    let world = world();
    let gateway = &world.supernodes[0];
    let (few, none) = (genesis("south"), genesis("east"));
    gateway.spaces.learn(&few);
    gateway.spaces.learn(&none);
    let (id, bytes) = object(4);
    let stored = gateway.services.objects.put(few.space_id(), id, bytes.clone()).await.unwrap();
    let holders: Vec<PeerId> =
        stored.receipts.iter().map(|receipt| Receipt::open(receipt).unwrap().holder).collect();
    assert_eq!(holders.len(), 3, "four supernodes: three whole copies");
    assert!(holders.iter().all(|holder| is_in(south(&world), holder)));
    let (id, bytes) = object(5);
    let refused = gateway.services.objects.put(none.space_id(), id, bytes).await.unwrap_err();
    assert!(matches!(refused, Error::NoRegion { .. }), "{refused}");
    assert!(refused.to_string().contains("east"), "{refused}");
    assert!(keepers(&world, &id).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_space_that_names_none_lies_in_the_one_wide_region() {
    let world = world();
    let device = Device::founder(&world.network, 50);
    let gateway = &south(&world)[0];
    for seed in 20..24 {
        let (id, bytes) = object(seed);
        gateway.services.objects.put(device.space, id, bytes).await.unwrap();
        let holders = keepers(&world, &id);
        assert_eq!(holders.len(), 6);
        assert!(holders.iter().all(|node| is_in(north(&world), &node.peer())), "no ocean between its shards");
    }
}

#[tokio::test]
async fn what_is_known_of_a_space_survives_a_start_with_its_data_alone() {
    let world = World::new(1);
    let node = &world.supernodes[0];
    let (kept, heard) = (genesis("north"), Genesis { nonce: [8; 16], ..genesis("north") });
    let residences = &node.context.residences;
    assert!(residences.learn(&kept) && residences.learn(&heard));
    assert!(!residences.learn(&kept), "known");
    assert!(!residences.learn(&Genesis { policy: Policy::default(), ..kept.clone() }), "it names none");
    let mut batch = node.context.store.batch();
    residences.keep(&mut batch, &kept.space_id());
    batch.put(&SPACES, &kept.space_id(), &node.context.clock.now());
    node.context.store.commit(batch).await.unwrap();
    let again = Residences::open(&node.context.store).unwrap();
    assert_eq!(again.genesis(&kept.space_id()).unwrap(), kept.to_bytes());
    assert!(!again.regions(&kept.space_id()).is_all());
    assert!(again.genesis(&heard.space_id()).is_none() && again.regions(&heard.space_id()).is_all());
}
