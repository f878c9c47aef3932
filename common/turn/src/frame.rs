//! What comes between client and relay: a message, or data on a channel. Over TCP one follows the other.

use crate::message::HEADER_BYTES;

/// The first number of a channel, and the last one: of RFC 5766, since clients still take those above 0x4FFF.
pub const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFF;
/// Bytes of a channel's number and length.
pub const CHANNEL_HEADER_BYTES: usize = 4;
const ALIGNMENT: usize = 4;

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message.
    Message(&'a [u8]),
    /// Data on a channel.
    Channel(u16, &'a [u8]),
}

impl<'a> Frame<'a> {
    /// What `bytes` are; none if neither.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<2>()?;
        let number = u16::from_be_bytes(*number);
        if number & 0xC000 == 0 {
            return Some(Self::Message(bytes));
        }
        if !CHANNELS.contains(&number) {
            return None;
        }
        let (length, data) = rest.split_first_chunk::<2>()?;
        Some(Self::Channel(number, data.get(..usize::from(u16::from_be_bytes(*length)))?))
    }
}

/// Data on the channel `number`; `padded` as over TCP. Longer data are cut, which no datagram is.
#[must_use]
pub fn channel_data(number: u16, data: &[u8], padded: bool) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let data = data.get(..usize::from(length)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(CHANNEL_HEADER_BYTES + data.len() + ALIGNMENT);
    bytes.extend(number.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(data);
    if padded {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
    bytes
}

/// How many bytes the frame has whose first four are these, over TCP; none if no frame begins so.
#[must_use]
pub fn frame_bytes(first: [u8; 4]) -> Option<usize> {
    let [a, b, c, d] = first;
    let (number, length) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
    if number & 0xC000 == 0 {
        return Some(HEADER_BYTES + length);
    }
    CHANNELS.contains(&number).then(|| (CHANNEL_HEADER_BYTES + length).next_multiple_of(ALIGNMENT))
}
