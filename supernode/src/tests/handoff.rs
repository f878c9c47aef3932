//! Hand-off: a shard whose holder is away is kept by another, goes home when he is back, and is repair's when he is not.

use std::time::Duration;

use cosmic_common::{
    hash,
    id::{ObjectId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_custody::{Promise, Receipt, message::object::Whereabouts};
use cosmic_runtime::clock::Clock;
use cosmic_store::Span;

use super::world::{Supernode, World, eventually};
use crate::{
    care,
    config::Config,
    tables::{HANDED, KEPT, MANIFESTS, SHARDS},
};

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
/// One more than an object has shards.
const SUPERNODES: u8 = 7;

fn object(seed: u8) -> (ObjectId, Vec<u8>) {
    let bytes = vec![seed; 50_000];
    (ObjectId::from_bytes(*hash::plain(&bytes).as_bytes()), bytes)
}

/// The gateway, a holder that is not the gateway, and the one who steps in for him.
fn parts<'a>(world: &'a World, object: &ObjectId) -> (&'a Supernode, &'a Supernode, &'a Supernode) {
    let plan = world.supernodes[0].services.shards.plan(&SPACE, object).unwrap();
    let find = |peer: PeerId| world.supernodes.iter().find(|node| node.peer() == peer).unwrap();
    (find(plan.shards[0].holder), find(plan.shards[1].holder), find(plan.stand_ins[0]))
}

fn promises(stored: &Whereabouts) -> (usize, usize) {
    let promises: Vec<_> =
        stored.receipts.iter().map(|receipt| Receipt::open(receipt).unwrap().promise).collect();
    let count = |promise: Promise| promises.iter().filter(|one| **one == promise).count();
    (count(Promise::Keeps), count(Promise::Forwards))
}

fn keeps(node: &Supernode, object: &ObjectId) -> (usize, usize) {
    let kept = node.services.shards.keeper().surveyed(object).unwrap();
    (kept.own.len(), kept.handed_off.len())
}

fn is_empty(node: &Supernode) -> bool {
    let store = &node.context.store;
    store.scan(&KEPT, &Span::all(), 1).next().is_none()
        && store.scan(&SHARDS, &Span::all(), 1).next().is_none()
        && store.scan(&MANIFESTS, &Span::all(), 1).next().is_none()
        && store.scan(&HANDED, &Span::all(), 1).next().is_none()
}

fn counted(world: &World, name: &str) -> u64 {
    world.supernodes.iter().map(|node| node.services.care.status()[name].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_of_one_who_is_away_goes_home_when_he_is_back() {
    let config = care::Config { ping_every_secs: 1, walk_every_secs: 1, ..care::Config::default() };
    let world =
        World::with_clock(SUPERNODES, &Clock::system(), &Config { care: config, ..Config::default() });
    let (object, bytes) = object(1);
    let (gateway, away, stand_in) = parts(&world, &object);
    for node in world.supernodes.iter().filter(|node| node.peer() != away.peer()) {
        world.network.cut(away.peer(), node.peer());
    }
    let stored = gateway.services.objects.put(SPACE, object, bytes.clone()).await.unwrap();
    assert_eq!(promises(&stored), (5, 1), "five keep, and one keeps for the one who is away");
    assert_eq!((keeps(away, &object), keeps(stand_in, &object)), ((0, 0), (0, 1)));
    assert!(stand_in.context.store.scan(&HANDED, &Span::prefix(&away.peer()), 2).count() == 1);
    for node in world.supernodes.iter().filter(|node| node.peer() != away.peer()) {
        world.network.heal(away.peer(), node.peer());
    }
    eventually("the shard comes home", || async { is_empty(stand_in).then_some(()) }).await;
    assert_eq!(keeps(away, &object), (1, 0), "freed only after its owner signed");
    let usage = stand_in.services.quotas.usage(&SPACE).unwrap();
    assert_eq!((usage.shards, usage.shard_bytes), (0, 0));
    assert_eq!(stand_in.services.quotas.totals().unwrap().objects, 0);
    assert_eq!((counted(&world, "shards_handed_over"), counted(&world, "objects_mended")), (1, 0));
    let again = gateway.services.objects.whereabouts(&SPACE, object).await.unwrap();
    assert_eq!(promises(&again), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_of_one_who_does_not_come_back_is_taken_over_without_moving_a_byte() {
    let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(1_800_000_000_000));
    let config = care::Config { walk_every_secs: 30 * 60, ..care::Config::default() };
    let world = World::with_clock(SUPERNODES, &clock, &Config { care: config, ..Config::default() });
    let (object, bytes) = object(2);
    let (gateway, away, stand_in) = parts(&world, &object);
    world.network.leave(away.peer());
    let putting = gateway.services.objects.put(SPACE, object, bytes);
    let mut putting = std::pin::pin!(putting);
    let stored = loop {
        tokio::select! {
            stored = &mut putting => break stored.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(5)) => hand.advance(Duration::from_millis(250)),
        }
    };
    assert_eq!(promises(&stored), (5, 1));
    let living = || world.supernodes.iter().filter(|node| node.peer() != away.peer());
    let pass = async |minutes: u64| {
        for _ in 0..minutes {
            hand.advance(Duration::from_mins(1));
            let now = clock.now().unix_ms();
            eventually("hearing each other", || async {
                let hears = |node: &Supernode| {
                    let status = node.services.care.status();
                    let members = status["members"].as_array().unwrap().clone();
                    members.iter().all(|member| {
                        member["peer"] == serde_json::json!(away.peer())
                            || member["heard"].as_u64().unwrap() + 5 * 60_000 >= now
                    })
                };
                living().all(hears).then_some(())
            })
            .await;
        }
    };
    pass(235).await;
    assert_eq!(keeps(stand_in, &object), (0, 1), "its owner may come back");
    pass(15).await;
    eventually("the shard is taken over", || {
        hand.advance(Duration::from_millis(250));
        async { (keeps(stand_in, &object) == (1, 0)).then_some(()) }
    })
    .await;
    assert!(stand_in.context.store.scan(&HANDED, &Span::all(), 1).next().is_none());
    assert_eq!(counted(&world, "bytes_rebuilt"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_shard_stays_that_whoever_it_is_offered_for() {
    let world = World::new(SUPERNODES);
    let (object, bytes) = object(3);
    let (gateway, _away, stand_in) = parts(&world, &object);
    gateway.services.objects.put(SPACE, object, bytes).await.unwrap();
    let keeper = gateway.services.shards.keeper();
    let index = keeper.surveyed(&object).unwrap().own.iter().next().unwrap();
    let found = keeper.shard(object, index).await.unwrap();
    let manifest = cosmic_common::record::Record::from_bytes(&found.manifest).unwrap();
    let mut damaged = found.bytes.clone();
    damaged[0] ^= 1;
    for lies in [&found.bytes, &damaged] {
        let mut batch = gateway.context.store.batch();
        batch.put_slice(&SHARDS, &(object, index), lies);
        gateway.context.store.commit(batch).await.unwrap();
        let offer = crate::shards::Offer {
            bringer: None,
            space: SPACE,
            owner: Some(stand_in.peer()),
            manifest: &manifest,
            manifest_bytes: &found.manifest,
            index,
            bytes: &found.bytes,
            proven: false,
        };
        let receipt = Receipt::open(&keeper.keep(offer).await.unwrap()).unwrap();
        assert_eq!(receipt.promise, Promise::Keeps);
    }
    assert_eq!(
        keeper.shard(object, index).await.unwrap().bytes,
        found.bytes,
        "and what was damaged is whole"
    );
    assert!(!keeper.free(object, index, Some(stand_in.peer())).await.unwrap(), "it is kept for nobody");
    assert_eq!(keeps(gateway, &object), (1, 0));
}
