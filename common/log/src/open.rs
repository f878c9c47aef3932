//! The clear body of entry 0: whose log it is, and where.

use cosmic_common::{
    hash,
    id::{ChannelId, EntryId, Incarnation, LogId, SpaceId, WriterId},
    record::Record,
};
use minicbor::{Decode, Encode};

/// What a log's first entry says. The log's id is a hash of it, so nobody can open another's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Open {
    /// The space the log belongs to.
    #[n(1)]
    pub space: SpaceId,
    /// Who writes it, and whose key signs every entry.
    #[n(2)]
    pub writer: WriterId,
    /// The channel it is part of.
    #[n(3)]
    pub channel: ChannelId,
    /// The life of the writer's data it was written in.
    #[n(4)]
    pub incarnation: Incarnation,
    /// The membership entry that gives the writer its rights; none for the root of the space.
    #[n(5)]
    pub delegation: Option<EntryId>,
}

impl Record for Open {
    const NAME: &'static str = "open";
    /// Five ids with their heads, and room for fields of later minor versions.
    const LIMIT: usize = 512;
}

impl Open {
    /// The id of the log; the delegation is not part of it.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        LogId::from_bytes(hash::derive(
            "cosmic log 1",
            &[
                self.space.as_bytes(),
                self.writer.as_bytes(),
                self.channel.as_bytes(),
                self.incarnation.as_bytes(),
            ],
        ))
    }
}
