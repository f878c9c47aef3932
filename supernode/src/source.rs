//! Where the entries of a space can be read: here, or at a replica.

use std::time::Duration;

use cosmic_common::id::{LogId, PeerId, SpaceId};
use cosmic_runtime::clock::Clock;
use cosmic_store::{Span, Store};
use cosmic_sync::message::Frame;
use tokio::sync::watch;

use crate::{
    replica::client::Replicas,
    spaces::{Error, Overlay},
    tables::ENTRIES,
};

/// Entries read in one go, whatever their size.
const ENTRIES_MAX: usize = 4096;
/// How long a session waits while no replica answers: a restart takes some seconds, and a device gives up after 30.
const REPLICA_WITHIN: Duration = Duration::from_secs(20);

/// Where the entries of one space are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In the tables of this supernode, a replica.
    Local {
        /// The space.
        space: SpaceId,
        /// The tables.
        store: Store,
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
            Self::Local { store, .. } => local_range(store, log, from, to, max_bytes),
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

/// Entries in the tables of this supernode, as [`Source::range`].
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
    let rows = store.scan(&ENTRIES, &Span::range((log, from)..(log, to)), ENTRIES_MAX);
    for (expected, row) in (from..).zip(rows) {
        let ((_, seq), entry) = row?;
        let frame = Frame::from(entry.as_ref());
        bytes = bytes.saturating_add(frame.cost());
        if seq != expected || (bytes > max_bytes && !frames.is_empty()) {
            break;
        }
        frames.push(frame);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests;
