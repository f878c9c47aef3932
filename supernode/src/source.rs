//! Where the entries of a space can be read: here, or at a replica.

use std::{sync::Arc, time::Duration};

use cosmic_common::{
    id::{LogId, PeerId, SpaceId},
    record::Record as _,
};
use cosmic_identity::signature::PublicKey;
use cosmic_log::{entry::Entry, open::Open};
use cosmic_runtime::clock::Clock;
use cosmic_store::{Span, Store};
use cosmic_sync::message::Frame;
use tokio::sync::watch;

use crate::{
    context::Context,
    packs::Reader,
    replica::client::Replicas,
    spaces::{Error, Overlay},
    tables::{ENTRIES, LOGS, LogRow},
};

/// Entries read in one go, whatever their size.
const ENTRIES_MAX: usize = 4096;
/// How long a session waits while no replica answers: a restart takes some seconds, and a device gives up after 30.
const REPLICA_WITHIN: Duration = Duration::from_secs(20);

/// Where the entries of one space are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In the tables of this supernode, a replica, or in packs.
    Local {
        /// The space.
        space: SpaceId,
        /// The tables, and where damage is told.
        context: Arc<Context>,
        /// The other replicas, for what is damaged here.
        replicas: Replicas,
        /// The way to its entries.
        reader: Reader,
    },
    /// At a replica, which this supernode relays.
    Remote {
        /// The space.
        space: SpaceId,
        /// The replica that is relayed.
        upstream: watch::Receiver<Upstream>,
        /// The way to it, and to the others.
        replicas: Replicas,
        /// What it may not have yet.
        overlay: Overlay,
    },
}

/// The replica that a relayed space is read at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream {
    /// Which one.
    pub peer: PeerId,
    /// Whether it pushes what it appends; if not, it is away and another one is sought.
    pub followed: bool,
}

impl Source {
    /// Whose heads and roots these are, for a session of `own`.
    #[must_use]
    pub fn peer(&self, own: PeerId) -> PeerId {
        match self {
            Self::Local { .. } => own,
            Self::Remote { upstream, .. } => upstream.borrow().peer,
        }
    }

    /// Entries of a log from `from` up to but without `to`, at least one if it is there, else up to `max_bytes`.
    /// While no replica answers it waits a while for one.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn range(&self, log: LogId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<Frame>, Error> {
        match self {
            Self::Local { .. } => self.range_at_once(log, from, to, max_bytes).await,
            Self::Remote { upstream, replicas, .. } => {
                let ask = || self.range_at_once(log, from, to, max_bytes);
                persist(replicas.clock(), upstream.clone(), ask).await
            }
        }
    }

    /// As [`Self::range`], for the writer of the space: it cannot wait for a replica that it has to find itself.
    ///
    /// # Errors
    /// If they cannot be read now.
    pub(crate) async fn range_at_once(
        &self,
        log: LogId,
        from: u64,
        to: u64,
        max_bytes: u64,
    ) -> Result<Vec<Frame>, Error> {
        match self {
            Self::Local { space, context, replicas, reader } => {
                match reader.range(*space, log, from, to, max_bytes).await {
                    Err(damage) => {
                        elsewhere((context, replicas), *space, (log, from, to - 1), max_bytes, damage).await
                    }
                    frames => frames,
                }
            }
            Self::Remote { space, upstream, replicas, overlay } => {
                let near = overlay.range(log, from, to);
                if !near.is_empty() || from >= to {
                    return Ok(near);
                }
                let first = upstream.borrow().peer;
                let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX);
                let far = replicas.range_of_any(first, *space, (log, from, to - 1), max_bytes).await?;
                Ok(far.into_iter().map(Frame::from).collect())
            }
        }
    }
}

