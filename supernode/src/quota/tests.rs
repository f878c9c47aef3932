//! Room is given once, whoever asks first, and comes back when it was not used.

use cosmic_common::id::SpaceId;
use cosmic_custody::Quota;
use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry};
use cosmic_store::{Setup, Store};

use super::{Error, Quotas};
use crate::tables;

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);
const OTHER: SpaceId = SpaceId::from_bytes([2; 32]);

fn quotas(folder: &tempfile::TempDir) -> (Store, Quotas) {
    let config = cosmic_store::Config { reserve_bytes: 0, ..cosmic_store::Config::default() };
    let setup = Setup {
        schema: tables::schema(),
        config: &config,
        clock: Clock::system(),
        registry: &Registry::new(),
        health: Health::new(),
    };
    let store = Store::open(folder.path(), setup).unwrap();
    let quotas = Quotas::new(store.clone(), Quota { entry_bytes: 1000, shard_bytes: 1000 });
    (store, quotas)
}

#[tokio::test]
async fn room_is_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, quotas) = quotas(&folder);
    let first = quotas.reserve(SPACE, 600).unwrap();
    assert!(matches!(quotas.reserve(SPACE, 401), Err(Error::Over(_))));
    drop(quotas.reserve(OTHER, 1000).unwrap());
    let second = quotas.reserve(SPACE, 400).unwrap();
    let mut batch = store.batch();
    first.count(&mut batch);
    store.commit(batch).await.unwrap();
    drop((first, second));
    assert_eq!(quotas.usage(&SPACE).unwrap().shard_bytes, 600);
    assert!(matches!(quotas.reserve(SPACE, 401), Err(Error::Over(_))));
    drop(quotas.reserve(SPACE, 400).unwrap());
    quotas.set(SPACE, Quota { entry_bytes: 0, shard_bytes: 2000 }).await.unwrap();
    drop(quotas.reserve(SPACE, 1400).unwrap());
    let totals = quotas.totals().unwrap();
    assert_eq!((totals.spaces, totals.shards, totals.shard_bytes), (1, 1, 600));
}
