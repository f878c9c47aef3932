//! The one shape of every persisted and wired type: a bounded, versioned, deterministic CBOR map.
//!
//! A record is a definite-length map with small integer keys in ascending order (RFC 8949, section
//! 4.2.1). Key 0 holds the version. Keys below 64 that the version does not know refuse the record,
//! keys from 64 on are skipped, so that a later minor version may add what an older reader can ignore.

use std::ops::Range;

use minicbor::{Decode, Decoder, Encode, data::Type, decode::Error as DecodeError};

/// The first map key that an older reader skips instead of refusing.
const FIRST_SKIPPABLE_KEY: u64 = 64;
/// A map of up to 23 pairs has its count in the first byte.
const SHORT_MAP: u8 = 0xa0;
const SHORT_MAP_MAX_PAIRS: u8 = 23;

/// Why bytes are not the record that was expected.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// More bytes than the record may have; nothing was read of them.
    #[error("{name}: {found} bytes, at most {limit} are allowed")]
    TooLong {
        /// What was expected.
        name: &'static str,
        /// Bytes that came.
        found: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// Not CBOR, or not of the expected fields.
    #[error("{name}: malformed")]
    Malformed {
        /// What was expected.
        name: &'static str,
        /// What the decoder says.
        source: DecodeError,
    },
    /// A version this build does not know.
    #[error("{name}: version {found} is not known here, only {supported}; update CosmicSync")]
    Version {
        /// What was expected.
        name: &'static str,
        /// The version that came.
        found: u64,
        /// The version this build reads.
        supported: u16,
    },
    /// Decodable, but not the one encoding of its content, or with an unknown mandatory field.
    #[error("{name}: not in canonical form")]
    NotCanonical {
        /// What was expected.
        name: &'static str,
    },
}

/// How the content of a record lies in its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A struct: its own `#[cbor(map)]` fields, with keys from 1 on, stand beside the version.
    Fields,
    /// Anything else, mostly an enum of messages: the value stands under key 1.
    Value,
}

/// A type with exactly one byte form per version.
pub trait Record: Encode<()> + for<'b> Decode<'b, ()> {
    /// The name in errors and in `docs/protocol.md`.
    const NAME: &'static str;
    /// The version this build writes.
    const VERSION: u16 = 1;
    /// The largest encoding in bytes, checked before anything is decoded.
    const LIMIT: usize;
    /// How the content lies in the map.
    const SHAPE: Shape = Shape::Fields;

    /// The canonical bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut content = Vec::new();
        #[expect(
            clippy::expect_used,
            reason = "writing to a Vec is infallible, and derived encoders add no error"
        )]
        minicbor::encode(self, &mut content).expect("encoding into memory cannot fail");
        let (pairs, content) = match Self::SHAPE {
            Shape::Value => (2, content.as_slice()),
            Shape::Fields => match content.split_first() {
                Some((head, rest)) if (SHORT_MAP..SHORT_MAP + SHORT_MAP_MAX_PAIRS).contains(head) => {
                    (head - SHORT_MAP + 1, rest)
                }
                _ => unreachable!("{} must be a #[cbor(map)] struct of fewer than 23 fields", Self::NAME),
            },
        };
        let mut bytes = Vec::with_capacity(content.len() + 6);
        bytes.extend_from_slice(&[SHORT_MAP + pairs, 0]);
        #[expect(clippy::expect_used, reason = "writing to a Vec is infallible")]
        minicbor::encode(Self::VERSION, &mut bytes).expect("encoding into memory cannot fail");
        if Self::SHAPE == Shape::Value {
            bytes.push(1);
        }
        bytes.extend_from_slice(content);
        bytes
    }

    /// The record in `bytes`.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are too many, malformed, of another version or not canonical.
    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let name = Self::NAME;
        if bytes.len() > Self::LIMIT {
            return Err(RecordError::TooLong { name, found: bytes.len(), limit: Self::LIMIT });
        }
        let malformed = |source| RecordError::Malformed { name, source };
        let layout = Layout::read(bytes).map_err(malformed)?;
        if layout.version != u64::from(Self::VERSION) {
            return Err(RecordError::Version { name, found: layout.version, supported: Self::VERSION });
        }
        let value: Self = match Self::SHAPE {
            Shape::Fields => minicbor::decode(bytes).map_err(malformed)?,
            Shape::Value => {
                let mut decoder = Decoder::new(bytes);
                decoder.set_position(layout.first_field);
                let key = decoder.u64().map_err(malformed)?;
                if key != 1 {
                    return Err(RecordError::NotCanonical { name });
                }
                decoder.decode().map_err(malformed)?
            }
        };
        if layout.agrees_with(bytes, &value.to_bytes()) {
            Ok(value)
        } else {
            Err(RecordError::NotCanonical { name })
        }
    }
}

