//! What the cold tier remembers over restarts: what it was told to do, where its folder is, how far a check came.

use cosmic_common::{id::ObjectId, record::Record, time::Timestamp};
use minicbor::{Decode, Encode};

/// What the cold tier was told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Mode {
    /// To move what is old enough.
    #[default]
    #[n(0)]
    Move,
    /// To move nothing.
    #[n(1)]
    Pause,
    /// To bring everything back.
    #[n(2)]
    Thaw,
}

/// Where a check of everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Check {
    /// When it began.
    #[n(1)]
    pub began: Timestamp,
    /// Behind this object; none at the beginning, and when it is over.
    #[n(2)]
    pub after: Option<ObjectId>,
    /// And this shard of it.
    #[n(3)]
    pub index: u8,
    /// Whether it is over.
    #[n(4)]
    pub done: bool,
}

impl Check {
    /// At the beginning.
    #[must_use]
    pub const fn begin(now: Timestamp) -> Self {
        Self { began: now, after: None, index: 0, done: false }
    }
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Memory {
    /// What to do.
    #[n(1)]
    pub mode: Mode,
    /// The number of the folder that is written to; none until there was one.
    #[n(2)]
    pub place: Option<u64>,
    /// The last check.
    #[n(3)]
    pub check: Option<Check>,
}

impl Record for Memory {
    const NAME: &'static str = "cold memory";
    const LIMIT: usize = 128;
}
