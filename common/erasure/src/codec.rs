//! Codecs: into how many shards an object is coded, and how many of them suffice.

use std::fmt;

use cosmic_common::limit::SHARDS_MAX;

use crate::error::Error;

/// `k of n`: an object becomes n shards of which any k suffice. With k = 1 every shard is a whole copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Codec {
    pub(crate) k: u8,
    pub(crate) n: u8,
}

impl Codec {
    /// The id in manifests: Reed-Solomon over GF(2^8) with polynomial 0x11d, systematic, from a Vandermonde matrix.
    pub const ID: u8 = 1;

    /// The codec `k of n`.
    ///
    /// # Errors
    /// [`Error::Codec`] unless `1 ≤ k < n ≤ 32`, or both are 1.
    pub const fn new(k: u8, n: u8) -> Result<Self, Error> {
        if k == 0 || n as usize > SHARDS_MAX || n < k || (n == k && k > 1) {
            return Err(Error::Codec { k, n });
        }
        Ok(Self { k, n })
    }

    /// How many shards suffice; the first k are the object itself, cut into pieces.
    #[must_use]
    pub const fn k(self) -> usize {
        self.k as usize
    }

    /// How many shards there are.
    #[must_use]
    pub const fn n(self) -> usize {
        self.n as usize
    }

    /// Whether every shard is the whole object.
    #[must_use]
    pub const fn is_copies(self) -> bool {
        self.k == 1
    }

    /// The length of each shard of an object of `length` bytes.
    #[must_use]
    pub const fn shard_bytes(self, length: usize) -> usize {
        length.div_ceil(self.k())
    }

    /// The capacity of a `Vec` with which [`crate::Coder::encode`] need not move the object to pad it.
    #[must_use]
    pub const fn padded_bytes(self, length: usize) -> usize {
        self.shard_bytes(length) * self.k()
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.k, self.n)
    }
}
