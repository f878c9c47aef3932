//! Typed tables on RocksDB: atomic batches, one fsync for many of them, refusal instead of half a write.
//!
//! ```text
//! Batch ── commit ──▶ bounded queue ──▶ writer thread: room on the disk? write, write, …, one fsync ──▶ Ok
//! get, scan ────────▶ RocksDB, on the thread that asks
//! ```
//! A [`commit`](Store::commit) that returns `Ok` is on the disk. What is written may be read a moment before
//! that; whoever promises something on the ground of a read commits first, an empty batch if need be.
//!
//! Two things stop writes, and reads go on in both cases. A disk that is nearly full refuses writes until
//! there is room again: nothing was tried, so nothing is broken. A write or fsync that failed refuses all
//! later writes until a restart: after it nobody can say what the disk holds, and recovery reads it anew.

mod batch;
mod config;
mod error;
mod key;
mod mark;
mod metrics;
mod open;
mod scan;
mod space;
mod store;
mod table;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use config::Config;
pub use error::{Error, Unreadable, Until};
pub use key::{Key, PrefixOf, Span};
pub use open::Setup;
pub use scan::Scan;
pub use space::Space;
pub use store::Store;
pub use table::{Schema, Table};
pub use verify::{Verified, verify};
