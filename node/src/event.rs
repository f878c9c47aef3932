//! What the rest of the node is told once a write is on disk.

use std::sync::Arc;

use cosmic_common::{
    heads::Head,
    id::{ChannelId, LogId, SpaceId},
};
use cosmic_sync::message::Frame;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Events a slow listener may be behind before it has to look for itself.
pub const BACKLOG: usize = 4096;

/// Something that is durable now.
#[derive(Debug, Clone)]
pub enum Event {
    /// A log has grown.
    Grown {
        /// The space.
        space: SpaceId,
        /// The channel.
        channel: ChannelId,
        /// The log.
        log: LogId,
        /// Where it ends now.
        head: Head,
        /// The new entries up to the head.
        frames: Vec<Frame>,
    },
    /// A document or file has changed.
    Changed(Arc<Changed>),
    /// A space was made, joined or left, its membership has moved, or its secrets have come.
    Spaces,
    /// Something has become safer.
    Safer {
        /// The space.
        space: SpaceId,
    },
    /// Members of the ring came or went: what was signed before may count for more now, or for less.
    Ring,
    /// Somebody waits until entries lie in a pack.
    Wanted {
        /// The space.
        space: SpaceId,
    },
    /// Chunks wait for their upload.
    Upload {
        /// The space.
        space: SpaceId,
    },
}

/// Waits for an event that `is` one, or for a gap in which it may have been told; `false` when the node ends.
pub(crate) async fn told(events: &mut Receiver<Event>, is: impl Fn(&Event) -> bool) -> bool {
    loop {
        match events.recv().await {
            Ok(event) if !is(&event) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return true,
            Err(RecvError::Closed) => return false,
        }
    }
}

/// A change as apps hear of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Where to go on after a break.
    pub cursor: i64,
    /// The space.
    pub space: SpaceId,
    /// The collection; empty for a file.
    pub collection: String,
    /// The document's id or the file's name.
    pub document: String,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a document or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is there, new or changed.
    Put,
    /// It is gone.
    Delete,
    /// A file is there.
    File,
    /// A file is gone.
    Remove,
}

impl ChangeKind {
    /// The word in the table and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::File => "file",
            Self::Remove => "remove",
        }
    }
}
