//! Bounds: what a session may be told to do otherwise, and what both sides must agree on.

use std::time::Duration;

use cosmic_common::limit::MESSAGE_MAX_BYTES;

/// Channels one session can speak about: 4,096 roots take 280 KB of a message.
pub const CHANNELS_MAX: usize = 4096;
/// Logs one session can speak about. About 300 bytes each are kept while the session lasts.
pub const LOGS_MAX: usize = 65_536;
/// Heads in one message: 8,192 take 640 KB.
pub const HEADS_MAX: usize = 8192;
/// Ranges in one `Want`: 8,192 take 430 KB.
pub const WANTS_MAX: usize = 8192;
/// Ranges gathered into one `Load`, so that many short logs share a batch.
pub const LOAD_RANGES_MAX: usize = 256;
/// Batches loaded ahead at once; more only holds memory while the stream is the slower part.
pub const LOAD_BATCHES: u64 = 4;
/// The shortest frame: a signature alone has 64 bytes, and tiny frames would multiply memory.
pub const FRAME_MIN_BYTES: usize = 64;
/// What membership entries may have under way beyond the window, so that content which waits for
/// them can never keep them out.
pub const MEMBERSHIP_RESERVE_BYTES: u64 = 512 * 1024;
/// The largest `batch_bytes`: half a message leaves room for names of logs and channels.
pub const BATCH_MAX_BYTES: usize = MESSAGE_MAX_BYTES / 2;

/// How one session behaves. The defaults are safe; each side may have its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of entries in one message (a single larger entry travels alone).
    pub batch_bytes: usize,
    /// Bytes of entries a peer may have sent here that are not stored yet, and the most this side
    /// sends ahead. Eight batches cover 100 ms of round trip and store at 20 MB/s.
    pub window_bytes: u64,
    /// How long nothing may have changed before roots are compared again.
    pub quiet_ms: u64,
    /// When roots are compared at the latest, however busy the space is.
    pub root_latest_ms: u64,
    /// How long a peer that owes something may be silent before the session is given up.
    pub patience_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_bytes: 256 * 1024,
            window_bytes: 2 * 1024 * 1024,
            quiet_ms: 500,
            root_latest_ms: 10_000,
            patience_ms: 30_000,
        }
    }
}

impl Config {
    pub(crate) fn batch_bytes(&self) -> u64 {
        u64::try_from(self.batch_bytes).unwrap_or(u64::MAX)
    }

    pub(crate) fn quiet(&self) -> Duration {
        Duration::from_millis(self.quiet_ms)
    }

    pub(crate) fn root_latest(&self) -> Duration {
        Duration::from_millis(self.root_latest_ms)
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }
}
