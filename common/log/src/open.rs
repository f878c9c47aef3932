//! The first entry of a log: whose it is, where, and by which delegation.

use cosmic_common::{
    hash,
    id::{ChannelId, EntryId, Incarnation, LogId, SpaceId, WriterId},
    record::Record,
};
use minicbor::{Decode, Encode};

/// The clear body of entry 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Open {
    /// The space.
    #[n(1)]
    pub space: SpaceId,
    /// Whose key signs the log.
    #[n(2)]
    pub writer: WriterId,
    /// The channel.
    #[n(3)]
    pub channel: ChannelId,
    /// The life of the writer's data that this log belongs to.
    #[n(4)]
    pub incarnation: Incarnation,
    /// The entry with the delegation the writer acts under; none for the root of the space.
    #[n(5)]
    pub delegation: Option<EntryId>,
}

impl Record for Open {
    const NAME: &'static str = "open";
    const LIMIT: usize = 256;
}

impl Open {
    /// The log this opens: the hash of everything that names it.
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
