//! Why a store does not open, write or read, and what that means for the next write.

use std::{io, path::PathBuf, sync::Arc};

use cosmic_common::record::RecordError;

/// What the operating system says when there is no room; RocksDB passes the words on.
const NO_ROOM: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// When writes are taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// As soon as there is room.
    SpaceIsBack,
    /// After a restart.
    Restart,
}

/// Why a stored key or value cannot be understood.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unreadable {
    /// The record in it is damaged or of another version.
    #[error(transparent)]
    Record(Arc<RecordError>),
    /// A key or number of another size.
    #[error("{found} bytes where {expected} are expected")]
    Size {
        /// Bytes there must be.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
}

/// What went wrong. Cheap to clone: all batches of a group share the fate of the group.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk has no room for the batch; none of it was written.
    #[error("the disk of {} is full ({free_bytes} bytes free): nothing was written; free some room{}", path.display(), until.hint())]
    Full {
        /// The directory of the store.
        path: PathBuf,
        /// What was free.
        free_bytes: u64,
        /// When writes are taken again.
        until: Until,
    },
    /// A write or fsync failed. Whether the batch is there shows after a restart.
    #[error("writing to {} failed; it takes no more writes until a restart", path.display())]
    Write {
        /// The directory of the store.
        path: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// An earlier write failed.
    #[error("{} takes no more writes until a restart, because one failed", path.display())]
    Poisoned {
        /// The directory of the store.
        path: PathBuf,
        /// How it failed.
        source: Arc<Self>,
    },
    /// The writer thread is gone.
    #[error("the store is closed")]
    Closed,
    /// A value could not be read from the disk.
    #[error("reading the table {table} failed")]
    Read {
        /// The table.
        table: &'static str,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// What was read makes no sense.
    #[error("the table {table} holds something unreadable")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// Why.
        source: Unreadable,
    },
    /// The store does not open.
    #[error("cannot open the store in {}", path.display())]
    Open {
        /// Its directory.
        path: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// Files of the store are wrong or gone.
    #[error("the store in {} is damaged and cannot be opened; set the directory aside and start again: what others have comes back", path.display())]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// The directory cannot be used.
    #[error("cannot use {} for a store", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the thread that writes to {}", path.display())]
    Thread {
        /// The directory of the store.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// A table was written in a format this build does not read.
    #[error("the table {table} in {} has format {found}, this build reads {supported}; use the version that wrote it", path.display())]
    Format {
        /// The directory of the store.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// Its format.
        found: u32,
        /// What this build reads.
        supported: u32,
    },
    /// A table this build does not know.
    #[error("{} has a table {table} that this build does not know; use the version that wrote it", path.display())]
    UnknownTable {
        /// The directory of the store.
        path: PathBuf,
        /// The table.
        table: String,
    },
    /// A table that holds something and does not say in which format.
    #[error("the table {table} in {} does not say its format; restore a backup", path.display())]
    NoFormat {
        /// The directory of the store.
        path: PathBuf,
        /// The table.
        table: &'static str,
    },
    /// A checkpoint could not be made.
    #[error("cannot make a checkpoint in {}", path.display())]
    Checkpoint {
        /// Where it should be.
        path: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
}

impl Error {
    /// Whether the reason is, in the end, a full disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Poisoned { source, .. } => source.is_full(),
            Self::Open { source, .. } | Self::Checkpoint { source, .. } => is_no_room(source),
            _ => false,
        }
    }

    /// Whether no later write can succeed before a restart.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Full { until: Until::Restart, .. }
                | Self::Write { .. }
                | Self::Poisoned { .. }
                | Self::Closed
        )
    }
}

/// Whether RocksDB failed because there was no room.
pub(crate) fn is_no_room(error: &rocksdb::Error) -> bool {
    NO_ROOM.iter().any(|words| error.as_ref().contains(words))
}

impl Until {
    const fn hint(self) -> &'static str {
        match self {
            Self::SpaceIsBack => "",
            Self::Restart => ", then restart",
        }
    }
}
