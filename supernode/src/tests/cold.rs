//! The cold tier: shards go to an object store and come back, and what the store loses is made again.

use std::sync::Arc;

use cosmic_common::{
    hash,
    id::{ObjectId, SpaceId},
    time::Timestamp,
};
use cosmic_custody::Challenge;
use cosmic_runtime::{clock::Clock, random};
use cosmic_store::Span;
use futures::StreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory, path::Path};

use super::world::{Supernode, World, eventually, place};
use crate::{
    cold::{self, Cold, State},
    config::Config,
    quota::Totals,
    scrub::{self, Scrub},
    shards::Error,
    tables::{DISCARDS, KEPT, KeptRow, SHARDS},
};

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
const BYTES: usize = 300_000;

/// Shards go when they are an hour old; it is looked for them all the time.
fn settings() -> Config {
    let cold = cold::Config {
        after_hours: 1,
        look_every_secs: 1,
        bytes_per_second_max: u64::MAX,
        check_bytes_per_second_max: u64::MAX,
        ..cold::Config::default()
    };
    Config { cold, ..Config::default() }
}

struct Tier {
    world: World,
    bucket: Arc<InMemory>,
}

impl Tier {
    fn new() -> Self {
        let bucket = Arc::new(InMemory::new());
        let shared: Arc<dyn ObjectStore> = bucket.clone();
        let world = World::over(6, &Clock::system(), &settings(), Some(shared));
        Self { world, bucket }
    }

    async fn put(&self) -> (ObjectId, Vec<u8>) {
        let mut chunk = vec![0; BYTES];
        random::fill(&mut chunk);
        let object = ObjectId::from_bytes(*hash::plain(&chunk).as_bytes());
        self.world.supernodes[0].services.objects.put(SPACE, object, chunk.clone()).await.unwrap();
        (object, chunk)
    }

    /// An object whose shard at `holder` is cold.
    async fn frozen(&self, holder: &Supernode) -> (ObjectId, u8, Vec<u8>) {
        let (object, chunk) = self.put().await;
        let (index, _row) = row(holder, object).await;
        age(holder, object, index).await;
        eventually("it is cold", || async { row(holder, object).await.1.cold.map(drop) }).await;
        (object, index, chunk)
    }

    /// Paths of the shards in the bucket.
    async fn objects(&self) -> Vec<Path> {
        let listed = self.bucket.list(None).map(|found| found.unwrap().location);
        listed.filter(|path| std::future::ready(path.as_ref().contains("/shards/"))).collect().await
    }
}

/// What a supernode knows of its shard of `object`, once it has it.
async fn row(supernode: &Supernode, object: ObjectId) -> (u8, KeptRow) {
    eventually("it has its shard", || async {
        let store = &supernode.context.store;
        let found = store.scan(&KEPT, &Span::prefix(&object), 1).next();
        found.map(|found| found.unwrap()).map(|((_, index), row)| (index, row))
    })
    .await
}

/// Makes a shard two hours older than it is.
async fn age(supernode: &Supernode, object: ObjectId, index: u8) {
    let Supernode { context, .. } = supernode;
    let row = context.store.get(&KEPT, &(object, index)).unwrap().unwrap();
    let since = Timestamp::from_unix_ms(context.clock.now().unix_ms() - 2 * 3_600_000);
    let mut batch = context.store.batch();
    batch.put(&KEPT, &(object, index), &KeptRow { since, ..row });
    context.store.commit(batch).await.unwrap();
}

fn totals(supernode: &Supernode) -> Totals {
    supernode.services.quotas.totals().unwrap()
}

/// What a walk over the rows and bytes finds: cold shards, their bytes, and bytes here.
fn walked(supernode: &Supernode) -> (u64, u64, u64) {
    let store = &supernode.context.store;
    let cold = store.scan(&KEPT, &Span::all(), usize::MAX).filter_map(|item| {
        let row = item.unwrap().1;
        row.cold.map(|_number| row.length)
    });
    let cold: Vec<u64> = cold.collect();
    let here = store.scan(&SHARDS, &Span::all(), usize::MAX).map(|item| item.unwrap().1.len() as u64);
    (cold.len() as u64, cold.iter().sum(), here.sum())
}

fn counted(supernode: &Supernode) -> (u64, u64, u64) {
    let totals = totals(supernode);
    (totals.cold_shards, totals.cold_shard_bytes, totals.shard_bytes - totals.cold_shard_bytes)
}

