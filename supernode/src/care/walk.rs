//! The walk over what is kept here: bounded steps, each in mind for the next start, and anew when somebody goes or comes,
//! the ring table is another, or its class has lasted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use cosmic_common::id::{Hash, ObjectId, PeerId};
use cosmic_custody::Presence;
use cosmic_runtime::clock::Monotonic;
use cosmic_store::Span;

use super::{
    Care, Error,
    census::{self, Counts},
    lock,
};
use crate::tables::{FACTS, Fact, KEPT};

/// Objects looked at in one step: questions of 8 kB.
pub(super) const STEP_OBJECTS: usize = 256;
/// The pause between two steps: some 5,000 objects in a second at most.
const STEP_PAUSE: Duration = Duration::from_millis(50);
/// How often is seen whether there is a reason to walk, and whether what waits in the queue was mended by others.
pub(super) const REST: Duration = Duration::from_secs(1);

/// What is known of a member's presence, without the moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    is_offline: bool,
    is_missing_wide: bool,
}

impl Care {
    /// Walks for ever.
    pub(super) async fn walk(self) {
        let clock = self.0.context.clock.clone();
        // What was not finished before the last stop goes on.
        let mut next = Some(self.remembered());
        let mut seen = (self.table_digest(), self.standings(), self.class());
        let mut begun = clock.monotonic();
        let mut looked = begun;
        loop {
            let now = (self.table_digest(), self.standings(), self.class());
            let is_due = next.is_none() && clock.monotonic().since(begun) >= self.0.config.walk_every();
            if now != seen || is_due {
                (seen, next, begun) = (now, Some(None), clock.monotonic());
            }
            let Some(after) = next else {
                self.rest(&mut looked).await;
                continue;
            };
            match self.step(after).await {
                Ok(last) => {
                    next = last.map(Some);
                    self.remember(last).await;
                    clock.sleep(STEP_PAUSE).await;
                }
                Err(error) => {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::warn!(reason, "what is kept here could not be looked at");
                    self.rest(&mut looked).await;
                }
            }
        }
    }

    async fn rest(&self, looked: &mut Monotonic) {
        let clock = &self.0.context.clock;
        if clock.monotonic().since(*looked) >= self.0.config.ping_every() {
            *looked = clock.monotonic();
            if let Err(error) = self.look_again(STEP_OBJECTS).await {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::warn!(reason, "what waits for repair could not be looked at");
            }
        }
        clock.sleep(REST).await;
    }

    /// Looks at the objects after this one; the last of them, or none at the end.
    async fn step(&self, after: Option<ObjectId>) -> Result<Option<ObjectId>, Error> {
        let store = self.0.context.store.clone();
        let reading = move || -> Result<(Vec<ObjectId>, Vec<ObjectId>, Counts), cosmic_store::Error> {
            let mut handed: Vec<ObjectId> = Vec::new();
            let span = after.map_or_else(Span::all, |object| Span::all().after(&(object, u8::MAX)));
            let mut objects: Vec<ObjectId> = Vec::with_capacity(STEP_OBJECTS);
            let mut sizes: Vec<(ObjectId, u64)> = Vec::with_capacity(STEP_OBJECTS);
            for item in store.scan(&KEPT, &span, usize::MAX) {
                let ((object, _index), row) = item?;
                if objects.last() != Some(&object) {
                    if objects.len() == STEP_OBJECTS {
                        break;
                    }
                    objects.push(object);
                    sizes.push((object, 0));
                }
                if let Some((_object, bytes)) = sizes.last_mut() {
                    *bytes = bytes.saturating_add(row.length);
                }
                if row.owner.is_some() && handed.last() != Some(&object) {
                    handed.push(object);
                }
            }
            let counts = census::count(&store, &sizes)?;
            Ok((objects, handed, counts))
        };
        let (objects, handed, counts) =
            tokio::task::spawn_blocking(reading).await.map_err(|_gone| Error::Stopping)??;
        for object in handed {
            self.0.shards.keeper().index_handed_off(&object).await?;
        }
        let last = objects.last().copied().filter(|_| objects.len() == STEP_OBJECTS);
        lock(&self.0.census).add(counts, after.is_none(), last.is_none());
        if !objects.is_empty() {
            self.examine(objects).await?;
        }
        if last.is_none() {
            self.0.metrics.walks.inc();
        }
        Ok(last)
    }

    fn standings(&self) -> BTreeMap<PeerId, Standing> {
        let (now, wide) = (self.now(), self.0.config.patience().wide_after);
        let liveness = self.liveness();
        let standing = |peer: &PeerId| Standing {
            is_offline: matches!(liveness.presence(peer, now), Presence::Offline { .. } | Presence::Gone),
            is_missing_wide: liveness.is_missing(peer, wide, now),
        };
        liveness.known().map(|peer| (*peer, standing(peer))).collect()
    }

    fn table_digest(&self) -> Hash {
        Arc::clone(&self.0.shards.holders().borrow()).digest()
    }

    fn remembered(&self) -> Option<ObjectId> {
        let fact = self.0.context.store.get(&FACTS, &(Fact::Walk as u8)).ok()??;
        let bytes: [u8; 32] = fact.as_ref().try_into().ok()?;
        Some(ObjectId::from_bytes(bytes))
    }

    async fn remember(&self, last: Option<ObjectId>) {
        let store = &self.0.context.store;
        let mut batch = store.batch();
        match last {
            Some(object) => {
                batch.put(&FACTS, &(Fact::Walk as u8), &Bytes::copy_from_slice(object.as_bytes()))
            }
            None => batch.delete(&FACTS, &(Fact::Walk as u8)),
        };
        if let Err(error) = store.commit(batch).await {
            tracing::debug!(%error, "the place of the walk was not kept");
        }
    }
}
