//! How far removals are, for devices and for other supernodes: who has signed, and how many have not.

use cosmic_common::id::{ObjectId, SpaceId};
use cosmic_custody::message::{
    care::{CareAnswer, CareRequest, RemovalProgress},
    refusal::{Refusal, RefusalCode},
};
use cosmic_runtime::exit::sentence;
use cosmic_store::Span;

use super::{Deletion, Error};
use crate::{
    duty,
    tables::{CLAIMS, DELETIONS, REMOVALS, TOMBSTONES, UNSETTLED},
};

/// Deletions of one object that are shown: as many as the widest class has holders, and those who stood in.
pub(super) const DELETIONS_MAX: usize = 24;
/// Claims on one object that are looked at to tell whether its removal is about to begin.
const CLAIMS_MAX: usize = 64;

impl Deletion {
    /// What this replica knows of the removals of these objects.
    pub(super) fn progress(
        &self,
        space: SpaceId,
        objects: &[ObjectId],
    ) -> Result<Vec<RemovalProgress>, Error> {
        self.must_be_replica(&space)?;
        let store = &self.0.context.store;
        let one = |object: &ObjectId| {
            let row = store.get(&REMOVALS, &(space, *object))?;
            let deletions = store.scan(&DELETIONS, &Span::prefix(object), DELETIONS_MAX);
            let deletions: Vec<Vec<u8>> =
                deletions.map(|row| row.map(|(_key, bytes)| bytes.into())).collect::<Result<_, _>>()?;
            // Others were sooner: what this replica deleted itself is claimed by an entry whose tombstone it has not seen.
            let is_behind = !deletions.is_empty()
                && store.scan(&CLAIMS, &Span::prefix(&(space, *object)), 1).next().is_some();
            Ok(RemovalProgress {
                under_way: row.is_some() || is_behind || self.is_about_to_begin(space, *object)?,
                keeping: row.map_or(0, |row| row.keeping),
                silent: row.map_or(0, |row| row.silent),
                deletions,
            })
        };
        objects.iter().map(one).collect()
    }

    /// Whether an entry that claims the object was removed a moment ago, and is not looked at yet.
    fn is_about_to_begin(&self, space: SpaceId, object: ObjectId) -> Result<bool, cosmic_store::Error> {
        let store = &self.0.context.store;
        for row in store.scan(&CLAIMS, &Span::prefix(&(space, object)), CLAIMS_MAX) {
            let ((.., entry), _channel) = row?;
            if store.contains(&UNSETTLED, &(space, entry))?
                && store.scan(&TOMBSTONES, &Span::prefix(&(space, entry)), 1).next().is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same, for a device: from a replica of the space that answers.
    ///
    /// # Errors
    /// If none does.
    pub async fn progress_for_device(
        &self,
        space: SpaceId,
        objects: Vec<ObjectId>,
    ) -> Result<Vec<RemovalProgress>, Error> {
        let count = objects.len();
        let request = CareRequest::Removals { space, objects };
        for replica in duty::replicas(&self.0.context, &space) {
            match self.ask(replica, &request).await {
                Ok(CareAnswer::Removals(progress)) if progress.len() == count => return Ok(progress),
                Ok(_other) => {}
                Err(error) => {
                    let reason = sentence(&error);
                    tracing::debug!(replica = %replica.short(), reason, "a replica did not say what is removed");
                }
            }
        }
        Err(Refusal::new(RefusalCode::Unavailable, "no replica of the space answers").into())
    }
}
