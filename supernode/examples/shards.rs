//! Fills the store of a supernode that stands still with shards of the smallest size, to see what their metadata costs:
//! `cargo build --workspace --example shards`, then `target/debug/examples/shards DATA_DIR COUNT`.
//!
//! Every object is real, as every scrub and audit would find. `cosmic-loadtest bench start --shards COUNT` runs it.

use std::{error::Error, path::PathBuf};

use cosmic_common::{
    id::{Hash, SpaceId},
    record::Record as _,
};
use cosmic_custody::Placement;
use cosmic_erasure::{Codec, Coder};
use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry};
use cosmic_store::{Config, Setup, Store};
use cosmic_supernode::{
    accounts::Accounts,
    tables::{self, Account, KEPT, KeptRow, MANIFESTS, PLACEMENTS, SHARDS, SPACES},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Objects in one batch, which is one fsync.
const BATCH: u64 = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("the data directory is missing")?);
    let count: u64 = arguments.next().and_then(|text| text.into_string().ok()).ok_or("how many?")?.parse()?;
    let (clock, registry, health) = (Clock::system(), Registry::new(), Health::new());
    let config = Config::default();
    let setup = Setup {
        schema: tables::schema(),
        config: &config,
        clock: clock.clone(),
        registry: &registry,
        health,
    };
    let store = Store::open(directory.join("store"), setup)?;
    let accounts = Accounts::open(&store)?;
    let coder = Coder::new(Codec::new(3, 6)?)?;
    let (space, now) = (SpaceId::from_bytes([7; 32]), clock.now());
    store
        .commit({
            let mut batch = store.batch();
            batch.put(&SPACES, &space, &now);
            batch
        })
        .await?;
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let mut batch = store.batch();
        let mut bytes = 0;
        let objects = first..count.min(first + BATCH);
        let added = i64::try_from(objects.end - objects.start)?;
        for number in objects {
            let encoded = coder.encode(number.to_be_bytes().to_vec())?;
            let (manifest, index) = (encoded.manifest(), u8::try_from(number % 6)?);
            let object = manifest.object();
            let (Some(shard), Some(hash)) = (encoded.shard(index), manifest.shard(index)) else { continue };
            let length = u64::try_from(shard.len())?;
            let kept = KeptRow { space, owner: None, hash, length, since: now, cold: None, back: None };
            let placement = Placement {
                object,
                ring: Hash::from_bytes([0; 32]),
                time: now,
                holders: std::collections::BTreeMap::new(),
            };
            batch
                .put_slice(&SHARDS, &(object, index), shard)
                .put(&KEPT, &(object, index), &kept)
                .put_slice(&MANIFESTS, &object, &manifest.to_bytes())
                .put(&PLACEMENTS, &object, &placement);
            bytes += i64::try_from(length)?;
        }
        accounts.add(&mut batch, &space, Account::Shards, added);
        accounts.add(&mut batch, &space, Account::Objects, added);
        accounts.add(&mut batch, &space, Account::ShardBytes, bytes);
        store.commit(batch).await?;
    }
    Ok(())
}
