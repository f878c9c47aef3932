//! Messages of version 1: what two replicas say to each other about one space.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Deref,
    sync::Arc,
};

use cosmic_common::{
    heads::Heads,
    id::{ChannelId, Hash, LogId},
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// One message of a session, on the stream `/cosmic/space/1`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// The first message of each side: what it wants to hear about and what it holds, as roots.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// Heads that changed since they were last told, and how much of the peer's entries is stored.
    #[n(1)]
    Heads(#[n(0)] Told),
    /// Ranges of the peer's logs to be sent; replaces an earlier want for the same log.
    #[n(2)]
    Want(#[n(0)] BTreeMap<LogId, Span>),
    /// Entries: wanted, or new since heads were exchanged. All of membership or none.
    #[n(3)]
    Entries(#[n(0)] Vec<Run>),
    /// Everything told up to here belongs to the head set of this round.
    #[n(4)]
    Mark(#[n(0)] Mark),
    /// The roots over the agreed head set of a round, of the channels in which it moved.
    #[n(5)]
    Root(#[n(0)] Roots),
    /// The session ends here.
    #[n(6)]
    Stop(#[n(0)] StopReason),
}

impl Record for Message {
    const NAME: &'static str = "sync message";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}

/// The opening of one side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// The channels this side wants, beside membership.
    #[n(1)]
    pub interest: Interest,
    /// Bytes of entries it accepts ahead of what it has stored.
    #[n(2)]
    pub window_bytes: u64,
    /// The root of each channel it holds within its interest, membership among them.
    #[n(3)]
    pub roots: BTreeMap<ChannelId, Hash>,
}

/// Which channels a replica wants. Membership is always wanted and need not be listed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Interest {
    /// Every channel, those to come included.
    #[n(0)]
    All,
    /// These channels.
    #[n(1)]
    Only(#[n(0)] BTreeSet<ChannelId>),
}

impl Interest {
    /// Whether `channel` is wanted.
    #[must_use]
    pub fn has(&self, channel: &ChannelId) -> bool {
        match self {
            Self::All => true,
            Self::Only(channels) => channels.contains(channel),
        }
    }
}

/// Heads by channel, and the acknowledgement of entries.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Told {
    /// Heads that are new to the peer.
    #[n(1)]
    pub heads: BTreeMap<ChannelId, Heads>,
    /// Bytes of the peer's entries dealt with in this session: stored durably, or not needed.
    #[n(2)]
    pub taken_bytes: u64,
}

/// A part of a log: the entries from `from` on, `to` not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// The first sequence number.
    #[n(0)]
    pub from: u64,
    /// The sequence number after the last one.
    #[n(1)]
    pub to: u64,
}

/// Consecutive entries of one log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Run {
    /// The channel of the log.
    #[n(0)]
    pub channel: ChannelId,
    /// The log.
    #[n(1)]
    pub log: LogId,
    /// The sequence number of the first frame.
    #[n(2)]
    pub from: u64,
    /// The entries.
    #[n(3)]
    pub frames: Vec<Frame>,
}

impl Run {
    /// The bytes of all frames, which is what windows count.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(Frame::cost).sum()
    }
}

/// The exact bytes of one entry, shared by the sessions that send it.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Arc<[u8]>);

impl Frame {
    /// What the frame counts for in a window.
    #[must_use]
    pub fn cost(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Frame {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.0.len())
    }
}

impl<C> Encode<C> for Frame {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Frame {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        Ok(Self::from(d.bytes()?))
    }
}

/// The end of what one side counts into a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// The round; the first one is 0.
    #[n(0)]
    pub round: u64,
}

/// The roots of one side in one round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Roots {
    /// The round.
    #[n(0)]
    pub round: u64,
    /// Each channel whose agreed heads moved since they were last found equal.
    #[n(1)]
    pub roots: BTreeMap<ChannelId, Hash>,
}

/// Why a side ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum StopReason {
    /// It shuts down, or needs the session no longer.
    #[n(0)]
    Closing,
    /// The peer broke the protocol, sent what cannot be stored, or was silent too long.
    #[n(1)]
    Refused,
    /// It cannot go on for reasons of its own, such as a full disk.
    #[n(2)]
    Unable,
}
