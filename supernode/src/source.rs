//! Where the entries of a space can be read: here, or at a replica.

use cosmic_common::id::{LogId, PeerId, SpaceId};
use cosmic_store::{Span, Store};
use cosmic_sync::message::Frame;

use crate::{
    replica::client::Replicas,
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
        /// The replica.
        peer: PeerId,
        /// The way to it.
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
            Self::Remote { peer, .. } => *peer,
        }
    }

    /// Entries of a log from `from` up to but without `to`, at least one if it is there, else up to `max_bytes`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn range(&self, log: LogId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<Frame>, Error> {
        match self {
            Self::Local { store, .. } => local_range(store, log, from, to, max_bytes),
            Self::Remote { space, peer, replicas, overlay } => {
                let near = overlay.range(log, from, to);
                if !near.is_empty() || from >= to {
                    return Ok(near);
                }
                let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX);
                let entries = replicas.range(*peer, *space, (log, from, to - 1), max_bytes).await?;
                Ok(entries.into_iter().map(Frame::from).collect())
            }
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
    let mut expected = from;
    if from >= to {
        return Ok(frames);
    }
    for row in store.scan(&ENTRIES, &Span::range((log, from)..(log, to)), ENTRIES_MAX) {
        let ((_, seq), entry) = row?;
        let frame = Frame::from(entry.as_ref());
        bytes = bytes.saturating_add(frame.cost());
        if seq != expected || (bytes > max_bytes && !frames.is_empty()) {
            break;
        }
        expected += 1;
        frames.push(frame);
    }
    Ok(frames)
}
