//! Memory, files and room a store takes.

use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;
/// Below this RocksDB flushes all the time.
const WRITE_BUFFERS_MIN_BYTES: u64 = 8 * MIB;
/// Each level and blob file in use keeps one open.
const OPEN_FILES_MIN: u32 = 32;

/// The settings of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Blocks, indexes and filters kept in memory.
    pub cache_bytes: u64,
    /// Writes kept in memory until they are sorted into files; they lie in the log as well.
    pub write_buffers_bytes: u64,
    /// Files kept open.
    pub open_files_max: u32,
    /// Room left free on the disk, but no more than a twentieth of it: sorting needs some, and so does recovery.
    pub reserve_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_bytes: 16 * MIB,
            write_buffers_bytes: 48 * MIB,
            open_files_max: 256,
            reserve_bytes: 256 * MIB,
        }
    }
}

impl Config {
    /// Refuses what RocksDB cannot work with.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.write_buffers_bytes < WRITE_BUFFERS_MIN_BYTES {
            mistakes.refuse("write_buffers_bytes", format!("must be at least {WRITE_BUFFERS_MIN_BYTES}"));
        }
        if self.open_files_max < OPEN_FILES_MIN || i32::try_from(self.open_files_max).is_err() {
            mistakes.refuse("open_files_max", format!("must lie between {OPEN_FILES_MIN} and {}", i32::MAX));
        }
        for (key, bytes) in
            [("cache_bytes", self.cache_bytes), ("write_buffers_bytes", self.write_buffers_bytes)]
        {
            if usize::try_from(bytes).is_err() {
                mistakes.refuse(key, "is more than this machine can address");
            }
        }
    }
}