/// Where the parts of an encoded record lie.
struct Layout {
    version: u64,
    first_field: usize,
    /// Pairs with keys below 64, and where they end.
    known_pairs: u64,
    known_end: usize,
    header_end: usize,
    /// Pairs with keys from 64 on.
    skippable: Vec<(u64, Range<usize>)>,
    header_is_minimal: bool,
    complete: bool,
}

impl Layout {
    /// Walks the top-level map once; `DecodeError` if it is not a map whose first key is 0.
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let pairs = decoder.map()?.ok_or_else(|| DecodeError::message("a map of indefinite length"))?;
        let header_end = decoder.position();
        if decoder.u64()? != 0 {
            return Err(DecodeError::message("the version must come first"));
        }
        let version = decoder.u64()?;
        let first_field = decoder.position();
        let (mut known_pairs, mut known_end) = (1, first_field);
        let (mut previous, mut skippable) = (0, Vec::new());
        for _ in 1..pairs {
            let begin = decoder.position();
            let key = decoder.u64()?;
            if key <= previous {
                return Err(DecodeError::message("keys must ascend"));
            }
            previous = key;
            if decoder.datatype()? == Type::Undefined {
                return Err(DecodeError::message("undefined is not a value"));
            }
            decoder.skip()?;
            if key < FIRST_SKIPPABLE_KEY {
                known_pairs += 1;
                known_end = decoder.position();
            } else {
                skippable.push((key, begin..decoder.position()));
            }
        }
        let complete = decoder.position() == bytes.len();
        let header_is_minimal =
            (header_end == 1) == (pairs <= u64::from(SHORT_MAP_MAX_PAIRS)) && pairs <= u64::from(u8::MAX);
        Ok(Self {
            version,
            first_field,
            known_pairs,
            known_end,
            header_end,
            skippable,
            header_is_minimal,
            complete,
        })
    }

    /// Whether `bytes`, less the fields that this reader skips, are exactly `canonical`.
    fn agrees_with(&self, bytes: &[u8], canonical: &[u8]) -> bool {
        if !self.complete || !self.header_is_minimal {
            return false;
        }
        if self.skippable.is_empty() {
            // Almost every record: the header apart, both are the same bytes.
            let count = canonical.first().map(|head| u64::from(head - SHORT_MAP));
            return count == Some(self.known_pairs)
                && bytes.get(self.header_end..self.known_end) == canonical.get(1..);
        }
        let Ok(own) = Self::read(canonical) else { return false };
        let known = bytes.get(self.header_end..self.known_end);
        let skipped = |key: u64| self.skippable.iter().find(|(other, _)| *other == key);
        own.known_pairs == self.known_pairs
            && known == canonical.get(own.header_end..own.known_end)
            && own.skippable.iter().all(|(key, place)| {
                skipped(*key)
                    .is_some_and(|(_, found)| bytes.get(found.clone()) == canonical.get(place.clone()))
            })
    }
}