/// Entries that are damaged here, from another replica; the scrub is told.
async fn elsewhere(
    (context, replicas): (&Context, &Replicas),
    space: SpaceId,
    part: (LogId, u64, u64),
    max_bytes: u64,
    damage: Error,
) -> Result<Vec<Frame>, Error> {
    let (log, from, _) = part;
    let first = if let Error::Lost { seq, .. } = damage { seq } else { from };
    let Some(row) = context.suspects.report_entry(&context.store, space, log, first) else {
        return Err(damage);
    };
    let Ok(writer) = PublicKey::from_bytes(row.open.writer.as_bytes()) else { return Err(damage) };
    let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX);
    for peer in replicas.of(&space) {
        let far = replicas.range(peer, space, part, max_bytes).await.unwrap_or_default();
        let places = (from..).zip(&far).take_while(|(seq, entry)| is_at(entry, &writer, log, *seq)).count();
        if places > 0 {
            return Ok(far.into_iter().take(places).map(Frame::from).collect());
        }
    }
    Err(damage)
}

/// Whether `bytes` are the entry of this place, signed by its writer: whoever is given another breaks off.
fn is_at(bytes: &[u8], writer: &PublicKey, log: LogId, seq: u64) -> bool {
    Entry::from_bytes(bytes).is_ok_and(|entry| {
        let in_place = entry.core().log == log && entry.core().seq == seq;
        in_place && entry.verify_with(writer).is_ok()
    })
}

/// The row of a log and the key that signs it, as its open entry says, of which the log's id is the hash.
fn row_of(store: &Store, log: LogId) -> Option<(LogRow, PublicKey)> {
    let bytes = store.get(&ENTRIES, &(log, 0)).ok()??;
    let opening = Entry::from_bytes(&bytes).ok()?;
    let open = Open::from_bytes(opening.body()?).ok().filter(|open| open.log_id() == log)?;
    let row = store.get(&LOGS, &(open.space, open.channel, log)).ok()??;
    Some((row, PublicKey::from_bytes(open.writer.as_bytes()).ok()?))
}

/// Asks again whenever another replica is followed, as long as none answers and the time is not over.
async fn persist<T, F>(
    clock: &Clock,
    mut upstream: watch::Receiver<Upstream>,
    ask: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = clock.monotonic().after(REPLICA_WITHIN);
    loop {
        upstream.mark_unchanged();
        let error = match ask().await {
            Err(Error::Replica(error)) if error.may_pass() => error,
            result => return result,
        };
        // What was followed when it was asked may be gone without having been missed yet: any news will do.
        let changed = tokio::select! {
            changed = upstream.changed() => changed.is_ok(),
            () = clock.sleep_until(deadline) => false,
        };
        if !changed {
            return Err(error.into());
        }
    }
}

/// Entries in the tables of this supernode, not those in packs, as [`Source::range`], up to the first that is damaged; an error if that
/// is the first of all.
pub(crate) fn local_range(
    store: &Store,
    log: LogId,
    from: u64,
    to: u64,
    max_bytes: u64,
) -> Result<Vec<Frame>, Error> {
    let mut frames = Vec::new();
    let mut bytes = 0_u64;
    if from >= to {
        return Ok(frames);
    }
    let mut rows = store.scan(&ENTRIES, &Span::range((log, from)..(log, to)), ENTRIES_MAX);
    let Some((row, writer)) = row_of(store, log) else {
        // Nobody ever wrote here, or what says so is damaged.
        return if rows.next().is_none() { Ok(frames) } else { Err(Error::Lost { log, seq: 0 }) };
    };
    for expected in from..to.min(row.head.seq.saturating_add(1)) {
        let found = match rows.next() {
            Some(Ok(((_, seq), entry))) => Ok(Some(entry).filter(|_| seq == expected)),
            // A damaged block hinders scans; an entry that was written anew lies elsewhere, and its key leads there.
            Some(Err(_unreadable)) => store.get(&ENTRIES, &(log, expected)),
            None => Ok(None),
        };
        let found = found.map(|entry| entry.filter(|entry| is_at(entry, &writer, log, expected)));
        let entry = match found {
            Ok(Some(entry)) => entry,
            _ if !frames.is_empty() => break,
            Ok(None) => return Err(Error::Lost { log, seq: expected }),
            Err(error) => return Err(error.into()),
        };
        let frame = Frame::from(entry.as_ref());
        bytes = bytes.saturating_add(frame.cost());
        if bytes > max_bytes && !frames.is_empty() {
            break;
        }
        frames.push(frame);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests;
