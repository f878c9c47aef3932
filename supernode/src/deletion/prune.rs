//! Deletions are proofs that something is gone; after a year nobody asks for them any more.

use std::time::Duration;

use cosmic_common::id::{ObjectId, PeerId};
use cosmic_custody::Deletion as Signed;
use cosmic_store::Span;

use super::{Deletion, Error};
use crate::tables::DELETIONS;

/// How long signed deletions are kept.
const DELETIONS_KEPT: Duration = Duration::from_hours(24 * 365);
/// Rows looked at in one go: a million in three hours, if it is looked every ten seconds.
const ROWS: usize = 1024;

impl Deletion {
    /// Drops those of a page of deletions that are too old.
    pub(super) async fn prune(&self, after: &mut Option<(ObjectId, PeerId)>) -> Result<(), Error> {
        let (store, now) = (&self.0.context.store, self.now());
        let span = after.take().map_or_else(Span::all, |place| Span::all().after(&place));
        let rows: Vec<_> = store.scan(&DELETIONS, &span, ROWS).collect::<Result<_, _>>()?;
        *after = rows.last().map(|(place, _bytes)| *place).filter(|_| rows.len() == ROWS);
        let mut batch = store.batch();
        for (place, bytes) in rows {
            // The signature was verified when it came; one that cannot be read any more proves nothing.
            let is_kept = Signed::open(&bytes).is_ok_and(|signed| now.since(signed.time) < DELETIONS_KEPT);
            if !is_kept {
                batch.delete(&DELETIONS, &place);
            }
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        Ok(())
    }
}
