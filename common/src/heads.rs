//! Heads: for each log its last sequence number and entry, an exact summary of gap-free logs.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::id::{EntryId, LogId};

/// The end of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Head {
    /// The sequence number of the last entry; the first entry of a log has 0.
    #[n(0)]
    pub seq: u64,
    /// The id of that entry.
    #[n(1)]
    pub entry: EntryId,
}

/// Heads by log, in the order of log ids.
pub type Heads = BTreeMap<LogId, Head>;
