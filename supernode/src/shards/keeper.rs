//! The shards kept here: written with their manifest and their charge in one batch, signed for afterwards. Where the bytes
//! of old ones lie is the story of [`super::cooling`].

use std::sync::Arc;

use bytes::Bytes;
use cosmic_common::{
    id::{Hash, ObjectId, OperatorId, PeerId, SpaceId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{Fate, HandOff, Held, Placement, Promise, Release, message::care::Surveyed};
use cosmic_erasure::{Manifest, codings};
use cosmic_store::{Batch, Span};
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::{Error, Kept, Metrics, cooling::leave_cold};
use crate::{
    accounts::Accounts,
    cold::Cold,
    context::Context,
    holders::Latest,
    quota::Quotas,
    tables::{
        self, Account, DOOMS, HANDED, KEPT, KeptRow, LEASES, MANIFESTS, PLACEMENTS, SHARDS, STRAYS, shards_of,
    },
};

mod codings;
mod strays;

/// Objects that may be written at once; two writes of one object wait for each other.
const LANES: usize = 64;

/// A shard somebody wants to be kept here.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The space it is charged to.
    pub space: SpaceId,
    /// The operator that sponsors the space if nobody does yet.
    pub bringer: Option<OperatorId>,
    /// The holder it is kept for while that one is away.
    pub owner: Option<PeerId>,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The manifest, encoded.
    pub manifest_bytes: &'a [u8],
    /// Which shard.
    pub index: u8,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether this process has just hashed them itself.
    pub proven: bool,
}

/// What is here already of a shard that is offered.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// Nothing of its object.
    Nothing,
    /// Its manifest, beside other shards.
    Manifest,
    /// Just these bytes.
    Intact(KeptRow),
    /// Other bytes than those that were signed for.
    Damaged(KeptRow),
    /// Its bytes lie in the cold store.
    Cold(KeptRow),
}

/// The shards of this supernode.
#[derive(Debug)]
pub struct Keeper {
    pub(super) context: Arc<Context>,
    holders: Latest,
    quotas: Quotas,
    pub(super) cold: Cold,
    metrics: Metrics,
    lanes: Vec<Mutex<()>>,
    strays_noted: Notify,
}

impl Keeper {
    pub(super) fn new(
        context: Arc<Context>,
        holders: Latest,
        quotas: Quotas,
        cold: Cold,
        metrics: Metrics,
    ) -> Self {
        let lanes = (0..LANES).map(|_| Mutex::new(())).collect();
        Self { context, holders, quotas, cold, metrics, lanes, strays_noted: Notify::new() }
    }

    /// Keeps a shard and signs for it once it is durable. One that is here already is checked, and signed for again; an own
    /// one stays that, whoever it is offered for. One whose bytes are cold has them here again.
    ///
    /// # Errors
    /// [`Error`] if the bytes are wrong, the space has no room, or the disk fails; nothing is kept then.
    pub async fn keep(&self, mut offer: Offer<'_>) -> Result<Vec<u8>, Error> {
        let (manifest, index) = (offer.manifest, offer.index);
        offer.owner = offer.owner.filter(|owner| *owner != self.context.peer);
        if !offer.proven {
            manifest.check_shard(index, offer.bytes)?;
        }
        let _lane = self.lane(&manifest.object()).await;
        let row = match self.known(&offer)? {
            Known::Intact(row)
                if (row.owner == offer.owner || row.owner.is_none()) && !self.revives(manifest)? =>
            {
                row
            }
            known => self.write(&offer, known).await?,
        };
        self.receipt(manifest.coding(), index, &row)
    }

    /// Whether shards of `space` may lie here.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] if the space keeps its data in other regions.
    pub fn may_keep(&self, space: &SpaceId) -> Result<(), Error> {
        let atlas = Arc::clone(self.holders.borrow().atlas());
        Ok(self.context.residences.check(&atlas, &self.context.peer, space)?)
    }

    fn known(&self, offer: &Offer<'_>) -> Result<Known, Error> {
        let store = &self.context.store;
        let (object, index) = (offer.manifest.coding(), offer.index);
        match store.get(&MANIFESTS, &object)? {
            None => return Ok(Known::Nothing),
            Some(beside) if beside != offer.manifest_bytes => return Err(Error::OtherManifest { object }),
            Some(_same) => {}
        }
        let Some(row) = store.get(&KEPT, &(object, index))? else { return Ok(Known::Manifest) };
        if row.cold.is_some() {
            return Ok(Known::Cold(row));
        }
        // Bytes that cannot be read are damaged as well.
        if store
            .get(&SHARDS, &(object, index))
            .is_ok_and(|known| known.is_some_and(|bytes| bytes == offer.bytes))
        {
            return Ok(Known::Intact(row));
        }
        self.metrics.shards_wrong.inc();
        tracing::warn!(object = %object.short(), index, "a shard kept here was damaged and is replaced");
        Ok(Known::Damaged(row))
    }