fn scrub(supernode: &Supernode) -> Scrub {
    let Supernode { context, services, .. } = supernode;
    let config = scrub::Config { start_sample_percent: 0, ..scrub::Config::default() };
    let (objects, replicas) = (services.objects.clone(), services.spaces.replicas().clone());
    Scrub::start(context, objects, replicas, config, scrub::Metrics::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_shards_lie_in_the_store_and_are_kept_read_and_proved_as_before() {
    let tier = Tier::new();
    let (object, chunk) = tier.put().await;
    let usage = totals(&tier.world.supernodes[0]).shard_bytes;
    for supernode in &tier.world.supernodes {
        let (index, _row) = row(supernode, object).await;
        assert!(supernode.services.shards.keeper().shard(object, index).await.is_ok());
        age(supernode, object, index).await;
    }
    for supernode in &tier.world.supernodes {
        let (index, _row) = row(supernode, object).await;
        eventually("every shard is cold", || async { row(supernode, object).await.1.cold.map(drop) }).await;
        assert!(supernode.context.store.get(&SHARDS, &(object, index)).unwrap().is_none());
        assert_eq!(counted(supernode), walked(supernode));
        assert_eq!(totals(supernode).shard_bytes, usage, "the quota counts them as before");
        let kept = supernode.services.shards.keeper().which(&object).unwrap();
        assert!(kept.indices.contains(index) && kept.receipts.len() == 1, "it is signed for as before");
    }
    assert_eq!(tier.objects().await.len(), 6);
    let rebuilt = tier.world.supernodes[4].services.objects.get(SPACE, object).await.unwrap();
    assert!(rebuilt.into_vec() == chunk, "byte for byte");

    // A proof is made of what lies there, and does not bring it back, however often it is asked for.
    let holder = &tier.world.supernodes[2];
    let (index, known) = row(holder, object).await;
    let length = usize::try_from(known.length).unwrap();
    for _ in 0..4 {
        let challenge = Challenge::draw(object, index, length, &holder.peer(), &random::seed());
        let proof = holder.services.care.audits().prove(challenge.clone()).await.unwrap();
        challenge.check(&proof, &known.hash, length).unwrap();
    }
    assert!(row(holder, object).await.1.cold.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_often_comes_back_and_what_is_freed_goes_from_the_store() {
    let tier = Tier::new();
    let holder = &tier.world.supernodes[1];
    let (object, index, _chunk) = tier.frozen(holder).await;
    let keeper = holder.services.shards.keeper();
    for _ in 0..3 {
        keeper.shard(object, index).await.unwrap();
    }
    eventually("it is back", || async { row(holder, object).await.1.cold.is_none().then_some(()) }).await;
    assert_eq!(counted(holder), walked(holder));
    assert_eq!(walked(holder).0, 0);
    eventually("the store has nothing", || async { tier.objects().await.is_empty().then_some(()) }).await;

    let (object, index, _chunk) = tier.frozen(holder).await;
    assert_eq!(tier.objects().await.len(), 1);
    assert!(keeper.free(object, index, None).await.unwrap());
    eventually("the store has nothing", || async { tier.objects().await.is_empty().then_some(()) }).await;
    let left = || holder.context.store.scan(&DISCARDS, &Span::all(), 1).next().is_none();
    eventually("nothing waits to be deleted", || async { left().then_some(()) }).await;
    assert_eq!((counted(holder), totals(holder).shards), (walked(holder), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_again_lies_here_again() {
    let tier = Tier::new();
    let holder = &tier.world.supernodes[1];
    let (object, index, chunk) = tier.frozen(holder).await;
    tier.world.supernodes[3].services.objects.put(SPACE, object, chunk).await.unwrap();
    eventually("it is here", || async {
        holder.context.store.get(&SHARDS, &(object, index)).unwrap().map(drop)
    })
    .await;
    eventually("the store has nothing", || async { tier.objects().await.is_empty().then_some(()) }).await;
    assert_eq!(counted(holder), walked(holder));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_lost_or_changed_is_made_again_from_the_others() {
    let tier = Tier::new();
    let holder = &tier.world.supernodes[2];
    let _scrub = scrub(holder);
    let (lost, at, _) = tier.frozen(holder).await;
    tier.bucket.delete(&tier.objects().await[0]).await.unwrap();
    let refused = holder.services.shards.keeper().shard(lost, at).await.unwrap_err();
    assert!(matches!(refused, Error::NotHere { .. }), "{refused}");
    eventually("it is here", || async { holder.context.store.get(&SHARDS, &(lost, at)).unwrap().map(drop) })
        .await;

    let (changed, at, _) = tier.frozen(holder).await;
    let path = tier.objects().await.remove(0);
    let mut bytes = tier.bucket.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[5000] ^= 1;
    tier.bucket.put(&path, bytes.into()).await.unwrap();
    let refused = holder.services.shards.keeper().shard(changed, at).await.unwrap_err();
    assert!(matches!(refused, Error::NotHere { .. }), "no wrong byte is given: {refused}");
    eventually("it is here", || async {
        holder.context.store.get(&SHARDS, &(changed, at)).unwrap().map(drop)
    })
    .await;
    eventually("the store has nothing", || async { tier.objects().await.is_empty().then_some(()) }).await;
    assert_eq!(counted(holder), walked(holder));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_deletes_what_no_row_leads_to_and_thawing_empties_the_folder() {
    let tier = Tier::new();
    let holder = &tier.world.supernodes[2];
    let (object, index, _chunk) = tier.frozen(holder).await;
    let cold = &holder.services.cold;
    cold.pause().await.unwrap();
    // As a crash between the upload and the batch leaves it, and something that is nobody's.
    let led_to = tier.objects().await.remove(0);
    let folder = cold.status().await.unwrap().folder.unwrap();
    let orphan = Path::from(format!("{folder}/shards/{object}/{index}-0000000000000001"));
    let strange = Path::from(format!("{folder}/shards/readme"));
    for path in [&orphan, &strange] {
        tier.bucket.put(path, vec![1, 2, 3].into()).await.unwrap();
    }
    cold.resume().await.unwrap();
    let again: Arc<dyn ObjectStore> = tier.bucket.clone();
    let again = Cold::over(
        &holder.context,
        &settings().cold,
        Some(place(&holder.context, again)),
        cold::Metrics::default(),
    );
    let again = again.unwrap();
    again.start(holder.services.shards.clone());
    eventually("the orphan is gone", || async { (!tier.objects().await.contains(&orphan)).then_some(()) })
        .await;
    let left = tier.objects().await;
    assert!(left.contains(&led_to) && left.contains(&strange) && left.len() == 2, "{left:?}");

    cold.thaw().await.unwrap();
    eventually("everything is here", || async {
        (cold.status().await.unwrap().shards == 0 && tier.objects().await == [strange.clone()]).then_some(())
    })
    .await;
    assert!(holder.context.store.get(&SHARDS, &(object, index)).unwrap().is_some());
    age(holder, object, index).await;
    assert_eq!((cold.state(), counted(holder)), (State::Thawing, walked(holder)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bucket_is_not_taken_for_a_loss_until_the_operator_says_so() {
    let tier = Tier::new();
    let holder = &tier.world.supernodes[2];
    let (object, index, _chunk) = tier.frozen(holder).await;
    let _scrub = scrub(holder);
    // The bucket is emptied behind the back of the supernode, as another bucket of the same name would be.
    let everything: Vec<Path> = tier.bucket.list(None).map(|found| found.unwrap().location).collect().await;
    for path in &everything {
        tier.bucket.delete(path).await.unwrap();
    }
    let keeper = holder.services.shards.keeper();
    let refused = keeper.shard(object, index).await.unwrap_err();
    let Error::Cold { source, .. } = &refused else { panic!("{refused}") };
    assert!(matches!(source, cold::Error::Elsewhere), "{source}");
    assert_eq!(refused.refusal().code, cosmic_custody::message::refusal::RefusalCode::Unavailable);
    assert!(!refused.refusal().to_string().contains("bucket"), "what is inside stays inside");
    let cold = &holder.services.cold;
    assert_eq!(cold.state(), State::Elsewhere);
    assert!(!holder.context.health.is_well());
    assert!(row(holder, object).await.1.cold.is_some(), "nothing was given up");

    cold.forget().await.unwrap();
    assert!(holder.context.health.is_well());
    assert!(keeper.shard(object, index).await.is_err());
    eventually("it is made again", || async {
        holder.context.store.get(&SHARDS, &(object, index)).unwrap().map(drop)
    })
    .await;
    assert_eq!(counted(holder), walked(holder));
}
