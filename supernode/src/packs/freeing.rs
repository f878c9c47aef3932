//! Freeing: a replica's own copy of a run goes when its pack is in place, and a day later still is.

use cosmic_common::{
    id::{LogId, PeerId, SpaceId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Assignment, Keep, ObjectCustody, Packed, Receipt, Target,
    release::{Asked, run_needless},
};
use cosmic_erasure::Manifest;
use cosmic_runtime::exit::sentence;
use cosmic_store::Span;

use super::{Error, Packs, first_freed};
use crate::{
    care::Care,
    duty,
    tables::{self, FREEING, PACKS},
};

/// Runs looked at in one go.
const PAGE: usize = 64;

type Place = (SpaceId, LogId, u64);

impl Packs {
    /// Looks again and again for runs whose entries may go.
    pub(super) async fn free_what_is_packed(self, care: Care) {
        let clock = self.0.context.clock.clone();
        let (mut after, mut behind) = (None, None);
        loop {
            clock.sleep(self.0.config.look_every()).await;
            // One after the other: both go by what the table holds of a run.
            match self.thin_some(behind).await {
                Ok(last) => behind = last,
                Err(error) => {
                    behind = None;
                    tracing::warn!(reason = sentence(&error), "which bodies may go cannot be read");
                }
            }
            match self.free_some(&care, after).await {
                Ok(last) => after = last,
                Err(error) => {
                    after = None;
                    tracing::warn!(reason = sentence(&error), "what may be freed cannot be read");
                }
            }
        }
    }

    /// Looks at some runs behind this place; the last of them, or none at the end.
    async fn free_some(&self, care: &Care, after: Option<Place>) -> Result<Option<Place>, Error> {
        let span = after.map_or_else(Span::all, |place| Span::all().after(&place));
        let rows: Vec<(Place, Timestamp)> =
            self.0.context.store.scan(&FREEING, &span, PAGE).collect::<Result<_, _>>()?;
        for (place, settled) in &rows {
            if let Err(error) = self.free_one(care, *place, *settled).await {
                tracing::debug!(space = %place.0.short(), reason = sentence(&error), "the entries of a pack stay");
            }
        }
        Ok(rows.last().map(|(place, _)| *place).filter(|_| rows.len() == PAGE))
    }

    async fn free_one(&self, care: &Care, place: Place, settled: Timestamp) -> Result<(), Error> {
        let (now, delay) = (self.0.context.clock.now(), self.0.config.free_after());
        let mut release = tables::release(settled);
        if release.rests_until(delay, now).is_some() {
            return Ok(());
        }
        let (space, log, to) = place;
        self.must_be_replica(space)?;
        let Some((from, object)) = self.0.context.store.get(&PACKS, &place)? else { return Ok(()) };
        let packed = Packed { log, from, to, object };
        let reasons = self.reasons(care, space, packed).await?;
        let asked = release.ask(reasons, delay, self.0.context.clock.now());
        if let Err(keep) = asked {
            tracing::debug!(space = %space.short(), log = %log.short(), ?keep, "the entries of a pack stay");
            let mut batch = self.0.context.store.batch();
            batch.put(&FREEING, &place, &tables::settled(release));
            self.0.context.store.commit(batch).await?;
            return Ok(());
        }
        let (store, span) = (self.0.context.store.clone(), Span::range((log, first_freed(from))..=(log, to)));
        let counting = tokio::task::spawn_blocking(move || tables::measure(&store, &span));
        let (entries, bytes) = counting.await.map_err(|_gone| Error::Stopping)??;
        self.0.spaces.get(space)?.free(crate::spaces::Run { packed, entries, bytes }).await?;
        self.0.metrics.freed.inc();
        self.0.metrics.entries_freed.inc_by(entries);
        Ok(())
    }

    /// What speaks for keeping the entries, by what everybody says now.
    async fn reasons(&self, care: &Care, space: SpaceId, packed: Packed) -> Result<Result<(), Keep>, Error> {
        let Packed { object, .. } = packed;
        let mut unaware = Vec::new();
        for peer in duty::replicas(&self.0.context, &space) {
            if peer != self.0.context.peer && !self.tell(peer, space, vec![packed]).await?.contains(&packed) {
                unaware.push(peer);
            }
        }
        if !unaware.is_empty() {
            return Ok(Err(Keep::Unnoted(unaware)));
        }
        let found = self.0.objects.whereabouts(&space, object).await?;
        let Ok(manifest) = Manifest::from_bytes(&found.manifest) else { return Ok(Err(Keep::TooSmall)) };
        let holders = self.0.objects.holders();
        let table = holders.table(&space, &self.0.context.residences.regions(&space));
        let mut standing = holders.standing().clone();
        let mut fresh = ObjectCustody::new(&manifest);
        for receipt in found.receipts.iter().filter_map(|receipt| Receipt::open(receipt).ok()) {
            // Of somebody who is no member any more, or of another object: not counted.
            drop(fresh.hear(&receipt, &mut standing));
        }
        let held: Vec<Assignment> = fresh
            .holdings(&standing)
            .into_iter()
            .map(|(index, holding)| Assignment { index, holder: holding.peer })
            .collect();
        let may_take = |peer: &PeerId| care.audits().is_trusted(peer);
        let target = Target::of(&table, &object, manifest.codec(), &held, may_take);
        let (now, liveness) = (self.0.context.clock.now(), care.present());
        let docket = care.audits().docket();
        let asked = Asked {
            target: &target,
            fresh: &fresh,
            standing: &standing,
            liveness: &liveness,
            docket: &docket,
            now,
        };
        Ok(run_needless(manifest.codec(), &asked))
    }
}
