//! Covers: which bodies of entries snapshots replace, concluded from clear fields alone. The rules are those of
//! `cosmic_space::covers`; here they get their hands. What is replaced goes with the run it is packed in (`packs`).
//!
//! ```text
//! entries ── bodies, snapshots, acknowledged ──▶ look ── two devices, the delay is over ──▶ replaced ──▶ packs: thin
//! ```

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use cosmic_common::{
    id::{EntryId, LogId, SpaceId, WriterId},
    time::Timestamp,
};
use cosmic_custody::removal::RETENTION_MAX;
use cosmic_log::{entry::Entry, kind::Kind, open::Open};
use cosmic_runtime::exit::sentence;
use cosmic_space::{
    covers::{Witness, is_replaceable, replaces},
    record::AcknowledgementRecord,
};
use cosmic_store::{Batch, Span, Store};

use crate::{
    context::Context,
    deletion::Config,
    duty,
    spaces::{self, Spaces},
    tables::{ACKNOWLEDGED, BODIES, LOGS, REPLACED, SNAPSHOTS, SnapshotRow},
};

/// Snapshots looked at in one go.
const PAGE: usize = 256;
/// Devices whose acknowledgement of one snapshot is looked at: two are enough, and some may have been removed since.
const DEVICES_LOOKED_AT: usize = 64;
/// Logs of one channel: what a sync session can speak about, many times over.
const LOGS_MAX: usize = 1 << 20;
/// How long until a snapshot is looked at again that did not get what it takes, or covers what was not here.
const AGAIN: Duration = Duration::from_hours(1);
/// How often: what comes ten days late keeps its body, which costs space and nothing else.
const TRIES_MAX: u32 = 8;

/// Why bodies stay.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The tables.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
    /// The space, whose membership says whose word counts.
    #[error(transparent)]
    Space(#[from] spaces::Error),
    /// The process is ending.
    #[error("the supernode is stopping")]
    Stopping,
}

/// Notes what a new entry of a channel of documents says of bodies, in the batch that keeps the entry.
pub(crate) fn note_entry(batch: &mut Batch, open: &Open, entry: &Entry) {
    let (core, id, space) = (entry.core(), entry.id(), open.space);
    if is_replaceable(core.kind) && entry.body().is_some() {
        batch.put(&BODIES, &(core.log, core.seq), &id);
        if core.kind == Kind::Snapshot && !core.covers.is_empty() {
            let row = SnapshotRow {
                channel: open.channel,
                writer: open.writer,
                log: core.log,
                seq: core.seq,
                since: None,
                next: Timestamp::default(),
                tries: 0,
            };
            batch.put(&SNAPSHOTS, &(space, id), &row);
        }
    }
    for snapshot in AcknowledgementRecord::of(entry) {
        batch.put(&ACKNOWLEDGED, &(space, snapshot, open.writer), &(core.log, core.seq));
    }
}

/// Finds what snapshots replace of the spaces kept here.
pub struct Covers {
    context: Arc<Context>,
    spaces: Spaces,
    config: Config,
}

impl fmt::Debug for Covers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Covers").field("peer", &self.context.peer).finish_non_exhaustive()
    }
}

impl Covers {
    /// What is replaced stays as long as what is removed: `config` says how long, and how often is looked.
    #[must_use]
    pub fn new(context: &Arc<Context>, spaces: Spaces, config: &Config) -> Self {
        Self { context: Arc::clone(context), spaces, config: config.clone() }
    }

    /// Begins to look.
    pub fn start(self) {
        let tasks = self.context.tasks.clone();
        tasks.spawn("covers", |shutdown| async move {
            shutdown.unless(self.run()).await;
        });
    }

    async fn run(self) {
        let clock = self.context.clock.clone();
        let mut place = None;
        loop {
            clock.sleep(self.config.look_every()).await;
            if let Err(error) = self.look(&mut place).await {
                tracing::warn!(reason = sentence(&error), "snapshots could not be looked at");
            }
        }
    }

    /// Looks at a page of snapshots behind `after`.
    async fn look(&self, after: &mut Option<(SpaceId, EntryId)>) -> Result<(), Error> {
        let span = after.take().map_or_else(Span::all, |place| Span::all().after(&place));
        let rows: Vec<_> = self.context.store.scan(&SNAPSHOTS, &span, PAGE).collect::<Result<_, _>>()?;
        *after = rows.last().map(|(place, _row)| *place).filter(|_| rows.len() == PAGE);
        let now = self.context.clock.now();
        for ((space, snapshot), row) in rows.into_iter().filter(|(_place, row)| row.next <= now) {
            if let Err(error) = self.look_at(space, snapshot, row).await {
                let reason = sentence(&error);
                tracing::debug!(space = %space.short(), snapshot = %snapshot.short(), reason, "what a snapshot covers stays");
            }
        }
        Ok(())
    }

