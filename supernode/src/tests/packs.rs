//! Packs: what replicas keep of entries becomes an object, their own copies go, and everybody reads as before.

use cosmic_common::id::{ChannelId, LogId, ObjectId};
use cosmic_custody::{Packed, Promise};
use cosmic_log::{entry::Entry, kind::Kind};
use cosmic_runtime::clock::Clock;
use cosmic_space::genesis::membership_channel;
use cosmic_store::Span;

use super::{
    device::Device,
    world::{Supernode, World, eventually, key},
};
use crate::{
    config::Config,
    packs,
    tables::{self, ENTRIES, FREEING, PACKS, TAILS},
};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);

/// Supernodes that pack and free what they can as soon as they look.
fn world(count: u8, free_after_secs: u64) -> World {
    let packs = packs::Config {
        look_every_secs: 1,
        idle_after_secs: 0,
        idle_bytes: 1,
        free_after_secs,
        ..packs::Config::default()
    };
    World::with_clock(count, &Clock::system(), &Config { packs, ..Config::default() })
}

fn entries_of(supernode: &Supernode, log: LogId) -> usize {
    supernode.context.store.scan(&ENTRIES, &Span::prefix(&log), usize::MAX).count()
}

fn packs_of(supernode: &Supernode, device: &Device, log: LogId) -> Vec<Packed> {
    supernode.spaces.reader().packs(device.space, log, 0, usize::MAX).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_packed_freed_and_read_as_before() {
    let world = world(6, 0);
    let mut device = Device::founder(&world.network, 50);
    let gateway = world.replicas(&device.space)[0];
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    let written: Vec<Entry> = (0..20).map(|n| device.write(NOTES, Kind::Change, vec![n; 1000])).collect();
    let log = written[0].core().log;
    for entry in &written {
        link.pushed(&mut device, NOTES, entry);
    }
    let last = written.last().unwrap();
    link.run(&mut device, |device| device.keepers(last, Promise::Keeps).len() == 3).await;
    for replica in world.replicas(&device.space) {
        eventually("the replica frees what is packed", || async {
            let store = &replica.context.store;
            let is_packed = store.get(&TAILS, &(device.space, log)).unwrap().is_none();
            // What opens the log stays.
            (is_packed && entries_of(replica, log) == 1).then_some(())
        })
        .await;
        assert!(!packs_of(replica, &device, log).is_empty());
        assert!(replica.context.store.scan(&FREEING, &Span::prefix(&device.space), 1).next().is_none());
        let membership = replica.spaces.stored_heads(device.space).unwrap();
        let membership = membership[&membership_channel(&device.space)].iter();
        let kept: usize = membership.map(|(log, _)| entries_of(replica, *log)).sum();
        assert!(kept > 0, "membership stays");
        let usage = tables::usage(&replica.context.store, &device.space).unwrap();
        assert_eq!(usage.entries, kept as u64 + 1, "what is freed is not charged");
    }
    let mut other = Device::member(&world.network, 51, device.space, key(50 ^ 0x80), None);
    let far = world.replicas(&device.space)[1];
    let mut there = other.connect(&far.context.net).await.unwrap();
    there.run(&mut other, |other| other.count(&NOTES) == device.count(&NOTES) && other.equal > 0).await;

    let more = device.write(NOTES, Kind::Change, b"more".to_vec());
    link.pushed(&mut device, NOTES, &more);
    link.run(&mut device, |device| device.keepers(&more, Promise::Keeps).len() >= 2).await;
    there.run(&mut other, |other| other.count(&NOTES) == device.count(&NOTES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_freed_before_the_delay_and_a_lie_is_not_noted() {
    let world = world(6, 3600);
    let mut device = Device::founder(&world.network, 50);
    let gateway = world.replicas(&device.space)[0];
    let entry = device.write(NOTES, Kind::Change, vec![7; 1000]);
    let (log, count) = (entry.core().log, device.count(&NOTES));
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    for replica in world.replicas(&device.space) {
        eventually("the replica settles the pack", || async {
            let rows = replica.context.store.scan(&FREEING, &Span::prefix(&device.space), usize::MAX);
            rows.map(Result::unwrap)
                .any(|((_, found, _), settled)| found == log && settled.unix_ms() > 0)
                .then_some(())
        })
        .await;
        assert_eq!(entries_of(replica, log), count, "the delay runs");
        let lie = Packed { log, from: 0, to: 0, object: ObjectId::from_bytes([9; 32]) };
        assert_eq!(replica.services.packs.note(device.space, vec![lie]).await.unwrap(), []);
        let true_one = packs_of(replica, &device, log).remove(0);
        assert_eq!(replica.services.packs.note(device.space, vec![true_one]).await.unwrap(), [true_one]);
        assert!(
            !replica
                .context
                .store
                .scan(&PACKS, &Span::all(), usize::MAX)
                .any(|row| row.unwrap().1.1 == lie.object)
        );
    }
    let stranger = world.stranger(&device.space);
    assert!(matches!(
        stranger.services.packs.wanted(device.space, log, 0).await,
        Err(packs::Error::NoReplica)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_pack_need_not_wait_for_the_rules() {
    let world = World::new(6);
    let mut device = Device::founder(&world.network, 50);
    let gateway = world.replicas(&device.space)[0];
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let (log, seq) = (entry.core().log, entry.core().seq);
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    let packed = gateway.services.packs.wanted(device.space, log, seq).await.unwrap();
    assert!(packed.contains(seq));
    let found = gateway.services.objects.whereabouts(&device.space, packed.object).await.unwrap();
    assert_eq!(found.receipts.len(), 6);
    let none = gateway.services.packs.wanted(device.space, log, seq + 1).await;
    assert!(matches!(none, Err(packs::Error::NotHere)));
    for replica in world.replicas(&device.space) {
        eventually("the others note it", || async {
            packs_of(replica, &device, log).contains(&packed).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_packed_now_is_not_all_tried_again_at_every_look() {
    const LOGS: u8 = 40;
    let rarely = packs::Config {
        look_every_secs: 3600,
        idle_after_secs: 0,
        idle_bytes: 1,
        ..packs::Config::default()
    };
    let world = World::with_clock(6, &Clock::system(), &Config { packs: rarely, ..Config::default() });
    let mut device = Device::founder(&world.network, 50);
    let gateway = world.replicas(&device.space)[0];
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    for n in 0..LOGS {
        let channel = ChannelId::from_bytes([n + 1; 32]);
        let entry = device.write(channel, Kind::Change, vec![n; 100]);
        link.pushed(&mut device, channel, &entry);
        link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    }
    let gone = world.stranger(&device.space).peer();
    world.network.leave(gone);

    let failed = async || gateway.services.packs.status().await.unwrap()["failed"].as_u64().unwrap();
    let mut place = None;
    gateway.services.packs.look(&mut place).await.unwrap();
    assert_eq!(failed().await, 3, "of a third of the logs, which this replica packs first");
    let before = place;
    gateway.services.packs.look(&mut place).await.unwrap();
    assert_eq!(failed().await, 6);
    assert!(place > before, "the second look goes on where the first ended");
}
