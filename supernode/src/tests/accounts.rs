//! Accounts: what the counters say is what a walk over everything finds.

use std::collections::BTreeMap;

use cosmic_common::{
    hash,
    id::{ChannelId, ObjectId, SpaceId},
};
use cosmic_custody::Promise;
use cosmic_log::kind::Kind;
use cosmic_runtime::random;
use cosmic_store::{Span, Store};

use super::{device::Device, world::World};
use crate::{
    quota::{Totals, by_space},
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
        super::world::eventually("the counters to agree with a walk", || async {
            (by_space(store).unwrap() == walked(store)).then_some(())
        })
        .await;
        assert!(walked(store).len() >= usize::from(SPACES));
    }
}
