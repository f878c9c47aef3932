//! Strays: own shards that belong elsewhere by the ring, and how far their release is. What is promised for them, and whether
//! they may go, hangs on one row each.

use std::collections::BTreeMap;

use cosmic_common::{id::ObjectId, limit::SHARDS_MAX, time::Timestamp};
use cosmic_custody::Release;
use cosmic_store::Span;

use super::{super::Error, Keeper};
use crate::tables::{KEPT, STRAYS, release, settled};

impl Keeper {
    /// Notes that own shards belong elsewhere by the ring, so that they are moved ([`crate::moves`]).
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn note_strays(&self, strays: &[(ObjectId, u8)]) -> Result<(), Error> {
        let store = &self.context.store;
        for (object, index) in strays {
            let _lane = self.lane(object).await;
            let is_own = store.get(&KEPT, &(*object, *index))?.is_some_and(|row| row.owner.is_none());
            if is_own && !store.contains(&STRAYS, &(*object, *index))? {
                let mut batch = store.batch();
                batch.put(&STRAYS, &(*object, *index), &Timestamp::default());
                store.commit(batch).await?;
            }
        }
        self.strays_noted.notify_one();
        Ok(())
    }

    /// Waits until strays are noted.
    pub async fn strays_noted(&self) {
        self.strays_noted.notified().await;
    }

    /// Own shards of `object` that belong elsewhere, and how far their release is.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn strays(&self, object: &ObjectId) -> Result<BTreeMap<u8, Release>, Error> {
        let rows = self.context.store.scan(&STRAYS, &Span::prefix(object), SHARDS_MAX);
        let mut strays = BTreeMap::new();
        for item in rows {
            let ((_object, index), row) = item?;
            strays.insert(index, release(row));
        }
        Ok(strays)
    }

    /// Remembers how far the release of a stray is; none if it is no stray any more. Receipts follow it.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn settle(&self, object: ObjectId, index: u8, stray: Option<Release>) -> Result<(), Error> {
        let store = &self.context.store;
        let _lane = self.lane(&object).await;
        let mut batch = store.batch();
        match stray {
            Some(release) if store.contains(&KEPT, &(object, index))? => {
                batch.put(&STRAYS, &(object, index), &settled(release));
            }
            Some(_) | None => drop(batch.delete(&STRAYS, &(object, index))),
        }
        Ok(store.commit(batch).await?)
    }

    /// Frees a stray whose release, as far as it was when everybody was asked, is over; whether it was still that far.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn let_go(&self, object: ObjectId, index: u8, asked: Release) -> Result<bool, Error> {
        let _lane = self.lane(&object).await;
        let known = self.context.store.get(&STRAYS, &(object, index))?;
        if asked.settled.is_none() || known.map(release) != Some(asked) {
            return Ok(false);
        }
        self.free_now(object, index, None).await
    }
}
