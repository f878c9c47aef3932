//! Quota: room for what is about to be written, reserved before it is, so that no two writers get the same room.
//!
//! What a space has used stands in counters that each batch adds to together with its data ([`Accounts`]).
//! What is being written and not counted yet is reserved here, in memory.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cosmic_common::id::{OperatorId, SpaceId};
use cosmic_custody::quota::{Allowance, Charge, Quota, Usage};
use cosmic_store::{Batch, Span, Store};
use serde::{Deserialize, Serialize};

use crate::{
    accounts::Accounts,
    tables::{self, Account},
};

/// What a space may keep here unless a quota was set for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Bytes of entries one space may keep here.
    pub entry_bytes: u64,
    /// Bytes of shards one space may keep here.
    pub shard_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        let Quota { entry_bytes, shard_bytes } = Quota::default();
        Self { entry_bytes, shard_bytes }
    }
}

impl From<&Config> for Quota {
    fn from(config: &Config) -> Self {
        Self { entry_bytes: config.entry_bytes, shard_bytes: config.shard_bytes }
    }
}

/// Why something was not reserved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would be more than the space, or its sponsor, may keep here.
    #[error(transparent)]
    Over(#[from] cosmic_custody::Error),
    /// The counters cannot be read or written.
    #[error("the counters of used space cannot be used")]
    Store(#[from] cosmic_store::Error),
}

/// Reserves room and tells what is used. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Quotas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    accounts: Accounts,
    default: Quota,
    reserved: Mutex<Reserved>,
}

/// Room for one shard, until it is dropped: after the batch was committed, or given up.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    inner: Arc<Inner>,
    space: SpaceId,
    sponsor: Option<OperatorId>,
    bytes: u64,
}

/// What is reserved and not counted yet.
#[derive(Debug, Default)]
struct Reserved {
    spaces: HashMap<SpaceId, Usage>,
    /// Of those who may not have kept whatever there is room for.
    sponsors: HashMap<OperatorId, Usage>,
}

/// What all spaces together keep here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Spaces that keep anything.
    pub spaces: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of entries.
    pub entry_bytes: u64,
    /// Objects of which at least one shard is here.
    pub objects: u64,
    /// Shards.
    pub shards: u64,
    /// Bytes of shards.
    pub shard_bytes: u64,
    /// Those of the shards whose bytes lie in the cold store.
    pub cold_shards: u64,
    /// Their bytes, which are no bytes of this disk.
    pub cold_shard_bytes: u64,
    /// Bodies of entries that were dropped here because snapshots replace them.
    pub dropped_bodies: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
}

impl Totals {
    /// Bytes on the disk here.
    #[must_use]
    pub const fn hot_bytes(&self) -> u64 {
        self.entry_bytes.saturating_add(self.shard_bytes).saturating_sub(self.cold_shard_bytes)
    }
}

impl Quotas {
    /// Quotas over the counters in `store`; spaces for which none was set have `default`.
    #[must_use]
    pub fn new(store: Store, accounts: Accounts, default: Quota) -> Self {
        Self(Arc::new(Inner { store, accounts, default, reserved: Mutex::default() }))
    }

    /// Room for a shard of `bytes` bytes of `space`, which `bringer` has brought.
    ///
    /// # Errors
    /// [`Error::Over`], whose sentence is meant for the device, if the space or its sponsor may not keep so much.
    pub fn reserve(
        &self,
        space: SpaceId,
        bringer: Option<OperatorId>,
        bytes: u64,
    ) -> Result<Reservation, Error> {
        let charge = Charge::Shard { bytes };
        let quota = self.quota(&space)?;
        let mut reserved = self.0.reserved();
        // Read under the lock: what another writer counts meanwhile is then in its reservation, or in both.
        let usage = self.usage(&space)?;
        let allowance = self.0.accounts.allowance(&space, bringer)?;
        let pending = reserved.spaces.get(&space).copied().unwrap_or_default();
        sum(usage, pending).charged(charge, &quota)?;
        let sponsor = allowance.map(|allowance| allowance.operator);
        if let Some(allowance) = allowance {
            let pending = reserved.sponsors.entry(allowance.operator).or_default();
            let usage = sum(allowance.usage, *pending);
            Allowance { usage, ..allowance }.charged(charge)?;
            *pending = sum(*pending, one_shard(bytes));
        }
        reserved.spaces.insert(space, sum(pending, one_shard(bytes)));
        Ok(Reservation { inner: Arc::clone(&self.0), space, sponsor, bytes })
    }

