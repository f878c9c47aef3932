//! Refusals: why a request was not served, as a stable number and a sentence for a person.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Bytes of the sentence in a refusal.
pub const SENTENCE_MAX_BYTES: usize = 512;

/// Why a request was not served. The numbers stand in `docs/protocol/custody.md` and never change
/// their meaning; a number this build does not know is kept as [`RefusalCode::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCode {
    /// The message could not be read or came out of turn; the connection ends.
    Malformed,
    /// The proof of the session does not hold, or its rights do not cover the request.
    NotAuthorised,
    /// The space is not known here, and the request brought no genesis of it.
    UnknownSpace,
    /// The session id is not known here (any more); open the space again.
    UnknownSession,
    /// The space has used what it may keep.
    QuotaExceeded,
    /// A length above the limit of its kind.
    TooLarge,
    /// Too many requests at once; try again later, or elsewhere.
    Busy,
    /// This peer is shutting down; go elsewhere.
    Stopping,
    /// The disk is full or failed; nothing was stored.
    Storage,
    /// The bytes that came are not those that were named.
    HashMismatch,
    /// What was asked for is not kept here.
    NotHere,
    /// Another supernode is responsible for this by the ring table.
    NotResponsible,
    /// An entry that is not valid: signature, chain, rights or form.
    InvalidEntry,
    /// An entry whose predecessor or delegation is missing here; send that first.
    Gap,
    /// Two entries with one place in a log; the log is closed.
    Fork,
    /// Too few holders answered to store or to rebuild.
    Unavailable,
    /// The asking peer is no active member of the ring.
    NotInRing,
    /// A number of a later version.
    Other(u16),
}

/// Every code with its number on the wire.
const NUMBERS: [(RefusalCode, u16); 17] = [
    (RefusalCode::Malformed, 1),
    (RefusalCode::NotAuthorised, 2),
    (RefusalCode::UnknownSpace, 3),
    (RefusalCode::UnknownSession, 4),
    (RefusalCode::QuotaExceeded, 5),
    (RefusalCode::TooLarge, 6),
    (RefusalCode::Busy, 7),
    (RefusalCode::Stopping, 8),
    (RefusalCode::Storage, 9),
    (RefusalCode::HashMismatch, 10),
    (RefusalCode::NotHere, 11),
    (RefusalCode::NotResponsible, 12),
    (RefusalCode::InvalidEntry, 13),
    (RefusalCode::Gap, 14),
    (RefusalCode::Fork, 15),
    (RefusalCode::Unavailable, 16),
    (RefusalCode::NotInRing, 17),
];

impl RefusalCode {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Other(number) => number,
            known => NUMBERS.iter().find(|(code, _)| *code == known).map_or(0, |(_, number)| *number),
        }
    }

    /// The code with this number.
    #[must_use]
    pub fn numbered(number: u16) -> Self {
        NUMBERS.iter().find(|(_, known)| *known == number).map_or(Self::Other(number), |(code, _)| *code)
    }

    /// Whether the same request may succeed later, or at another peer, without being changed.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            Self::UnknownSession
            | Self::Busy
            | Self::Stopping
            | Self::Storage
            | Self::NotHere
            | Self::NotResponsible
            | Self::Gap
            | Self::Unavailable
            | Self::NotInRing => true,
            Self::Malformed
            | Self::NotAuthorised
            | Self::UnknownSpace
            | Self::QuotaExceeded
            | Self::TooLarge
            | Self::HashMismatch
            | Self::InvalidEntry
            | Self::Fork
            | Self::Other(_) => false,
        }
    }
}

impl<C> Encode<C> for RefusalCode {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u16(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RefusalCode {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        d.u16().map(Self::numbered)
    }
}

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[error("refused ({code:?}): {sentence}")]
pub struct Refusal {
    /// For programs.
    #[n(0)]
    pub code: RefusalCode,
    /// For people.
    #[n(1)]
    pub sentence: Sentence,
}

impl Refusal {
    /// A refusal with `code` and as much of `sentence` as fits.
    #[must_use]
    pub fn new(code: RefusalCode, sentence: impl fmt::Display) -> Self {
        Self { code, sentence: Sentence::clipped(&sentence.to_string()) }
    }
}

/// A sentence of at most [`SENTENCE_MAX_BYTES`] without control characters, so that a peer's words are safe in a log.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(transparent)]
pub struct Sentence(#[n(0)] String);

impl Sentence {
    /// As much of `text` as fits, control characters replaced by spaces.
    #[must_use]
    pub fn clipped(text: &str) -> Self {
        let mut kept = String::new();
        for character in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if kept.len() + character.len_utf8() > SENTENCE_MAX_BYTES {
                break;
            }
            kept.push(character);
        }
        Self(kept)
    }

    /// The sentence as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'b, C> Decode<'b, C> for Sentence {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        let text = d.str()?;
        if text.len() > SENTENCE_MAX_BYTES || text.chars().any(char::is_control) {
            return Err(decode::Error::message("not a sentence of a refusal").at(position));
        }
        Ok(Self(text.to_owned()))
    }
}
