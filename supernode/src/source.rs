//! Where the entries of a space can be read: here, or at a replica.

use cosmic_common::id::{LogId, PeerId, SpaceId};
use cosmic_store::{Span, Store};
use cosmic_sync::message::Frame;

use crate::{
    replica::client::{self, Replicas},
    spaces::{Error, Overlay},
    tables::ENTRIES,
};

/// Entries read in one go, whatever their size.
const ENTRIES_MAX: usize = 4096;

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
        /// The replica that was relayed when the source was given out.
        first: PeerId,
        /// The way to it, and to the others.
        replicas: Replicas,
        /// What it may not have yet.
        overlay: Overlay,
    },
}

impl Source {
    /// Whose heads and roots these are, for a session of `own`.
    #[must_use]
    pub const fn peer(&self, own: PeerId) -> PeerId {
        match self {
            Self::Local { .. } => own,
            Self::Remote { first, .. } => *first,
        }
    }

    /// Entries of a log from `from` up to but without `to`, at least one if it is there, else up to `max_bytes`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn range(&self, log: LogId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<Frame>, Error> {
        match self {
            Self::Local { store, .. } => local_range(store, log, from, to, max_bytes),
            Self::Remote { space, first, replicas, overlay } => {
                let near = overlay.range(log, from, to);
                if !near.is_empty() || from >= to {
                    return Ok(near);
                }
                let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX);
                let part = (log, from, to - 1);
                Ok(far(replicas, *space, *first, part, max_bytes).await?)
            }
        }
    }
}

/// Asks one replica after the other until one has something of the range.
async fn far(
    replicas: &Replicas,
    space: SpaceId,
    first: PeerId,
    part: (LogId, u64, u64),
    max_bytes: u32,
) -> Result<Vec<Frame>, client::Error> {
    let others = replicas.of(&space).into_iter().filter(|peer| *peer != first);
    let mut last = Ok(Vec::new());
    for peer in std::iter::once(first).chain(others) {
        match replicas.range(peer, space, part, max_bytes).await {
            Ok(entries) if !entries.is_empty() => return Ok(entries.into_iter().map(Frame::from).collect()),
            Ok(_nothing) => last = Ok(Vec::new()),
            Err(error) => last = Err(error),
        }
    }
    last
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
