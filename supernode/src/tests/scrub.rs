//! Scrub: what a disk got wrong is found, told, and healed from the others.

use std::time::Duration;

use cosmic_common::{
    hash,
    id::{ChannelId, ObjectId, SpaceId},
};
use cosmic_custody::Promise;
use cosmic_log::kind::Kind;
use cosmic_runtime::random;

use super::{
    device::Device,
    world::{Supernode, World, eventually},
};
use crate::{
    scrub::{Config, Fault, Metrics, Scrub, Status},
    tables::{ENTRIES, KEPT, MANIFESTS, SHARDS},
};

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);

pub(super) fn quick() -> Config {
    Config {
        bytes_per_second_max: u64::MAX,
        disk_time_percent: 100,
        start_sample_percent: 0,
        ..Config::default()
    }
}

pub(super) fn scrub(supernode: &Supernode, config: Config) -> Scrub {
    let Supernode { context, services, .. } = supernode;
    let (objects, replicas) = (services.objects.clone(), services.spaces.replicas().clone());
    Scrub::start(context, objects, replicas, config, Metrics::default()).unwrap()
}

/// Waits until a round is over.
pub(super) async fn rested(scrub: &Scrub) -> Status {
    eventually("reading everything", || async {
        let status = scrub.status();
        (status.state == "resting").then_some(status)
    })
    .await
}

async fn put(world: &World, bytes: usize) -> ObjectId {
    let mut chunk = vec![0; bytes];
    random::fill(&mut chunk);
    let object = ObjectId::from_bytes(*hash::plain(&chunk).as_bytes());
    world.supernodes[0].services.objects.put(SPACE, object, chunk).await.unwrap();
    object
}

fn index_at(supernode: &Supernode, object: ObjectId) -> u8 {
    let store = &supernode.context.store;
    (0..6).find(|index| store.get(&KEPT, &(object, *index)).unwrap().is_some()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_a_missing_and_a_nameless_shard_are_made_again() {
    let world = World::new(6);
    let holder = &world.supernodes[3];
    let store = &holder.context.store;
    let mut kept = Vec::new();
    for damage in 0..4 {
        let object = put(&world, 300_000).await;
        let index = index_at(holder, object);
        let shard = store.get(&SHARDS, &(object, index)).unwrap().unwrap();
        let mut batch = store.batch();
        match damage {
            0 => {
                let mut wrong = shard.to_vec();
                wrong[5000] ^= 1;
                batch.put_slice(&SHARDS, &(object, index), &wrong);
            }
            1 => drop(batch.delete(&SHARDS, &(object, index))),
            2 => drop(batch.delete(&MANIFESTS, &object)),
            _ => {}
        }
        store.commit(batch).await.unwrap();
        kept.push((object, index, shard));
    }
    let usage = holder.services.quotas.usage(&SPACE).unwrap();
    let status = rested(&scrub(holder, quick())).await;
    assert_eq!((status.shards, status.found, status.healed), (4, 3, 3));
    assert!(status.open.is_empty(), "{:?}", status.open);
    for (object, index, shard) in kept {
        assert!(store.get(&SHARDS, &(object, index)).unwrap().unwrap() == shard);
        assert!(store.get(&MANIFESTS, &object).unwrap().is_some());
    }
    assert_eq!(holder.services.quotas.usage(&SPACE).unwrap(), usage, "what was healed was counted before");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_entries_are_fetched_from_another_replica() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let written: Vec<_> = (0..20).map(|n: u8| device.write(NOTES, Kind::Change, vec![n; 1000])).collect();
    let last = written.last().unwrap();
    let [gateway, other, _] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(last, Promise::Keeps).len() == 3).await;
    let store = &other.context.store;
    let mut batch = store.batch();
    let key = |n: usize| (written[n].core().log, written[n].core().seq);
    let mut wrong = written[3].to_bytes();
    *wrong.last_mut().unwrap() ^= 1;
    batch.put_slice(&ENTRIES, &key(3), &wrong);
    batch.put_slice(&ENTRIES, &key(7), written[8].as_bytes());
    batch.delete(&ENTRIES, &key(12)).delete(&ENTRIES, &key(19));
    store.commit(batch).await.unwrap();
    // A read does not give the wrong bytes, nor less than it was asked for.
    let source = crate::source::Source::Local {
        space: device.space,
        context: std::sync::Arc::clone(&other.context),
        replicas: other.spaces.replicas().clone(),
        reader: other.spaces.reader().clone(),
    };
    let log = written[3].core().log;
    for n in [3, 7, 12] {
        let frames = source.range(log, key(n).1, key(n).1 + 1, 1).await.unwrap();
        assert!(frames.first().is_some_and(|frame| **frame == *written[n].as_bytes()), "entry {n}");
    }
    let status = rested(&scrub(other, quick())).await;
    assert_eq!(status.healed, status.found, "{status:?}");
    assert!(status.open.is_empty() && status.found >= 4, "{status:?}");
    for entry in &written {
        let here = store.get(&ENTRIES, &(entry.core().log, entry.core().seq)).unwrap().unwrap();
        assert!(here == entry.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_read_met_is_healed_without_waiting_for_the_round() {
    let world = World::new(6);
    let holder = &world.supernodes[2];
    let object = put(&world, 200_000).await;
    let (store, index) = (&holder.context.store, index_at(holder, object));
    let scrub = scrub(holder, quick());
    rested(&scrub).await;
    let mut batch = store.batch();
    batch.delete(&SHARDS, &(object, index));
    store.commit(batch).await.unwrap();
    assert!(holder.services.shards.keeper().shard(object, index).await.is_err());
    eventually("healing it", || async { store.contains(&SHARDS, &(object, index)).unwrap().then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_stays_on_the_list_and_progress_survives_a_restart() {
    let world = World::new(1);
    let holder = &world.supernodes[0];
    let mut lost = None;
    for _ in 0..40 {
        lost = Some(put(&world, 1000).await);
    }
    let (store, object) = (&holder.context.store, lost.unwrap());
    let mut batch = store.batch();
    batch.delete(&SHARDS, &(object, 0));
    store.commit(batch).await.unwrap();
    let first = scrub(holder, quick());
    let status = rested(&first).await;
    assert_eq!((status.shards, status.found, status.healed), (40, 1, 0));
    assert_eq!(status.open[0].fault, Fault::Missing.name());

    // A second round, so slow that it is paused on its way; another process goes on from there.
    let slow = Config { bytes_per_second_max: 8_000, ..quick() };
    let second = scrub(holder, slow);
    second.begin().await;
    eventually("the first piece", || async { (second.status().shards > 0).then_some(()) }).await;
    second.pause().await;
    let paused = second.status();
    assert_eq!((paused.state, paused.round, paused.open.len()), ("paused", 2, 1));
    assert!(paused.shards < 40, "{paused:?}");
    let third = scrub(holder, quick());
    assert_eq!(third.status().shards, paused.shards);
    assert_eq!(third.status().state, "paused");
    third.resume().await;
    assert_eq!(rested(&third).await.shards, 40, "nothing is read twice, nothing is left out");
}

#[test]
fn a_pause_keeps_to_the_rate_and_to_the_share_of_the_disk() {
    let config = Config { bytes_per_second_max: 1000, disk_time_percent: 5, ..Config::default() };
    assert_eq!(config.pause(2000, Duration::ZERO), Duration::from_secs(2));
    assert_eq!(config.pause(0, Duration::from_secs(1)), Duration::from_secs(19));
}
