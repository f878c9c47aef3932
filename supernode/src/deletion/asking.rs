//! Asking: a replica asks everybody who keeps a part of what nobody claims, until all have signed that it is gone.
//!
//! ```text
//! due ─▶ in step with the other replicas? ── no ──▶ later
//!          │ yes
//!        claimed again? ── yes ──▶ withdrawn; by another replica: later
//!          │ no
//!        Survey to all ─▶ Remove to those who keep something, or should ─▶ deletions
//!          are stored ─▶ nobody has anything, and nobody is silent ─▶ done
//! ```

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Deletion as Signed, Removal,
    message::{
        care::{CareAnswer, CareRequest, Claim, Surveyed},
        replica::SpaceHeads,
    },
    removal::RETENTION_MAX,
};
use cosmic_erasure::coded_anew;
use cosmic_runtime::exit::sentence;
use cosmic_store::Span;
use futures::{StreamExt as _, stream};

use super::{
    ASKED_AT_ONCE, Deletion, Error, PAGE, claims,
    tally::{Answered, Tally},
};
use crate::{
    duty,
    tables::{DELETIONS, REMOVALS, RemovalRow},
};

/// Objects asked about in one message: removals of 230 bytes each, and at most sixteen names of codings, which is what a survey
/// may hold.
const OBJECTS_AT_ONCE: usize = 256;

type Open = BTreeMap<ObjectId, RemovalRow>;

