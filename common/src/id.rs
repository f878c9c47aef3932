//! Ids: fixed-size names for spaces, logs, peers and the rest, shown as lower-case base32.

use std::{fmt, str::FromStr};

use data_encoding::{Encoding, Specification};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How many characters of an id a log line or a table shows.
const SHORT_CHARACTERS: usize = 10;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text holds a character outside a–z and 2–7.
    #[error("an id holds only the characters a-z and 2-7")]
    Alphabet,
    /// The text decodes to another number of bytes.
    #[error("an id of this kind has {expected} bytes, this text has {found}")]
    Length {
        /// Bytes an id of this kind has.
        expected: usize,
        /// Bytes the text decodes to.
        found: usize,
    },
}

/// RFC 4648 base32 in lower case without padding: safe in paths, addresses and double clicks.
#[must_use]
pub fn base32() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    #[expect(clippy::expect_used, reason = "a constant alphabet of 32 distinct symbols is always valid")]
    specification.encoding().expect("the base32 alphabet is a valid specification")
}

fn parse<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let bytes = base32().decode(text.as_bytes()).map_err(|_error| ParseIdError::Alphabet)?;
    <[u8; N]>::try_from(bytes.as_slice())
        .map_err(|_error| ParseIdError::Length { expected: N, found: bytes.len() })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $size]);

        impl $name {
            /// The size of this id in bytes.
            pub const SIZE: usize = $size;

            /// The id made of exactly these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id, as they stand on the wire and in table keys.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }

            /// The first characters of the id, for log lines and tables.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string().chars().take(SHORT_CHARACTERS).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base32().encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
                <[u8; $size]>::try_from(bytes)
                    .map(Self)
                    .map_err(|_error| ParseIdError::Length { expected: $size, found: bytes.len() })
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _context: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
                let position = d.position();
                Self::try_from(d.bytes()?)
                    .map_err(|_error| decode::Error::message("an id of another size").at(position))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// A BLAKE3 hash of bytes whose kind the context tells.
    Hash,
    32
);
id!(
    /// A network: the hash of its network key, which a joiner pins.
    NetworkId,
    32
);
id!(
    /// An operator of supernodes, named by an Ed25519 public key.
    OperatorId,
    32
);
id!(
    /// A process (device, supernode or bootstrap node), named by its Ed25519 public key.
    PeerId,
    32
);
id!(
    /// A space: the derived hash of its genesis record.
    SpaceId,
    32
);
id!(
    /// A part of a space that can be replicated alone.
    ChannelId,
    32
);
id!(
    /// A device's pseudonymous key inside one space: an Ed25519 public key.
    WriterId,
    32
);
id!(
    /// The hash chain of one writer in one channel during one incarnation.
    LogId,
    32
);
id!(
    /// An entry: the derived hash of its header.
    EntryId,
    32
);
id!(
    /// One generation of a space's secret: the derived hash of its epoch record.
    EpochId,
    32
);
id!(
    /// An object (chunk or pack): the plain hash of its sealed bytes.
    ObjectId,
    32
);
id!(
    /// One life of a device's or holder's data: random, new after every copy or restore.
    Incarnation,
    16
);
