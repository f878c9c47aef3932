//! Deletes from the store what is of no use there: what a shard that went left behind, and what no row leads to.

use std::{pin::pin, time::Duration};

use cosmic_store::{Span, Store};
use futures::{StreamExt as _, future::join_all};

use super::{Cold, Error, Mode, Name, Place};
use crate::tables::{DISCARDS, KEPT};

/// How often everything in the folder is held against the rows: at the start, and each day. A page of a thousand names is
/// one request.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Objects deleted, or looked up, in one go.
const STEP: usize = 64;

impl Cold {
    /// Deletes all that was noted for it.
    pub(super) async fn discard(&self, place: &Place) -> Result<(), Error> {
        let store = &self.0.context.store;
        loop {
            let reading = store.clone();
            let found = tokio::task::spawn_blocking(move || {
                reading.scan(&DISCARDS, &Span::all(), STEP).collect::<Result<Vec<_>, _>>()
            });
            let found = found.await.map_err(|_gone| Error::Stopping)??;
            if found.is_empty() || self.memory().mode == Mode::Pause {
                return Ok(());
            }
            let names: Vec<Name> = found
                .iter()
                .map(|((object, index, number), ())| Name { object: *object, index: *index, number: *number })
                .collect();
            self.delete(place, &names).await?;
            let mut batch = store.batch();
            for (key, ()) in &found {
                batch.delete(&DISCARDS, key);
            }
            store.commit(batch).await?;
        }
    }

    /// Deletes what no row leads to: a crash left it behind, or a life of this supernode that is over.
    ///
    /// Only the task that uploads calls it, and not while it does: whatever is in the folder is led to by a row by now, or
    /// never will be.
    pub(super) async fn sweep(&self, place: &Place) -> Result<(), Error> {
        let folder = place.folder(self.memory().place.ok_or(Error::Missing)?);
        let mut names = pin!(place.names(&folder).chunks(STEP));
        while let Some(some) = names.next().await {
            let some = some.into_iter().collect::<Result<Vec<Name>, Error>>()?;
            let store = self.0.context.store.clone();
            let orphans = tokio::task::spawn_blocking(move || orphans(&store, some)).await;
            let orphans = orphans.map_err(|_gone| Error::Stopping)??;
            if orphans.is_empty() {
                continue;
            }
            self.delete(place, &orphans).await?;
            self.0.metrics.orphans_deleted.inc_by(orphans.len() as u64);
            tracing::info!(objects = orphans.len(), "what no shard led to was deleted from the cold store");
        }
        Ok(())
    }

    async fn delete(&self, place: &Place, names: &[Name]) -> Result<(), Error> {
        let folder = place.folder(self.memory().place.ok_or(Error::Missing)?);
        for deleted in join_all(names.iter().map(|name| place.delete(&folder, name))).await {
            deleted?;
            self.0.metrics.objects_deleted.inc();
        }
        Ok(())
    }
}

/// Those of `names` that no row leads to. Blocks.
fn orphans(store: &Store, names: Vec<Name>) -> Result<Vec<Name>, Error> {
    let mut orphans = Vec::new();
    for name in names {
        // A row that cannot be read may lead there: then nothing is deleted.
        let row = store.get(&KEPT, &(name.object, name.index))?;
        if row.and_then(|row| row.cold) != Some(name.number) {
            orphans.push(name);
        }
    }
    Ok(orphans)
}
