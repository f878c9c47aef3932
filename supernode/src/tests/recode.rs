//! Coding anew: beside the old coding until the new one is safe, counted as what is there, and never believed unread.

use cosmic_common::{
    hash,
    id::{ObjectId, SpaceId},
    record::Record as _,
};
use cosmic_erasure::{Codec, Coder, Manifest, coded_anew};
use cosmic_runtime::clock::Clock;
use cosmic_store::Span;

use super::world::{Supernode, World, eventually};
use crate::{
    care,
    config::Config,
    moves,
    shards::Giving,
    tables::{KEPT, MANIFESTS, PLACEMENTS, STRAYS},
};

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
const BYTES: usize = 30_000;

/// Six supernodes, four of which are in the ring. They look every second, and days are seconds.
fn world() -> World {
    let care = care::Config {
        ping_every_secs: 1,
        walk_every_secs: 1,
        recode_after_secs: 1,
        ..care::Config::default()
    };
    let moves = moves::Config { look_every_secs: 1, free_after_secs: 2, drain_secs: 2 };
    let world = World::with_clock(6, &Clock::system(), &Config { care, moves, ..Config::default() });
    world.set_members(&[1, 2, 3, 4]);
    world
}

async fn store(gateway: &Supernode, seed: u8) -> (ObjectId, Vec<u8>) {
    let bytes = vec![seed; BYTES];
    let id = ObjectId::from_bytes(*hash::plain(&bytes).as_bytes());
    let stored = gateway.services.objects.put(SPACE, id, bytes.clone()).await.unwrap();
    assert_eq!(stored.receipts.len(), 3);
    (id, bytes)
}

fn own(supernode: &Supernode, coding: &ObjectId) -> usize {
    supernode.services.shards.keeper().surveyed(coding).unwrap().own.len()
}

fn kept(world: &World, coding: &ObjectId) -> usize {
    world.supernodes.iter().map(|supernode| own(supernode, coding)).sum()
}