impl Deletion {
    /// Asks for those removals behind `after` that are due.
    pub(super) async fn ask_holders(&self, after: &mut Option<(SpaceId, ObjectId)>) -> Result<(), Error> {
        let (now, is_first) = (self.now(), after.is_none());
        let span = after.take().map_or_else(Span::all, |place| Span::all().after(&place));
        let rows: Vec<((SpaceId, ObjectId), RemovalRow)> =
            self.0.context.store.scan(&REMOVALS, &span, PAGE).collect::<Result<_, _>>()?;
        *after = rows.last().map(|(place, _row)| *place).filter(|_| rows.len() == PAGE);
        if is_first {
            self.0.metrics.removals_under_way.set(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        }
        let mut due: BTreeMap<SpaceId, Vec<(ObjectId, RemovalRow)>> = BTreeMap::new();
        for ((space, object), row) in rows.into_iter().filter(|(_place, row)| row.next <= now) {
            due.entry(space).or_default().push((object, row));
        }
        for (space, due) in due {
            for some in due.chunks(OBJECTS_AT_ONCE) {
                if let Err(error) = self.ask_for(space, some.iter().copied().collect()).await {
                    tracing::debug!(space = %space.short(), reason = sentence(&error), "a removal waits");
                }
            }
        }
        Ok(())
    }

    async fn ask_for(&self, space: SpaceId, mut open: Open) -> Result<(), Error> {
        let is_replica = self.is_replica(&space);
        if is_replica && !self.is_in_step(space).await? {
            return self.postpone(space, open).await;
        }
        let store = &self.0.context.store;
        let mut batch = store.batch();
        for object in open.keys().copied().collect::<Vec<_>>() {
            if !is_replica || self.claim(space, object).await? == Claim::Claimed {
                open.remove(&object);
                self.withdraw(&mut batch, space, object);
            }
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        // What one of the others claims may be a pack that is not noted here, or he has not seen the tombstone yet.
        let objects: Vec<ObjectId> = open.keys().copied().collect();
        let contested = self.claims_at_replicas(space, &objects).await.claimed;
        let (contested, open): (Open, Open) =
            open.into_iter().partition(|(object, _row)| contested.contains(object));
        self.postpone(space, contested).await?;
        if open.is_empty() {
            return Ok(());
        }
        let retention = self.0.spaces.get(space)?.judge(Vec::new()).await?.retention.unwrap_or_default();
        let wait = self.0.config.delay().max(retention.min(RETENTION_MAX));
        let removals = self.sign_removals(space, &open, wait)?;
        let answers = self.answers(&space, &removals).await;
        self.note(space, open, &answers, wait).await
    }

    /// Whether this replica has every entry that the others have, as far as they answer, and enough do. What is missing is
    /// fetched.
    async fn is_in_step(&self, space: SpaceId) -> Result<bool, Error> {
        let replicas = duty::replicas(&self.0.context, &space);
        let mut heard = 1;
        for peer in replicas.into_iter().filter(|peer| *peer != self.me()) {
            let Ok(theirs) = self.0.spaces.replicas().heads(peer, space).await else { continue };
            heard += 1;
            if has_all(&self.0.spaces.stored_heads(space)?, &theirs) {
                continue;
            }
            self.0.spaces.get(space)?.reconcile(peer).await?;
            if !has_all(&self.0.spaces.stored_heads(space)?, &theirs) {
                tracing::debug!(space = %space.short(), peer = %peer.short(), "another replica has entries that are not here");
                return Ok(false);
            }
        }
        Ok(heard >= self.duty(&space).quorum())
    }

    async fn postpone(&self, space: SpaceId, open: Open) -> Result<(), Error> {
        if open.is_empty() {
            return Ok(());
        }
        let store = &self.0.context.store;
        let mut batch = store.batch();
        for (object, row) in open {
            let next = self.now().after(self.0.config.pause(row.tries));
            let tries = row.tries.saturating_add(1);
            batch.put(&REMOVALS, &(space, object), &RemovalRow { next, tries, ..row });
        }
        Ok(store.commit(batch).await?)
    }

    fn sign_removals(
        &self,
        space: SpaceId,
        open: &Open,
        wait: std::time::Duration,
    ) -> Result<BTreeMap<ObjectId, Vec<u8>>, Error> {
        let time = self.now();
        let sign = |(object, row): (&ObjectId, &RemovalRow)| {
            let retained_until = row.since.after(wait);
            let removal = Removal { space, object: *object, replica: self.me(), time, retained_until };
            Ok((*object, removal.sign(&self.0.context.key)?.to_bytes()))
        };
        open.iter().map(sign).collect()
    }

    /// What everybody answers.
    async fn answers(
        &self,
        space: &SpaceId,
        removals: &BTreeMap<ObjectId, Vec<u8>>,
    ) -> BTreeMap<PeerId, Answered> {
        let holders = std::sync::Arc::clone(&self.0.shards.holders().borrow());
        let table = self.0.shards.table(&holders, space);
        // Those who should have a part, or the record of who has, sign whether or not they have it still.
        let mut signing: BTreeMap<PeerId, BTreeSet<ObjectId>> = BTreeMap::new();
        for object in removals.keys() {
            let keepers = table.replicas(table.partition_of(object.as_bytes()));
            for peer in keepers.chain(table.holders(object, usize::from(table.class().n))) {
                signing.entry(peer).or_default().insert(*object);
            }
        }
        let members: Vec<PeerId> = holders.standing().members().copied().collect();
        let asking = members.into_iter().map(|peer| {
            let signing = signing.remove(&peer).unwrap_or_default();
            async move { (peer, self.ask_one(peer, signing, removals).await) }
        });
        stream::iter(asking).buffer_unordered(ASKED_AT_ONCE).collect().await
    }

    async fn ask_one(
        &self,
        peer: PeerId,
        signing: BTreeSet<ObjectId>,
        removals: &BTreeMap<ObjectId, Vec<u8>>,
    ) -> Answered {
        let mut answered = Answered { asked: signing, ..Answered::default() };
        let objects: Vec<ObjectId> = removals.keys().copied().collect();
        // What was coded anew has other names: each is looked for.
        let codecs = self.0.context.codecs();
        let named = |object: &ObjectId| {
            let anew = codecs.iter().map(|codec| coded_anew(object, *codec));
            std::iter::once(*object).chain(anew).map(|coding| (coding, *object)).collect::<Vec<_>>()
        };
        let (codings, objects): (Vec<_>, Vec<_>) = objects.iter().flat_map(named).unzip();
        match self.ask(peer, &CareRequest::Survey(codings)).await {
            Ok(CareAnswer::Surveyed(kept)) if kept.len() == objects.len() => {
                let has = |kept: &Surveyed| !kept.own.is_empty() || !kept.handed_off.is_empty();
                let kept: BTreeSet<_> = objects
                    .into_iter()
                    .zip(kept)
                    .filter(|(_object, kept)| has(kept))
                    .map(|(object, _)| object)
                    .collect();
                answered.asked.extend(&kept);
                answered.kept = Some(kept);
            }
            Ok(_other) => return answered,
            Err(error) => {
                tracing::debug!(peer = %peer.short(), reason = sentence(&error), "a supernode did not say what it keeps");
                return answered;
            }
        }
        let wanted: Vec<Vec<u8>> =
            answered.asked.iter().filter_map(|object| removals.get(object).cloned()).collect();
        if wanted.is_empty() {
            answered.heard = true;
            return answered;
        }
        match self.ask(peer, &CareRequest::Remove(wanted)).await {
            Ok(CareAnswer::Removing(deletions)) => {
                answered.heard = true;
                for bytes in deletions {
                    match Signed::open(&bytes) {
                        Ok(deletion) if deletion.holder == peer => {
                            answered.deleted.insert(deletion.object, (deletion, bytes));
                        }
                        Ok(_) | Err(_) => {
                            tracing::warn!(peer = %peer.short(), "a deletion that its holder did not sign");
                        }
                    }
                }
            }
            Ok(_other) => {}
            Err(error) => {
                tracing::debug!(peer = %peer.short(), reason = sentence(&error), "a supernode removes nothing");
            }
        }
        answered
    }

    /// Writes down who has deleted what, and who is to be asked again, and when.
    async fn note(
        &self,
        space: SpaceId,
        open: Open,
        answers: &BTreeMap<PeerId, Answered>,
        wait: std::time::Duration,
    ) -> Result<(), Error> {
        let (store, now) = (&self.0.context.store, self.now());
        let mut batch = store.batch();
        for (object, row) in open {
            let mut tally = Tally::default();
            for (peer, answered) in answers {
                tally.count(&object, answered);
                if let Some((deletion, bytes)) = answered.deleted.get(&object)
                    && !deletion.shards.is_empty()
                    && store.get(&DELETIONS, &(object, *peer))?.is_none_or(|known| known != *bytes)
                {
                    batch.put_slice(&DELETIONS, &(object, *peer), bytes);
                    self.0.metrics.receipts_kept.inc();
                }
            }
            if tally.is_done() {
                batch.delete(&REMOVALS, &(space, object));
                claims::forget(store, &mut batch, space, object)?;
                self.0.metrics.removals_done.inc();
                tracing::info!(space = %space.short(), object = %object.short(), "an object is gone everywhere");
            } else {
                batch.put(&REMOVALS, &(space, object), &self.again(row, &tally, wait, now));
            }
        }
        Ok(store.commit(batch).await?)
    }

    /// When to ask again: when the delay is over, if everybody knows; otherwise after a pause.
    fn again(&self, row: RemovalRow, tally: &Tally, wait: std::time::Duration, now: Timestamp) -> RemovalRow {
        let until = row.since.after(wait);
        let (next, tries) = if tally.unheard == 0 && now < until {
            (until, 0)
        } else {
            (now.after(self.0.config.pause(row.tries)), row.tries.saturating_add(1))
        };
        RemovalRow { next, tries, keeping: tally.keeping, silent: tally.silent, ..row }
    }
}

/// Whether no log of `theirs` goes beyond `ours`.
fn has_all(ours: &SpaceHeads, theirs: &SpaceHeads) -> bool {
    theirs.iter().all(|(channel, heads)| {
        let ours = ours.get(channel);
        heads
            .iter()
            .all(|(log, head)| ours.and_then(|ours| ours.get(log)).is_some_and(|ours| ours.seq >= head.seq))
    })
}
