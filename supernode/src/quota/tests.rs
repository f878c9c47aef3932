//! Room is given once, whoever asks first, and comes back when it was not used.

use cosmic_common::id::{OperatorId, SpaceId};
use cosmic_custody::{Error as CustodyError, Quota};
use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry};
use cosmic_store::{Setup, Store};

use super::{Error, Quotas};
use crate::{
    accounts::Accounts,
    tables::{self, Account},
};

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);
const OTHER: SpaceId = SpaceId::from_bytes([2; 32]);
const SPONSOR: OperatorId = OperatorId::from_bytes([3; 32]);
const LATER: OperatorId = OperatorId::from_bytes([4; 32]);

fn quotas(folder: &tempfile::TempDir) -> (Store, Accounts, Quotas) {
    let config = cosmic_store::Config { reserve_bytes: 0, ..cosmic_store::Config::default() };
    let setup = Setup {
        schema: tables::schema(),
        config: &config,
        clock: Clock::system(),
        registry: &Registry::new(),
        health: Health::new(),
    };
    let store = Store::open(folder.path(), setup).unwrap();
    let accounts = Accounts::open(&store).unwrap();
    let quotas = Quotas::new(store.clone(), accounts.clone(), Quota { entry_bytes: 1000, shard_bytes: 1000 });
    (store, accounts, quotas)
}

#[tokio::test]
async fn room_is_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _accounts, quotas) = quotas(&folder);
    let first = quotas.reserve(SPACE, None, 600).unwrap();
    assert!(matches!(quotas.reserve(SPACE, None, 401), Err(Error::Over(_))));
    drop(quotas.reserve(OTHER, None, 1000).unwrap());
    let second = quotas.reserve(SPACE, None, 400).unwrap();
    let mut batch = store.batch();
    first.count(&mut batch);
    store.commit(batch).await.unwrap();
    drop((first, second));
    assert_eq!(quotas.usage(&SPACE).unwrap().shard_bytes, 600);
    assert!(matches!(quotas.reserve(SPACE, None, 401), Err(Error::Over(_))));
    drop(quotas.reserve(SPACE, None, 400).unwrap());
    quotas.set(SPACE, Quota { entry_bytes: 0, shard_bytes: 2000 }).await.unwrap();
    drop(quotas.reserve(SPACE, None, 1400).unwrap());
    let totals = quotas.totals().unwrap();
    assert_eq!((totals.spaces, totals.shards, totals.shard_bytes), (1, 1, 600));
}

#[tokio::test]
async fn the_spaces_of_a_sponsor_share_what_it_may_have_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, accounts, quotas) = quotas(&folder);
    accounts.set_quota(SPONSOR, Some(Quota { entry_bytes: 1000, shard_bytes: 900 })).await.unwrap();
    let first = quotas.reserve(SPACE, Some(SPONSOR), 600).unwrap();
    let refused = quotas.reserve(OTHER, Some(SPONSOR), 301).unwrap_err();
    assert!(matches!(
        refused,
        Error::Over(CustodyError::OperatorOverQuota { operator: SPONSOR, used: 600, limit: 900, .. })
    ));
    drop(quotas.reserve(OTHER, Some(LATER), 301).unwrap());
    let mut batch = store.batch();
    accounts.keep(&mut batch, &SPACE, Some(SPONSOR));
    first.count(&mut batch);
    store.commit(batch).await.unwrap();
    drop(first);
    assert_eq!(accounts.usage(&SPONSOR).unwrap().shard_bytes, 600);
    // Whoever brings more of it later, it is the sponsor's.
    assert!(quotas.reserve(SPACE, Some(LATER), 301).is_err());
    drop(quotas.reserve(OTHER, Some(SPONSOR), 300).unwrap());
    accounts.set_quota(SPONSOR, None).await.unwrap();
    drop(quotas.reserve(SPACE, Some(LATER), 301).unwrap());
    let mut batch = store.batch();
    accounts.take_off(&mut batch, &SPACE, Account::ShardBytes, 600);
    store.commit(batch).await.unwrap();
    assert_eq!(accounts.usage(&SPONSOR).unwrap().shard_bytes, 0);
}

#[tokio::test]
async fn only_the_first_bytes_make_a_sponsor_and_it_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, accounts, _quotas) = quotas(&folder);
    let mut batch = store.batch();
    accounts.keep(&mut batch, &SPACE, Some(SPONSOR));
    accounts.keep(&mut batch, &SPACE, Some(LATER));
    accounts.add(&mut batch, &OTHER, Account::Entries, 1);
    store.commit(batch).await.unwrap();
    let mut batch = store.batch();
    accounts.keep(&mut batch, &OTHER, Some(LATER));
    store.commit(batch).await.unwrap();
    for accounts in [accounts, Accounts::open(&store).unwrap()] {
        assert_eq!(accounts.sponsor(&SPACE), Some(SPONSOR));
        assert_eq!(accounts.sponsor(&OTHER), None, "it was here before anybody could be named");
    }
}