    async fn look_at(&self, space: SpaceId, snapshot: EntryId, row: SnapshotRow) -> Result<(), Error> {
        let store = &self.context.store;
        let rows = store.scan(&ACKNOWLEDGED, &Span::prefix(&(space, snapshot)), DEVICES_LOOKED_AT);
        let said: Vec<(WriterId, (LogId, u64))> =
            rows.map(|row| row.map(|((.., writer), place)| (writer, place))).collect::<Result<_, _>>()?;
        let is_replica = duty::is_replica(&self.context, &self.context.peer, &space);
        // Without another device there is nothing to judge, and the space may stay at rest.
        if !is_replica || said.iter().all(|(writer, _place)| *writer == row.writer) {
            return Ok(());
        }
        let (writers, places): (Vec<WriterId>, Vec<(LogId, u64)>) = said.into_iter().unzip();
        let all = std::iter::once((row.log, row.seq)).chain(places).collect();
        let judged = self.spaces.get(space)?.judge(all).await?;
        let mut witnesses = std::iter::once(row.writer)
            .chain(writers)
            .zip(judged.counts)
            .map(|(writer, channel)| Witness { writer, channel });
        let is_acknowledged = witnesses.next().is_some_and(|author| replaces(author, witnesses));
        let now = self.context.clock.now();
        if !is_acknowledged {
            return self
                .later(space, snapshot, SnapshotRow { since: None, next: now.after(AGAIN), ..row })
                .await;
        }
        let since = row.since.unwrap_or(now);
        let retention = judged.retention.unwrap_or_default().min(RETENTION_MAX);
        let due = since.after(self.config.delay().max(retention));
        if now < due {
            let next = SnapshotRow { since: Some(since), next: due, ..row };
            return self.later(space, snapshot, next).await;
        }
        self.replace(space, snapshot, SnapshotRow { since: Some(since), ..row }).await
    }

    async fn later(&self, space: SpaceId, snapshot: EntryId, row: SnapshotRow) -> Result<(), Error> {
        let mut batch = self.context.store.batch();
        batch.put(&SNAPSHOTS, &(space, snapshot), &row);
        Ok(self.context.store.commit(batch).await?)
    }

    /// Notes what a snapshot replaces, if it is here itself.
    async fn replace(&self, space: SpaceId, snapshot: EntryId, row: SnapshotRow) -> Result<(), Error> {
        let reader = self.spaces.reader();
        let frames = reader.range(space, row.log, row.seq, row.seq.saturating_add(1), 1).await?;
        let entry =
            frames.first().map(|frame| Entry::from_bytes(frame)).transpose().map_err(spaces::Error::from)?;
        let there = entry.filter(|entry| entry.id() == snapshot && entry.body().is_some());
        let Some(entry) = there else {
            let next = self.context.clock.now().after(AGAIN);
            return self.later(space, snapshot, SnapshotRow { next, ..row }).await;
        };
        let covers: BTreeSet<EntryId> = entry.core().covers.iter().copied().collect();
        let store = self.context.store.clone();
        let finding = tokio::task::spawn_blocking(move || find(&store, space, row, &covers));
        let (mut batch, is_all) = finding.await.map_err(|_gone| Error::Stopping)??;
        if is_all || row.tries >= TRIES_MAX {
            batch.delete(&SNAPSHOTS, &(space, snapshot));
        } else {
            let next = self.context.clock.now().after(AGAIN.saturating_mul(1 << row.tries));
            batch.put(&SNAPSHOTS, &(space, snapshot), &SnapshotRow { next, tries: row.tries + 1, ..row });
        }
        Ok(self.context.store.commit(batch).await?)
    }
}

/// Finds covered entries of the snapshot's channel, and whether all were found. Blocks.
fn find(
    store: &Store,
    space: SpaceId,
    row: SnapshotRow,
    covers: &BTreeSet<EntryId>,
) -> Result<(Batch, bool), cosmic_store::Error> {
    let mut batch = store.batch();
    let mut found = 0;
    for log in store.scan(&LOGS, &Span::prefix(&(space, row.channel)), LOGS_MAX) {
        let ((.., log), _row) = log?;
        for body in store.scan(&BODIES, &Span::prefix(&log), usize::MAX) {
            let ((log, seq), entry) = body?;
            if covers.contains(&entry) {
                batch.delete(&BODIES, &(log, seq));
                batch.put(&REPLACED, &(space, log, seq), &());
                found += 1;
            }
        }
    }
    Ok((batch, found == covers.len()))
}
