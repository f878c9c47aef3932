//! The directory a test works in: gone with the test, kept for whoever looks why it failed.

use std::path::Path;

use tempfile::TempDir;

/// A fresh directory.
pub(super) struct Ground(TempDir);

impl Ground {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("the logs and data of its processes are kept in {}", self.path().display());
        }
    }
}