    async fn write(&self, offer: &Offer<'_>, known: Known) -> Result<KeptRow, Error> {
        let Offer { space, bringer, owner, manifest, manifest_bytes, index, bytes, .. } = *offer;
        let (store, accounts) = (&self.context.store, &self.context.accounts);
        let object = manifest.coding();
        let revives = self.revives(manifest)?;
        if matches!(known, Known::Nothing | Known::Manifest) {
            self.may_keep(&space)?;
        }
        let mut batch = store.batch();
        let mut reservation = None;
        let mut before = None;
        let now = self.context.clock.now();
        let row = match known {
            Known::Intact(row) | Known::Damaged(row) | Known::Cold(row) => {
                before = Some(row);
                // What was said of its removal was said of what came before.
                let since = if revives { now } else { row.since };
                leave_cold(accounts, &mut batch, (object, index), &row);
                let back = row.cold.map(|_number| now).or(row.back);
                KeptRow { owner: row.owner.and(owner), since, cold: None, back, ..row }
            }
            Known::Nothing | Known::Manifest => {
                let room = self.quotas.reserve(space, bringer, bytes.len() as u64)?;
                accounts.keep(&mut batch, &space, bringer);
                room.count(&mut batch);
                reservation = Some(room);
                let hash = manifest.shard(index).unwrap_or_else(|| Hash::from_bytes([0; 32]));
                KeptRow { space, owner, hash, length: bytes.len() as u64, since: now, cold: None, back: None }
            }
        };
        if matches!(known, Known::Nothing) {
            batch.put_slice(&MANIFESTS, &object, manifest_bytes);
            accounts.add(&mut batch, &space, Account::Objects, 1);
            let until = self.context.clock.now().after(self.context.limits.lease);
            batch.put(&LEASES, &(until, manifest.object()), &space);
            self.context.residences.keep(&mut batch, &space);
        }
        if revives {
            batch.delete(&DOOMS, &manifest.object());
        }
        if !matches!(known, Known::Intact(_)) {
            batch.put_slice(&SHARDS, &(object, index), bytes);
        }
        put_row(&mut batch, (object, index), before, row);
        store.commit(batch).await?;
        if matches!(known, Known::Cold(_)) {
            self.cold.discarded();
        }
        drop(reservation);
        self.metrics.shards_kept.inc();
        if row.owner.is_some() && before.is_none() {
            self.metrics.shards_kept_for_others.inc();
        }
        Ok(row)
    }

    /// Writes a shard and its manifest anew where `row` says that they were and they are damaged. It was counted and
    /// signed for when it came.
    ///
    /// # Errors
    /// [`Error`] if the bytes are not those of the row, or the disk fails.
    pub async fn restore(
        &self,
        manifest: &Manifest,
        index: u8,
        row: &KeptRow,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let object = manifest.coding();
        manifest.check_shard(index, bytes)?;
        let _lane = self.lane(&object).await;
        let store = &self.context.store;
        let kept = store.get(&KEPT, &(object, index))?.filter(|kept| kept.hash == row.hash);
        let Some(kept) = kept.filter(|_| manifest.shard(index) == Some(row.hash)) else {
            return Err(Error::NotHere { object, index });
        };
        let mut batch = store.batch();
        batch.put_slice(&MANIFESTS, &object, &manifest.to_bytes()).put_slice(
            &SHARDS,
            &(object, index),
            bytes,
        );
        if kept.cold.is_some() {
            let back = Some(self.context.clock.now());
            leave_cold(&self.context.accounts, &mut batch, (object, index), &kept);
            put_row(&mut batch, (object, index), Some(kept), KeptRow { cold: None, back, ..kept });
        }
        store.commit(batch).await?;
        if kept.cold.is_some() {
            self.cold.discarded();
        }
        Ok(())
    }

