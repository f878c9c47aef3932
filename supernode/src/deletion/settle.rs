//! Settling: of what came to be claimed or removed since the last time, which objects are claimed by nobody any more?

use cosmic_common::{
    id::{EntryId, ObjectId, SpaceId},
    time::Timestamp,
};
use cosmic_custody::message::care::Claim;
use cosmic_runtime::exit::sentence;
use cosmic_store::{Batch, Span};

use super::{Deletion, Error, PAGE};
use crate::tables::{CLAIMANTS, PACKED, REMOVALS, RemovalRow, UNSETTLED};

impl Deletion {
    /// Looks at a page of entries behind `after`; where a space does not answer they wait for the next time.
    pub(super) async fn settle(&self, after: &mut Option<(SpaceId, EntryId)>) -> Result<(), Error> {
        if !self.knows_claims() {
            return Ok(());
        }
        let span = after.take().map_or_else(Span::all, |place| Span::all().after(&place));
        let rows: Vec<_> = self.0.context.store.scan(&UNSETTLED, &span, PAGE).collect::<Result<_, _>>()?;
        *after = rows.last().map(|(place, ())| *place).filter(|_| rows.len() == PAGE);
        for ((space, entry), ()) in rows {
            if let Err(error) = self.settle_one(space, entry).await {
                let reason = sentence(&error);
                tracing::debug!(space = %space.short(), entry = %entry.short(), reason, "what an entry claims stays open");
            }
        }
        Ok(())
    }

    async fn settle_one(&self, space: SpaceId, entry: EntryId) -> Result<(), Error> {
        let store = &self.0.context.store;
        let mut batch = store.batch();
        let rows = store.scan(&CLAIMANTS, &Span::prefix(&(space, entry)), usize::MAX);
        let mut objects: Vec<ObjectId> =
            rows.map(|row| row.map(|((.., object), ())| object)).collect::<Result<_, _>>()?;
        if !self.is_replica(&space) {
            // Others conclude.
            objects.clear();
        }
        for object in objects {
            let is_open = store.contains(&REMOVALS, &(space, object))?;
            match self.claim(space, object).await? {
                Claim::Claimed if is_open => self.withdraw(&mut batch, space, object),
                Claim::None => self.begin(&mut batch, space, object),
                Claim::Claimed | Claim::Removing => {}
            }
        }
        batch.delete(&UNSETTLED, &(space, entry));
        Ok(store.commit(batch).await?)
    }

    /// Gives up a removal: somebody claims the object again, or others speak for its space.
    pub(super) fn withdraw(&self, batch: &mut Batch, space: SpaceId, object: ObjectId) {
        batch.delete(&REMOVALS, &(space, object));
        self.0.metrics.removals_withdrawn.inc();
    }

    /// Begins a removal.
    pub(super) fn begin(&self, batch: &mut Batch, space: SpaceId, object: ObjectId) {
        let now = self.now();
        batch.put(&REMOVALS, &(space, object), &row_since(now));
        self.0.metrics.removals_begun.inc();
        tracing::info!(space = %space.short(), object = %object.short(), "nobody claims an object any more");
    }
}

/// The removal of what nobody has claimed since `now`.
const fn row_since(now: Timestamp) -> RemovalRow {
    RemovalRow { since: now, next: Timestamp::from_unix_ms(0), tries: 0, keeping: 0, silent: 0 }
}

/// A pack is of no use any more: it is removed like any object that nobody claims.
pub(crate) fn unpack(batch: &mut Batch, space: SpaceId, object: ObjectId, now: Timestamp) {
    batch.delete(&PACKED, &(space, object));
    batch.put(&REMOVALS, &(space, object), &row_since(now));
}
