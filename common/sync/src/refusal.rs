//! Errors: what a peer did that ends a session, and what keeps one from being opened.

use cosmic_common::id::{ChannelId, LogId};

use crate::config::{BATCH_MAX_BYTES, CHANNELS_MAX, FRAME_MIN_BYTES, LOGS_MAX};

/// Why a session cannot be opened from what it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More channels than one session can speak about.
    #[error("a session speaks about {CHANNELS_MAX} channels at most, this replica has {0}; name fewer")]
    TooManyChannels(usize),
    /// More logs than one session can speak about.
    #[error("a session speaks about {LOGS_MAX} logs at most, this replica has {0}; name fewer channels")]
    TooManyLogs(usize),
    /// The summary lists one log under two channels.
    #[error("log {0} is listed under two channels")]
    LogInTwoChannels(LogId),
    /// A bound of zero, or a batch that fits in no message.
    #[error("batch_bytes must be between 1 and {BATCH_MAX_BYTES}, and window_bytes above 0")]
    Bounds,
}

/// What a peer did that ends the session: it lies, or it speaks another protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not a message of this version.
    #[error("the peer sent bytes that are not a message of this version")]
    Malformed,
    /// A message that has no place at this point of the session.
    #[error("the peer sent {0} where it has no place")]
    OutOfPlace(&'static str),
    /// The peer talks about a channel that the two do not share.
    #[error("the peer talks about channel {0}, which was not agreed on")]
    Channel(ChannelId),
    /// One log in two channels.
    #[error("the peer puts log {0} into another channel than before")]
    LogMoved(LogId),
    /// More channels than a session can speak about.
    #[error("the peer has more than {CHANNELS_MAX} channels")]
    TooManyChannels,
    /// More logs than a session can speak about.
    #[error("the peer has more than {LOGS_MAX} logs")]
    TooManyLogs,
    /// A sequence number beyond the last one.
    #[error("the peer names a place in log {0} that cannot exist")]
    Sequence(LogId),
    /// Entries that do not follow on what the peer was known to have.
    #[error("the peer sent entries of log {0} that leave a gap")]
    Gap(LogId),
    /// A want for entries that were never offered, or an empty one.
    #[error("the peer wants entries of log {0} that were not offered")]
    Want(LogId),
    /// Entries shorter than an entry or longer than one may be, or none.
    #[error("the peer sent a frame outside {FRAME_MIN_BYTES} bytes to the size of an entry")]
    FrameSize,
    /// Membership and content in one message.
    #[error("the peer mixed membership entries with others")]
    Mixed,
    /// More entries than the window allows.
    #[error("the peer sent more than the window allows")]
    Flood,
    /// An acknowledgement that goes back, or of bytes never sent.
    #[error("the peer acknowledged {0} bytes, which it cannot have")]
    Acknowledged(u64),
    /// The driver found an entry that no honest peer keeps.
    #[error("the peer sent an entry that no honest replica stores")]
    Entry,
    /// The peer owes something and says nothing.
    #[error("the peer did not deliver what it owes in time")]
    Silent,
}
