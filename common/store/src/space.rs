//! Room on the disk: how much there is, and how much of it a write may use.

use std::{io, path::Path};

/// The reserve is at most this part of the whole, so that small disks can be used at all.
const RESERVE_FRACTION: u64 = 20;
/// Bytes a write takes for each of its own: once in the log, once when it is sorted into a file.
const COPIES: u64 = 2;

/// Room on a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes a user without privileges may still write.
    pub free_bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
}

impl Space {
    /// The room on the file system of `path`, as a user without privileges sees it.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let system = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
        Ok(Self { free_bytes: bytes(system.f_bavail), total_bytes: bytes(system.f_blocks) })
    }

    /// What new writes may use, when `buffered_bytes` of earlier ones have yet to be sorted into files.
    pub(crate) fn room(self, reserve_bytes: u64, buffered_bytes: u64) -> Room {
        let reserve = reserve_bytes.min(self.total_bytes / RESERVE_FRACTION);
        let usable = self.free_bytes.saturating_sub(buffered_bytes);
        Room { for_deletes: usable, for_all: usable.saturating_sub(reserve) }
    }
}

/// What the batches of one group may still use.
#[derive(Debug)]
pub(crate) struct Room {
    /// Deleting is how room comes back, so it may use the reserve.
    for_deletes: u64,
    for_all: u64,
}

impl Room {
    /// Takes the room a batch of `size_bytes` needs, if it is there.
    pub(crate) fn take(&mut self, size_bytes: usize, stores: bool) -> bool {
        let needed = u64::try_from(size_bytes).unwrap_or(u64::MAX).saturating_mul(COPIES);
        let enough = needed <= if stores { self.for_all } else { self.for_deletes };
        if enough {
            self.for_all = self.for_all.saturating_sub(needed);
            self.for_deletes = self.for_deletes.saturating_sub(needed);
        }
        enough
    }
}