    /// Frees a shard that is kept for `owner`, or as its own, and with the last one of its object the manifest; whether it
    /// was still kept so.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn free(&self, object: ObjectId, index: u8, owner: Option<PeerId>) -> Result<bool, Error> {
        let _lane = self.lane(&object).await;
        self.free_now(object, index, owner).await
    }

    /// Frees a shard in whose lane the caller is.
    async fn free_now(&self, object: ObjectId, index: u8, owner: Option<PeerId>) -> Result<bool, Error> {
        let (store, accounts) = (&self.context.store, &self.context.accounts);
        let key = (object, index);
        let Some(row) = store.get(&KEPT, &key)?.filter(|row| row.owner == owner) else { return Ok(false) };
        let mut batch = store.batch();
        delete_row(accounts, &mut batch, key, &row);
        let others = store.scan(&KEPT, &Span::prefix(&object), 2).collect::<Result<Vec<_>, _>>()?;
        if others.iter().all(|(other, _row)| *other == key) {
            batch.delete(&MANIFESTS, &object);
            accounts.add(&mut batch, &row.space, Account::Objects, -1);
            self.forget_coding(&mut batch, &object)?;
        }
        store.commit(batch).await?;
        if row.cold.is_some() {
            self.cold.discarded();
        }
        self.metrics.shards_freed.inc();
        Ok(true)
    }

    /// What is kept of `object`, with fresh receipts.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn which(&self, object: &ObjectId) -> Result<Kept, Error> {
        let store = &self.context.store;
        let Some(manifest) = store.get(&MANIFESTS, object)? else { return Ok(Kept::default()) };
        let mut kept = Kept { manifest: manifest.into(), ..Kept::default() };
        // Before the rows: a copy that goes while this is read was on its way out before.
        let strays = self.strays(object)?;
        for item in store.scan(&KEPT, &Span::prefix(object), cosmic_common::limit::SHARDS_MAX) {
            let ((object, index), row) = item?;
            kept.indices.insert(index);
            let release = strays.get(&index).copied().unwrap_or_default();
            kept.receipts.push(self.sign((object, index), &row, release));
        }
        Ok(kept)
    }

    /// Which shards of `object` are kept, and which of them for others.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn surveyed(&self, object: &ObjectId) -> Result<Surveyed, Error> {
        let mut kept = Surveyed::default();
        for item in self.context.store.scan(&KEPT, &Span::prefix(object), cosmic_common::limit::SHARDS_MAX) {
            let ((_object, index), row) = item?;
            let side = if row.owner.is_none() { &mut kept.own } else { &mut kept.handed_off };
            side.insert(index);
        }
        Ok(kept)
    }

    /// What is kept for others of `object`: each shard with its row.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn handed_off(&self, object: &ObjectId) -> Result<Vec<HandOff>, Error> {
        let rows = self.context.store.scan(&KEPT, &Span::prefix(object), cosmic_common::limit::SHARDS_MAX);
        let mut handed = Vec::new();
        for item in rows {
            let ((object, index), row) = item?;
            let hand_off = |owner| HandOff { object, index, owner, since: row.since };
            handed.extend(row.owner.map(hand_off));
        }
        Ok(handed)
    }

    /// Makes the index of what is kept for others complete for `object`: a data directory may be older than the index.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn index_handed_off(&self, object: &ObjectId) -> Result<(), Error> {
        let store = &self.context.store;
        let _lane = self.lane(object).await;
        let mut batch = store.batch();
        for HandOff { object, index, owner, .. } in self.handed_off(object)? {
            if !store.contains(&HANDED, &(owner, object, index))? {
                batch.put(&HANDED, &(owner, object, index), &());
            }
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        Ok(())
    }

    /// What is known of a shard that is kept here.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn row(&self, object: &ObjectId, index: u8) -> Result<Option<KeptRow>, Error> {
        Ok(self.context.store.get(&KEPT, &(*object, index))?)
    }

    /// The space that a shard of `object` is charged to here; none if there is no shard.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn space_of(&self, object: &ObjectId) -> Result<Option<SpaceId>, Error> {
        let row = self.context.store.scan(&KEPT, &shards_of(object), 1).next().transpose()?;
        Ok(row.map(|(_key, row)| row.space))
    }

    /// Keeps as its own, from now on, a shard that was kept for another; signs for it once that is durable.
    ///
    /// # Errors
    /// [`Error::NotHere`], or if the disk fails.
    pub async fn adopt(&self, object: ObjectId, index: u8) -> Result<Vec<u8>, Error> {
        let store = &self.context.store;
        let _lane = self.lane(&object).await;
        let row = store.get(&KEPT, &(object, index))?.ok_or(Error::NotHere { object, index })?;
        let own = KeptRow { owner: None, ..row };
        // Whoever asks counts on it from now on: a release that has begun begins anew.
        let is_stray = store.contains(&STRAYS, &(object, index))?;
        if row.owner.is_some() || is_stray {
            let mut batch = store.batch();
            put_row(&mut batch, (object, index), Some(row), own);
            if is_stray {
                batch.put(&STRAYS, &(object, index), &Timestamp::default());
            }
            store.commit(batch).await?;
        }
        self.receipt(object, index, &own)
    }

    /// The encoded manifest of `object`, if a shard of it is here.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn manifest(&self, object: &ObjectId) -> Result<Option<Bytes>, Error> {
        Ok(self.context.store.get(&MANIFESTS, object)?)
    }

    /// Keeps the placement record that counts of this one and the one here, and tells which that is.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn note(&self, placement: Placement) -> Result<Placement, Error> {
        let store = &self.context.store;
        let object = placement.object;
        let _lane = self.lane(&object).await;
        let before = store.get(&PLACEMENTS, &object)?;
        let counts = match &before {
            Some(before) => before.clone().newer(placement).unwrap_or_else(|| before.clone()),
            None => placement,
        };
        if before.as_ref() != Some(&counts) {
            let mut batch = store.batch();
            batch.put(&PLACEMENTS, &object, &counts);
            if !store.contains(&MANIFESTS, &object)? {
                // Where shards are kept, those that are put again say so.
                batch.delete(&DOOMS, &object);
            }
            store.commit(batch).await?;
        }
        Ok(counts)
    }

    /// The placement record of `object` that is kept here; none while it is being removed.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn placement(&self, object: &ObjectId) -> Result<Option<Placement>, Error> {
        let placement = self.context.store.get(&PLACEMENTS, object)?;
        Ok(placement.filter(|_| !self.is_doomed(object)))
    }

    /// Whether a quorum of the replicas of its space removes the object: nothing is promised for it any more.
    #[must_use]
    pub fn is_doomed(&self, object: &ObjectId) -> bool {
        let (now, delay) = (self.context.clock.now(), self.context.limits.removal_delay);
        // A doom is that of the object, whatever its codings are called.
        let mut dooms = self.context.store.scan(&DOOMS, &Span::range(codings(object)), 1);
        dooms.any(|doom| doom.is_ok_and(|(_object, doom)| doom.fate(now, delay) != Fate::Kept))
    }

    /// Whether `bytes` more could be kept of `space` now, which `bringer` has brought; the sentence says why not.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub fn has_room(&self, space: SpaceId, bringer: Option<OperatorId>, bytes: usize) -> Result<(), Error> {
        drop(self.quotas.reserve(space, bringer, bytes as u64)?);
        Ok(())
    }

    fn receipt(&self, object: ObjectId, index: u8, row: &KeptRow) -> Result<Vec<u8>, Error> {
        let settled = self.context.store.get(&STRAYS, &(object, index))?;
        Ok(self.sign((object, index), row, settled.map(tables::release).unwrap_or_default()))
    }

    fn sign(&self, (object, index): (ObjectId, u8), row: &KeptRow, release: Release) -> Vec<u8> {
        let held = Held::Shard { object, index, hash: row.hash };
        let is_kept = row.owner.is_none() && !self.is_doomed(&object);
        let promise = if is_kept { release.promise() } else { Promise::Forwards };
        let ring = self.holders.borrow().digest();
        self.context.receipt(held, promise, ring)
    }

    /// The turn of whoever changes what is kept of `object`.
    pub(crate) async fn lane(&self, object: &ObjectId) -> Option<MutexGuard<'_, ()>> {
        let [first, ..] = *object.as_bytes();
        match self.lanes.get(usize::from(first) % LANES) {
            Some(lane) => Some(lane.lock().await),
            None => None,
        }
    }
}

/// Deletes a shard with its row, wherever its bytes lie, and takes it off the accounts.
pub(crate) fn delete_row(accounts: &Accounts, batch: &mut Batch, key: (ObjectId, u8), row: &KeptRow) {
    let (object, index) = key;
    batch.delete(&SHARDS, &key).delete(&KEPT, &key).delete(&STRAYS, &key);
    leave_cold(accounts, batch, key, row);
    if let Some(owner) = row.owner {
        batch.delete(&HANDED, &(owner, object, index));
    }
    accounts.take_off(batch, &row.space, Account::Shards, 1);
    accounts.take_off(batch, &row.space, Account::ShardBytes, row.length);
}

/// Writes the row of a shard, and keeps the index of what is kept for others in step with it.
pub(super) fn put_row(batch: &mut Batch, key: (ObjectId, u8), before: Option<KeptRow>, row: KeptRow) {
    let (object, index) = key;
    if let Some(owner) = before.and_then(|before| before.owner) {
        batch.delete(&HANDED, &(owner, object, index));
    }
    if let Some(owner) = row.owner {
        batch.put(&HANDED, &(owner, object, index), &());
    }
    batch.put(&KEPT, &key, &row);
}