    /// What `space` keeps here.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn usage(&self, space: &SpaceId) -> Result<Usage, Error> {
        Ok(tables::usage(&self.0.store, space)?)
    }

    /// What `space` may keep here.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn quota(&self, space: &SpaceId) -> Result<Quota, Error> {
        Ok(tables::quota(&self.0.store, space, self.0.default)?)
    }

    /// Sets what `space` may keep here. What it keeps already stays, even if it is more.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn set(&self, space: SpaceId, quota: Quota) -> Result<(), Error> {
        let mut batch = self.0.store.batch();
        batch.put(&tables::QUOTAS, &space, &quota);
        Ok(self.0.store.commit(batch).await?)
    }

    /// What all spaces together keep here: a walk over nine counters per space, never over the data. Blocks.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn totals(&self) -> Result<Totals, Error> {
        Ok(totals(&self.0.store)?)
    }
}

/// What all spaces together keep in `store`, as [`Quotas::totals`]. Blocks.
///
/// # Errors
/// If the counters cannot be read.
pub fn totals(store: &Store) -> Result<Totals, cosmic_store::Error> {
    Ok(sum_of(by_space(store)?.values()))
}

/// What each space keeps in `store`: nine counters each, never the data. Blocks.
///
/// # Errors
/// If the counters cannot be read.
pub fn by_space(store: &Store) -> Result<BTreeMap<SpaceId, Totals>, cosmic_store::Error> {
    let mut spaces: BTreeMap<SpaceId, Totals> = BTreeMap::new();
    for item in store.scan(&tables::USAGE, &Span::all(), usize::MAX) {
        let ((space, account), amount) = item?;
        let amount = u64::try_from(amount).unwrap_or_default();
        let used = spaces.entry(space).or_insert_with(|| Totals { spaces: 1, ..Totals::default() });
        match Account::numbered(account) {
            Some(Account::Entries) => used.entries = amount,
            Some(Account::EntryBytes) => used.entry_bytes = amount,
            Some(Account::Shards) => used.shards = amount,
            Some(Account::ShardBytes) => used.shard_bytes = amount,
            Some(Account::Objects) => used.objects = amount,
            Some(Account::ColdShards) => used.cold_shards = amount,
            Some(Account::ColdShardBytes) => used.cold_shard_bytes = amount,
            Some(Account::DroppedBodies) => used.dropped_bodies = amount,
            Some(Account::DroppedBytes) => used.dropped_bytes = amount,
            None => {}
        }
    }
    Ok(spaces)
}

/// What these keep together.
pub fn sum_of<'a>(spaces: impl IntoIterator<Item = &'a Totals>) -> Totals {
    spaces.into_iter().fold(Totals::default(), |sum, one| Totals {
        spaces: sum.spaces + one.spaces,
        entries: sum.entries + one.entries,
        entry_bytes: sum.entry_bytes + one.entry_bytes,
        objects: sum.objects + one.objects,
        shards: sum.shards + one.shards,
        shard_bytes: sum.shard_bytes + one.shard_bytes,
        cold_shards: sum.cold_shards + one.cold_shards,
        cold_shard_bytes: sum.cold_shard_bytes + one.cold_shard_bytes,
        dropped_bodies: sum.dropped_bodies + one.dropped_bodies,
        dropped_bytes: sum.dropped_bytes + one.dropped_bytes,
    })
}

impl Reservation {
    /// Counts the shard in the batch that writes it.
    pub fn count(&self, batch: &mut Batch) {
        let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        self.inner.accounts.add(batch, &self.space, Account::Shards, 1);
        self.inner.accounts.add(batch, &self.space, Account::ShardBytes, bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.inner.reserved();
        release(&mut reserved.spaces, self.space, self.bytes);
        if let Some(operator) = self.sponsor {
            release(&mut reserved.sponsors, operator, self.bytes);
        }
    }
}

fn release<K: Hash + Eq>(reserved: &mut HashMap<K, Usage>, of: K, bytes: u64) {
    if let Entry::Occupied(mut pending) = reserved.entry(of) {
        let left = pending.get().released(Charge::Shard { bytes });
        pending.insert(left);
        if left == Usage::default() {
            pending.remove();
        }
    }
}

fn one_shard(bytes: u64) -> Usage {
    Usage { shards: 1, shard_bytes: bytes, ..Usage::default() }
}

impl Inner {
    fn reserved(&self) -> MutexGuard<'_, Reserved> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn sum(one: Usage, other: Usage) -> Usage {
    Usage {
        entries: one.entries.saturating_add(other.entries),
        entry_bytes: one.entry_bytes.saturating_add(other.entry_bytes),
        shards: one.shards.saturating_add(other.shards),
        shard_bytes: one.shard_bytes.saturating_add(other.shard_bytes),
    }
}

#[cfg(test)]
mod tests;
