//! Thinning: a packed run whose bodies snapshots replace leaves its headers in the table, and its pack goes the way of what
//! nobody claims.

use std::collections::BTreeSet;

use cosmic_common::id::{LogId, SpaceId};
use cosmic_custody::Packed;
use cosmic_log::entry::Entry;
use cosmic_runtime::exit::sentence;
use cosmic_space::covers::{Thinned, thin};
use cosmic_store::Span;

use super::{Error, Packs, first_freed};
use crate::{
    spaces::{self, Thin},
    tables::{self, BODIES, FREEING, REPLACED, SNAPSHOTS},
};

/// Replaced entries looked at in one go.
const PAGE: usize = 1024;
/// Entries of a run are read in parts of this size.
const PART_BYTES: u64 = 1024 * 1024;

type Place = (SpaceId, LogId, u64);

impl Packs {
    /// Looks at the runs of some replaced entries behind this place; the last of them, or none at the end.
    pub(super) async fn thin_some(&self, after: Option<Place>) -> Result<Option<Place>, Error> {
        let span = after.map_or_else(Span::all, |place| Span::all().after(&place));
        let rows: Vec<(Place, ())> =
            self.0.context.store.scan(&REPLACED, &span, PAGE).collect::<Result<_, _>>()?;
        let mut seen: Option<Place> = None;
        for ((space, log, seq), ()) in &rows {
            let is_seen = |(of, seen, to): Place| of == *space && seen == *log && *seq <= to;
            if seen.is_some_and(is_seen) {
                continue;
            }
            match self.thin_one(*space, *log, *seq).await {
                Ok(to) => seen = to.map(|to| (*space, *log, to)),
                Err(error) => {
                    tracing::debug!(space = %space.short(), log = %log.short(), reason = sentence(&error), "the bodies of a run stay");
                }
            }
        }
        Ok(rows.last().map(|(place, ())| *place).filter(|_| rows.len() == PAGE))
    }

    /// Thins the run that the entry at `seq` is packed in, if nothing in it is needed; where that run ends, if there is one.
    async fn thin_one(&self, space: SpaceId, log: LogId, seq: u64) -> Result<Option<u64>, Error> {
        self.must_be_replica(space)?;
        let store = &self.0.context.store;
        let Some(packed) = self.0.spaces.reader().packed(space, log, seq)? else { return Ok(None) };
        let (from, to) = (packed.from, packed.to);
        let needed = store.scan(&BODIES, &Span::range((log, from)..=(log, to)), 1).next().transpose()?;
        if needed.is_some() {
            return Ok(Some(to));
        }
        let rows = store.scan(&REPLACED, &Span::range((space, log, from)..=(space, log, to)), usize::MAX);
        let replaced: BTreeSet<u64> =
            rows.map(|row| row.map(|((.., seq), ())| seq)).collect::<Result<_, _>>()?;
        let entries = self.read(space, packed).await?;
        match thin(entries, |seq| replaced.contains(&seq)) {
            Ok(thinned) if thinned.bodies > 0 && !thinned.pays() => {
                let mut batch = store.batch();
                for seq in replaced {
                    batch.delete(&REPLACED, &(space, log, seq));
                }
                store.commit(batch).await?;
            }
            Ok(thinned) => self.leave_headers(space, packed, replaced, thinned).await?,
            Err(needed) => {
                // Kept by a version without covers: what replaces them is yet to come.
                tracing::debug!(log = %log.short(), from, needed = needed.len(), "a run has bodies that are needed");
                let mut batch = store.batch();
                for entry in needed {
                    batch.put(&BODIES, &(log, entry.core().seq), &entry.id());
                }
                store.commit(batch).await?;
            }
        }
        Ok(Some(to))
    }

    /// The entries of a packed run: from the table, from the pack, or from a replica that has thinned it already.
    async fn read(&self, space: SpaceId, packed: Packed) -> Result<Vec<Entry>, Error> {
        let Packed { log, from, to, .. } = packed;
        let source = self.0.spaces.get(space)?.open().await?.source;
        let mut entries = Vec::new();
        let mut next = from;
        while next <= to {
            let part = source.range_at_once(log, next, to.saturating_add(1), PART_BYTES).await?;
            if part.is_empty() {
                return Err(Error::NotHere);
            }
            for frame in &part {
                entries.push(Entry::from_bytes(frame).map_err(spaces::Error::from)?);
            }
            next = next.saturating_add(part.len() as u64);
        }
        Ok(entries)
    }

    async fn leave_headers(
        &self,
        space: SpaceId,
        packed: Packed,
        replaced: BTreeSet<u64>,
        thinned: Thinned,
    ) -> Result<(), Error> {
        let Packed { log, from, to, .. } = packed;
        let store = &self.0.context.store;
        for snapshot in &thinned.snapshots {
            // What it covers is looked for with its body.
            if store.contains(&SNAPSHOTS, &(space, *snapshot))? {
                return Ok(());
            }
        }
        let first = first_freed(from);
        let is_kept = store.contains(&FREEING, &(space, log, to))?;
        let (counted, span) = (store.clone(), Span::range((log, first)..=(log, to)));
        let counting = tokio::task::spawn_blocking(move || tables::measure(&counted, &span));
        let (entries, bytes) =
            if is_kept { counting.await.map_err(|_gone| Error::Stopping)?? } else { (0, 0) };
        let rows = thinned.entries.into_iter().filter(|entry| entry.core().seq >= first);
        let (bodies, body_bytes) = (thinned.bodies, thinned.bytes);
        let thin = Thin {
            packed,
            rows: rows.map(|entry| (entry.core().seq, entry.into_bytes())).collect(),
            entries,
            bytes,
            bodies,
            body_bytes,
            replaced: replaced.into_iter().collect(),
            snapshots: thinned.snapshots,
        };
        self.0.spaces.get(space)?.thin(thin).await?;
        self.0.metrics.thinned.inc();
        self.0.metrics.bodies_dropped.inc_by(bodies);
        self.0.metrics.body_bytes_dropped.inc_by(body_bytes);
        tracing::info!(space = %space.short(), log = %log.short(), from, to, bodies, "snapshots replace a run of entries; its headers stay");
        Ok(())
    }
}