async fn read(gateway: &Supernode, object: ObjectId) -> Vec<u8> {
    gateway.services.objects.get(SPACE, object).await.unwrap().into_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_change_their_class_and_nothing_else() {
    let world = world();
    let codec = Codec::new(3, 6).unwrap();
    let mut objects = Vec::new();
    for seed in 0..5 {
        objects.push(store(&world.supernodes[0], seed).await);
    }
    world.set_members(&[1, 2, 3, 4, 5, 6]);
    eventually("everything lies in the class of six", || async {
        let is_done = |(object, _): &(ObjectId, Vec<u8>)| {
            kept(&world, object) == 0 && kept(&world, &coded_anew(object, codec)) == 6
        };
        objects.iter().all(is_done).then_some(())
    })
    .await;
    for supernode in &world.supernodes {
        let (store, totals) = (&supernode.context.store, supernode.services.quotas.totals().unwrap());
        assert_eq!((totals.objects, totals.shards, totals.shard_bytes), (5, 5, 5 * 10_000));
        assert_eq!(store.scan(&KEPT, &Span::all(), usize::MAX).count(), 5);
        assert_eq!(store.scan(&MANIFESTS, &Span::all(), usize::MAX).count(), 5);
        assert_eq!(store.scan(&STRAYS, &Span::all(), usize::MAX).count(), 0);
        let recorded = store.scan(&PLACEMENTS, &Span::all(), usize::MAX).map(Result::unwrap);
        let stale = recorded.filter(|(coding, _)| objects.iter().any(|(object, _)| object == coding));
        assert_eq!(stale.count(), 0, "the record of the old coding goes with its shards");
        for (object, bytes) in &objects {
            assert!(read(supernode, *object).await == *bytes);
            let found = supernode.services.objects.whereabouts(&SPACE, *object).await.unwrap();
            assert!(supernode.services.objects.is_safe(&found));
            // Who stores it again need not send it.
            assert!(supernode.services.objects.stored(SPACE, *object).await.unwrap().is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_put_left_in_another_class_hinders_no_other() {
    let world = world();
    let bytes = vec![5; BYTES];
    let coder = Coder::new(Codec::new(3, 6).unwrap()).unwrap();
    let encoded = coder.encode(bytes.clone()).unwrap();
    let (manifest, manifest_bytes) = (encoded.manifest(), encoded.manifest().to_bytes());
    let object = manifest.object();
    // As of a ring of six, of which half did not answer.
    let gateway = &world.supernodes[0];
    for (index, holder) in (0..).zip(&world.supernodes[1..3]) {
        let (holder, bytes) = (holder.context.peer, encoded.shard(index).unwrap());
        let manifest_bytes = &manifest_bytes[..];
        let giving = Giving { holder, owner: None, space: SPACE, manifest, manifest_bytes, index, bytes };
        gateway.services.shards.give(giving).await.unwrap();
    }
    let stored = gateway.services.objects.put(SPACE, object, bytes.clone()).await.unwrap();
    assert!(gateway.services.objects.is_safe(&stored), "the ring of four keeps it");
    for supernode in &world.supernodes[..4] {
        assert!(read(supernode, object).await == bytes);
        let found = supernode.services.objects.whereabouts(&SPACE, object).await.unwrap();
        assert!(supernode.services.objects.is_safe(&found));
    }
    eventually("what was left goes", || async { (kept(&world, &object) == 0).then_some(()) }).await;
}

/// Shards of other bytes, with a manifest that says that they are `object`.
fn forged(object: &ObjectId, codec: Codec) -> (Vec<Vec<u8>>, Manifest) {
    let other = vec![99; BYTES];
    let encoded = Coder::new(codec).unwrap().encode(other).unwrap();
    let mut bytes = encoded.manifest().clone().anew().to_bytes();
    let named = *encoded.manifest().object().as_bytes();
    let place = bytes.windows(32).position(|window| window == named).unwrap();
    bytes[place..place + 32].copy_from_slice(object.as_bytes());
    (encoded.shards().map(<[u8]>::to_vec).collect(), Manifest::from_bytes(&bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_liar_coded_anew_is_not_given_anything_up_for() {
    let world = world();
    let codec = Codec::new(3, 6).unwrap();
    let (object, bytes) = store(&world.supernodes[0], 1).await;
    let (shards, manifest) = forged(&object, codec);
    world.set_members(&[1, 2, 3, 4, 5, 6]);
    let liar = &world.supernodes[5];
    let manifest_bytes = manifest.to_bytes();
    // Before anybody honest gets to it: everybody has a shard, and signs for it.
    let known = std::sync::Arc::clone(&liar.services.shards.holders().borrow());
    let holders = liar.services.shards.table(&known, &SPACE).holders(&object, 6);
    for (index, holder) in (0..).zip(holders) {
        let (manifest, bytes) = (&manifest, shards[usize::from(index)].as_slice());
        let manifest_bytes = &manifest_bytes[..];
        let giving = Giving { holder, owner: None, space: SPACE, manifest, manifest_bytes, index, bytes };
        liar.services.shards.give(giving).await.unwrap();
    }
    assert_eq!(kept(&world, &manifest.coding()), 6);
    let found_out = |supernode: &&Supernode| supernode.services.shards.metrics().manifests_forged.get() > 0;
    eventually("those who have the old copies read the new one, and find what it is", || async {
        let holders = world.supernodes.iter().filter(|supernode| own(supernode, &object) > 0);
        let (all, wise) =
            holders.fold((0, 0), |(all, wise), one| (all + 1, wise + u32::from(found_out(&one))));
        assert!(all >= 3, "nobody gives anything up");
        (wise == all).then_some(())
    })
    .await;
    for supernode in &world.supernodes {
        assert!(read(supernode, object).await == bytes);
    }
    assert!(kept(&world, &object) >= 3);
}
