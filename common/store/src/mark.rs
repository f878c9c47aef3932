//! How far the log was acknowledged, in a file beside it: recovery is held against it.
//!
//! RocksDB ends its recovery at the first record of the log that it cannot read. After a crash that is half a record nobody
//! was told of; after damage it is something that was acknowledged. Only this file tells one from the other. It is written
//! after each sync of the log and not synced itself: exact after a kill, behind by some seconds after a loss of power.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Its name in the directory of the store.
const FILE: &str = "acknowledged";
/// Stands there from the moment a loss is noticed until what was promised is taken back.
const LOST: u64 = u64::MAX;

/// The number of the last change that was acknowledged.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    /// Whether a loss waits to be answered for.
    lost: AtomicBool,
}

impl Mark {
    /// Opens the mark in `directory`, whose store recovered up to change `recovered`. It is a loss if more was
    /// acknowledged, or if RocksDB `dropped` more than half a record.
    pub(crate) fn open(directory: &Path, recovered: u64, dropped: bool) -> io::Result<Self> {
        let path = directory.join(FILE);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = [0; 8];
        // A file that is too short was never written: nothing was acknowledged under it.
        let known = match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read.map(|()| u64::from_be_bytes(bytes))?,
        };
        let lost = dropped || known > recovered;
        let mark = Self { file, lost: AtomicBool::new(lost) };
        mark.write(if lost { LOST } else { recovered })?;
        // Whoever is killed before he has answered for a loss finds it again.
        mark.file.sync_all()?;
        Ok(mark)
    }

    /// Whether something that was acknowledged is not there, and nobody has answered for it.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Everything up to `change` is on the disk and will be acknowledged.
    pub(crate) fn reach(&self, change: u64) -> io::Result<()> {
        if self.is_lost() { Ok(()) } else { self.write(change) }
    }

    /// Nothing promised before `change` counts any more.
    pub(crate) fn begin_anew(&self, change: u64) -> io::Result<()> {
        self.write(change)?;
        self.file.sync_all()?;
        self.lost.store(false, Ordering::Release);
        Ok(())
    }

    fn write(&self, change: u64) -> io::Result<()> {
        self.file.write_all_at(&change.to_be_bytes(), 0)
    }
}
