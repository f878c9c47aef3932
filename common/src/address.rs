//! Addresses: multiaddresses as bounded text, which only `net` takes apart.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Decoder, Encode, decode};
use serde::{Deserialize, Serialize};

use crate::limit::ADDRESS_MAX_BYTES;

/// Where a peer may be reached, as a multiaddress such as `/ip4/192.0.2.7/udp/7410/quic-v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Serialize, Deserialize)]
#[cbor(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct Address(#[n(0)] String);

/// Why a text cannot be an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// The text is longer than [`ADDRESS_MAX_BYTES`].
    #[error("an address has at most {ADDRESS_MAX_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// The text does not start with `/`, or holds something else than printable ASCII.
    #[error("an address is a multiaddress such as /ip4/127.0.0.1/tcp/7410")]
    NotAMultiaddress,
}

impl Address {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        if text.len() > ADDRESS_MAX_BYTES {
            return Err(ParseAddressError::TooLong(text.len()));
        }
        if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ParseAddressError::NotAMultiaddress);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Address {
    type Error = ParseAddressError;

    fn try_from(text: String) -> Result<Self, ParseAddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'b, C> Decode<'b, C> for Address {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        d.str()?.parse().map_err(|_error| decode::Error::message("not an address").at(position))
    }
}
