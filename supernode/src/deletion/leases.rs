//! Leases: an upload is kept for some time; after that the replicas of its space say whether an entry claims it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_custody::message::care::{CareAnswer, CareRequest, Claim, SURVEY_MAX};
use cosmic_runtime::exit::sentence;
use cosmic_store::{Batch, Span};
use futures::{StreamExt as _, stream};

use super::{ASKED_AT_ONCE, Deletion, Error, PAGE};
use crate::tables::{KEPT, LEASES, shards_of};

/// How long until those are asked again who do not answer, or who remove what nobody claims.
const AGAIN: Duration = Duration::from_hours(1);

/// What the replicas of a space say of objects.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// One of them has an entry that claims it.
    pub(super) claimed: BTreeSet<ObjectId>,
    /// A quorum of them removes it.
    pub(super) removing: BTreeSet<ObjectId>,
}

/// Gives an object another lease.
fn give(batch: &mut Batch, space: SpaceId, object: ObjectId, until: Timestamp) {
    batch.put(&LEASES, &(until, object), &space);
}

impl Deletion {
    /// Asks about what is kept here and whose lease is over; what is claimed needs none any more.
    pub(super) async fn end_leases(&self) -> Result<(), Error> {
        let (store, now) = (&self.0.context.store, self.now());
        let due = Span::range(..=(now, ObjectId::from_bytes([u8::MAX; 32])));
        let rows: Vec<_> = store.scan(&LEASES, &due, PAGE).collect::<Result<_, _>>()?;
        let mut batch = store.batch();
        let mut spaces: BTreeMap<SpaceId, Vec<(Timestamp, ObjectId)>> = BTreeMap::new();
        for ((until, object), space) in rows {
            if store.scan(&KEPT, &shards_of(&object), 1).next().is_some() {
                spaces.entry(space).or_default().push((until, object));
            } else {
                batch.delete(&LEASES, &(until, object));
            }
        }
        for (space, leases) in spaces {
            let objects: Vec<ObjectId> = leases.iter().map(|(_until, object)| *object).collect();
            let said = self.ask_replicas(space, &objects, true).await;
            for (until, object) in leases {
                batch.delete(&LEASES, &(until, object));
                if !said.claimed.contains(&object) {
                    self.0.metrics.leases_over.inc();
                    give(&mut batch, space, object, now.after(AGAIN));
                }
            }
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        Ok(())
    }

    /// What the replicas say, without asking them to remove anything.
    pub(super) async fn claims_at_replicas(&self, space: SpaceId, objects: &[ObjectId]) -> Said {
        self.ask_replicas(space, objects, false).await
    }

    async fn ask_replicas(&self, space: SpaceId, objects: &[ObjectId], overdue: bool) -> Said {
        let duty = self.duty(&space);
        let asking =
            duty.current.iter().copied().map(|replica| self.ask_replica(replica, space, objects, overdue));
        let answers: Vec<Vec<Claim>> = stream::iter(asking).buffer_unordered(ASKED_AT_ONCE).collect().await;
        let mut said = Said::default();
        for (place, object) in objects.iter().enumerate() {
            let count =
                |claim: Claim| answers.iter().filter(|claims| claims.get(place) == Some(&claim)).count();
            if count(Claim::Claimed) > 0 {
                said.claimed.insert(*object);
            }
            if count(Claim::Removing) >= duty.quorum().max(1) {
                said.removing.insert(*object);
            }
        }
        said
    }

    /// What one replica says of these objects, in their order, as far as it answers.
    async fn ask_replica(
        &self,
        replica: PeerId,
        space: SpaceId,
        objects: &[ObjectId],
        overdue: bool,
    ) -> Vec<Claim> {
        let mut claims = Vec::with_capacity(objects.len());
        for some in objects.chunks(usize::try_from(SURVEY_MAX).unwrap_or(usize::MAX)) {
            let request = CareRequest::Claims { space, objects: some.to_vec(), overdue };
            match self.ask(replica, &request).await {
                Ok(CareAnswer::Claimed(said)) if said.len() == some.len() => claims.extend(said),
                Ok(_other) => break,
                Err(error) => {
                    let reason = sentence(&error);
                    tracing::debug!(replica = %replica.short(), reason, "a replica did not say what is claimed");
                    break;
                }
            }
        }
        claims
    }
}
