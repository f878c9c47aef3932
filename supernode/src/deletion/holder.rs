//! The holder's side: removals are heard, an object is doomed by a quorum, and goes when a quorum says so again.
//!
//! The rows, the bytes, the counters of used space and the signed deletion change in one batch; the signature leaves after it.

use std::sync::Arc;

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Deletion as Signed, Doom, Duty, Fate, Placement, Removal,
    message::{
        refusal::{Refusal, RefusalCode},
        shard::Indices,
    },
    removal::Heard,
};
use cosmic_erasure::codings;
use cosmic_store::Span;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Deletion, Error};
use crate::{
    shards::delete_row,
    tables::{Account, DELETIONS, DOOMS, KEPT, KeptRow, MANIFESTS, PLACEMENTS, shards_of},
};

/// Shards of one object here, and records of it, that are deleted in one batch: all of several codings.
const ROWS_MAX: usize = 8 * cosmic_common::limit::SHARDS_MAX;

/// A shard that is kept here.
type Row = ((ObjectId, u8), KeptRow);
type Rows = Vec<Row>;

/// Removals carried out at once: their batches share an fsync.
const AT_ONCE: usize = 32;

impl Deletion {
    /// Takes in signed removals; the signed deletions of those objects of which nothing is here any more.
    ///
    /// # Errors
    /// [`Error::Custody`] or [`Error::Refused`] if one of them was not made by who may; nothing is done then.
    pub(super) async fn hear(&self, removals: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Error> {
        let opening =
            move || removals.iter().map(|bytes| Removal::open(bytes)).collect::<Result<Vec<_>, _>>();
        let opened = tokio::task::spawn_blocking(opening).await.map_err(|_gone| Error::Stopping)?;
        let removals = opened.map_err(Error::from).and_then(|removals| {
            removals.iter().try_for_each(|removal| self.check(removal))?;
            Ok(removals)
        });
        let removals = removals.inspect_err(|error| {
            self.0.metrics.removals_refused.inc();
            tracing::warn!(reason = cosmic_runtime::exit::sentence(error), "a removal is refused");
        })?;
        let hearing = removals.into_iter().map(|removal| self.hear_one(removal));
        let heard: Vec<Option<Vec<u8>>> = stream::iter(hearing).buffered(AT_ONCE).try_collect().await?;
        Ok(heard.into_iter().flatten().collect())
    }

    /// Whether it comes from a replica of the space that the object is charged to here.
    fn check(&self, removal: &Removal) -> Result<(), Error> {
        if !self.duty(&removal.space).includes(&removal.replica) {
            let sentence = format!("{} is no replica of the space", removal.replica.short());
            return Err(Refusal::new(RefusalCode::NotResponsible, sentence).into());
        }
        match self.0.shards.keeper().space_of(&removal.object)? {
            Some(space) if space != removal.space => {
                let sentence = "the object belongs to another space";
                Err(Refusal::new(RefusalCode::NotAuthorised, sentence).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn hear_one(&self, removal: Removal) -> Result<Option<Vec<u8>>, Error> {
        let store = &self.0.context.store;
        let object = removal.object;
        let _lane = self.0.shards.keeper().lane(&object).await;
        // Of all codings of the object: who removes it removes them all.
        let rows: Rows = store.scan(&KEPT, &shards_of(&object), ROWS_MAX).collect::<Result<_, _>>()?;
        let records: Vec<(ObjectId, Placement)> =
            store.scan(&PLACEMENTS, &Span::range(codings(&object)), ROWS_MAX).collect::<Result<_, _>>()?;
        let recorded = records.iter().map(|(_coding, placement)| placement.time);
        let put = rows.iter().map(|(_shard, row)| row.since).chain(recorded).max();
        let Some(put) = put else { return self.signed_before(object).map(Some) };
        let before = store.get(&DOOMS, &object)?;
        let (now, delay) = (self.now(), self.0.config.delay());
        let mut doom = before.clone().unwrap_or_default();
        self.insert(&mut doom, &removal, put, now);
        if doom.fate(now, delay) == Fate::Gone {
            let recorded = records.iter().map(|(coding, _placement)| *coding).collect();
            return self.delete(object, &rows, recorded).await.map(Some);
        }
        if before.as_ref() != Some(&doom) {
            let mut batch = store.batch();
            batch.put(&DOOMS, &object, &doom);
            store.commit(batch).await?;
        }
        Ok(None)
    }

    fn insert(&self, doom: &mut Doom, removal: &Removal, put: Timestamp, now: Timestamp) {
        let ring = self.0.context.ring_view();
        let operator = |peer: &PeerId| ring.members.get(peer).map(|member| member.operator);
        let duty: Duty = self.duty(&removal.space);
        let delay = self.0.config.delay();
        doom.insert(removal, Heard { duty: &duty, operator: &operator, put, now, delay });
    }

    /// Deletes what is here of an object, and signs that it is gone.
    async fn delete(
        &self,
        object: ObjectId,
        rows: &[Row],
        recorded: Vec<ObjectId>,
    ) -> Result<Vec<u8>, Error> {
        let (store, accounts) = (&self.0.context.store, &self.0.context.accounts);
        let mut batch = store.batch();
        let bytes: u64 = rows.iter().map(|(_shard, row)| row.length).sum();
        for (shard, row) in rows {
            delete_row(accounts, &mut batch, *shard, row);
        }
        // One account of an object for each of its codings.
        for ((coding, _index), row) in
            rows.chunk_by(|one, other| one.0.0 == other.0.0).filter_map(<[_]>::first)
        {
            batch.delete(&MANIFESTS, coding);
            accounts.add(&mut batch, &row.space, Account::Objects, -1);
        }
        for coding in recorded {
            batch.delete(&PLACEMENTS, &coding);
        }
        batch.delete(&DOOMS, &object);
        let deletion = self.sign(object, rows.iter().map(|((_coding, index), _row)| *index).collect())?;
        if !rows.is_empty() {
            batch.put_slice(&DELETIONS, &(object, self.me()), &deletion);
        }
        store.commit(batch).await?;
        if rows.iter().any(|(_shard, row)| row.cold.is_some()) {
            self.0.shards.keeper().cold().discarded();
        }
        self.0.metrics.objects_deleted.inc_by(u64::from(!rows.is_empty()));
        self.0.metrics.shards_deleted.inc_by(rows.len() as u64);
        self.0.metrics.bytes_deleted.inc_by(bytes);
        tracing::info!(object = %object.short(), shards = rows.len(), bytes, "an object was deleted");
        Ok(deletion)
    }

    /// What was signed when the object was deleted here; or, if it never was here, that nothing of it is.
    fn signed_before(&self, object: ObjectId) -> Result<Vec<u8>, Error> {
        match self.0.context.store.get(&DELETIONS, &(object, self.me()))? {
            Some(bytes) if Signed::open(&bytes).is_ok_and(|signed| signed.holder == self.me()) => {
                Ok(bytes.into())
            }
            Some(_) | None => self.sign(object, Indices::default()),
        }
    }

    fn sign(&self, object: ObjectId, shards: Indices) -> Result<Vec<u8>, Error> {
        let context: &Arc<_> = &self.0.context;
        let deletion = Signed {
            object,
            shards,
            holder: context.peer,
            incarnation: context.incarnation,
            time: context.clock.now(),
        };
        Ok(deletion.sign(&context.key)?.to_bytes())
    }

    /// Whether a quorum of the replicas of its space says that an object is being removed: nobody mends it then.
    pub(crate) async fn is_removing(&self, space: SpaceId, object: ObjectId) -> bool {
        self.claims_at_replicas(space, &[object]).await.removing.contains(&object)
    }
}
