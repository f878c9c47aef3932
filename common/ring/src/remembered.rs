//! What a process keeps of the directory over a restart: listings that are not old yet, and servers that answered.

use cosmic_common::record::Record;
use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::config::Door;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Remembered {
    /// Records kept for others.
    #[n(1)]
    pub records: Vec<Kept>,
    /// Servers of the directory, and where they answered.
    #[n(2)]
    pub servers: Vec<Door>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// Where it stands.
    #[n(0)]
    pub key: ByteVec,
    /// What it says.
    #[n(1)]
    pub value: ByteVec,
    /// Until when it is kept, in Unix milliseconds.
    #[n(2)]
    pub until_ms: u64,
}

impl Record for Remembered {
    const NAME: &'static str = "directory file";
    // 4 MiB of values (the bound of the store) with their keys, and 64 servers of at most 16 addresses.
    const LIMIT: usize = 5 * 1024 * 1024;
}
