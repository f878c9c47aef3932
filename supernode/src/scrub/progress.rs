//! How far a round came and what is damaged: written down, so that a restart goes on.

use std::fmt;

use cosmic_common::{
    id::{ChannelId, LogId, ObjectId, SpaceId},
    record::Record,
    time::Timestamp,
};
use minicbor::{Decode, Encode};
use serde::Serialize;

/// Damage that is listed; there may be more, which the next round finds again.
const OPEN_MAX: usize = 100;

/// Something that is kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Thing {
    /// A shard or whole object.
    #[n(0)]
    Shard {
        /// Its object.
        #[n(0)]
        object: ObjectId,
        /// Which shard.
        #[n(1)]
        index: u8,
    },
    /// An entry.
    #[n(1)]
    Entry {
        /// Its space.
        #[n(0)]
        space: SpaceId,
        /// Its channel.
        #[n(1)]
        channel: ChannelId,
        /// Its log.
        #[n(2)]
        log: LogId,
        /// Its place there.
        #[n(3)]
        seq: u64,
    },
    /// Rows of a table that cannot be read, and which they are.
    #[n(2)]
    Rows {
        /// The table.
        #[n(0)]
        table: RowsOf,
    },
}

/// A table of rows that lead to what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum RowsOf {
    /// What is known of each shard.
    #[n(0)]
    Kept,
    /// What is known of each log.
    #[n(1)]
    Logs,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard { object, index } => write!(f, "shard {index} of object {}", object.short()),
            Self::Entry { space, log, seq, .. } => {
                write!(f, "entry {seq} of log {} of space {}", log.short(), space.short())
            }
            Self::Rows { table: RowsOf::Kept } => f.write_str("rows of the table kept"),
            Self::Rows { table: RowsOf::Logs } => f.write_str("rows of the table logs"),
        }
    }
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Other bytes than those that were kept.
    #[n(0)]
    Wrong,
    /// No bytes.
    #[n(1)]
    Missing,
    /// The store cannot read them.
    #[n(2)]
    Unreadable,
}

impl Fault {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Damage nobody could heal yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Damage {
    /// To what.
    #[n(1)]
    pub thing: Thing,
    /// What is wrong.
    #[n(2)]
    pub fault: Fault,
    /// Since when it is known.
    #[n(3)]
    pub since: Timestamp,
}

/// Where a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Place {
    /// Behind this shard.
    #[n(0)]
    Shards {
        /// None at the beginning.
        #[n(0)]
        after: Option<ObjectId>,
        /// Its number.
        #[n(1)]
        index: u8,
    },
    /// In or behind this log.
    #[n(1)]
    Entries {
        /// None at the beginning.
        #[n(0)]
        log: Option<LogAt>,
        /// The first entry of it that was not read; 0 behind it.
        #[n(1)]
        next: u64,
    },
    /// At its end.
    #[n(2)]
    Done,
}

/// The key of a log's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LogAt {
    /// The space.
    #[n(1)]
    pub space: SpaceId,
    /// The channel.
    #[n(2)]
    pub channel: ChannelId,
    /// The log.
    #[n(3)]
    pub log: LogId,
}

impl Place {
    /// Where a round begins.
    pub const BEGINNING: Self = Self::Shards { after: None, index: 0 };
}

/// The scrub as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Progress {
    /// Which round it is, from 1.
    #[n(1)]
    pub round: u64,
    /// When it began.
    #[n(2)]
    pub began: Timestamp,
    /// Where it is.
    #[n(3)]
    pub place: Place,
    /// Whether somebody stopped it.
    #[n(4)]
    pub paused: bool,
    /// Shards read in this round.
    #[n(5)]
    pub shards: u64,
    /// Entries read in this round.
    #[n(6)]
    pub entries: u64,
    /// Bytes read in this round.
    #[n(7)]
    pub bytes: u64,
    /// Damage found in this round.
    #[n(8)]
    pub found: u64,
    /// Damage healed in this round.
    #[n(9)]
    pub healed: u64,
    /// Damage that waits.
    #[n(10)]
    pub open: Vec<Damage>,
}

impl Record for Progress {
    const NAME: &'static str = "scrub progress";
    const LIMIT: usize = 32 * 1024;
}

impl Progress {
    /// The first round.
    #[must_use]
    pub const fn begin(now: Timestamp) -> Self {
        Self {
            round: 1,
            began: now,
            place: Place::BEGINNING,
            paused: false,
            shards: 0,
            entries: 0,
            bytes: 0,
            found: 0,
            healed: 0,
            open: Vec::new(),
        }
    }

    /// The round after this one, without the damage.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Self {
        Self { round: self.round + 1, paused: self.paused, ..Self::begin(now) }
    }

    /// Lists damage, once.
    pub fn remember(&mut self, damage: Damage) {
        let known = self.open.iter().any(|known| known.thing == damage.thing);
        if !known && self.open.len() < OPEN_MAX {
            self.open.push(damage);
        }
    }
}
