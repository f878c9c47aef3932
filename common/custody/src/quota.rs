//! Quota: what one supernode keeps of one space, or of all that an operator sponsors, and how much of it it will.
//!
//! Pure accounting. The house changes [`Usage`] in the batch that writes or deletes the data, never by walking.

use std::fmt;

use cosmic_common::{id::OperatorId, record::Record};
use minicbor::{Decode, Encode};

use crate::error::Error;

const GIB: u64 = 1 << 30;

/// What one supernode keeps of one space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Usage {
    /// Entries.
    #[n(1)]
    pub entries: u64,
    /// Bytes of entries, headers included.
    #[n(2)]
    pub entry_bytes: u64,
    /// Shards and whole objects.
    #[n(3)]
    pub shards: u64,
    /// Bytes of shards and whole objects.
    #[n(4)]
    pub shard_bytes: u64,
}

/// What one supernode will keep of one space at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Quota {
    /// Bytes of entries.
    #[n(1)]
    pub entry_bytes: u64,
    /// Bytes of shards and whole objects.
    #[n(2)]
    pub shard_bytes: u64,
}

/// What is about to be written, or was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// So many entries of so many bytes together.
    Entries {
        /// How many.
        count: u64,
        /// Bytes of all.
        bytes: u64,
    },
    /// One shard or whole object of so many bytes.
    Shard {
        /// Its bytes.
        bytes: u64,
    },
}

/// What one supernode keeps, and will keep at most, of all spaces that an operator sponsors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The operator.
    pub operator: OperatorId,
    /// What is kept.
    pub usage: Usage,
    /// What may be.
    pub quota: Quota,
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling {
    /// [`Quota::entry_bytes`].
    Entries,
    /// [`Quota::shard_bytes`].
    Shards,
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entries => "entries",
            Self::Shards => "shards",
        })
    }
}

impl Usage {
    /// The usage after writing `charge`.
    ///
    /// # Errors
    /// [`Error::OverQuota`] if that is more than `quota` allows; nothing changes.
    pub fn charged(self, charge: Charge, quota: &Quota) -> Result<Self, Error> {
        let (ceiling, used, bytes, limit) = match charge {
            Charge::Entries { bytes, .. } => (Ceiling::Entries, self.entry_bytes, bytes, quota.entry_bytes),
            Charge::Shard { bytes } => (Ceiling::Shards, self.shard_bytes, bytes, quota.shard_bytes),
        };
        if used.checked_add(bytes).is_none_or(|sum| sum > limit) {
            return Err(Error::OverQuota { ceiling, used, bytes, limit });
        }
        Ok(self.changed(charge, u64::saturating_add))
    }

    /// The usage after deleting what was charged as `charge`.
    #[must_use]
    pub fn released(self, charge: Charge) -> Self {
        self.changed(charge, u64::saturating_sub)
    }

    fn changed(mut self, charge: Charge, change: impl Fn(u64, u64) -> u64) -> Self {
        match charge {
            Charge::Entries { count, bytes } => {
                self.entries = change(self.entries, count);
                self.entry_bytes = change(self.entry_bytes, bytes);
            }
            Charge::Shard { bytes } => {
                self.shards = change(self.shards, 1);
                self.shard_bytes = change(self.shard_bytes, bytes);
            }
        }
        self
    }
}

impl Allowance {
    /// What is left after writing `charge`.
    ///
    /// # Errors
    /// [`Error::OperatorOverQuota`] if it is more than there was; nothing changes.
    pub fn charged(self, charge: Charge) -> Result<Self, Error> {
        let operator = self.operator;
        let usage = self.usage.charged(charge, &self.quota).map_err(|error| match error {
            Error::OverQuota { ceiling, used, bytes, limit } => {
                Error::OperatorOverQuota { operator, ceiling, used, bytes, limit }
            }
            other => other,
        })?;
        Ok(Self { usage, ..self })
    }
}

impl Default for Quota {
    /// 4 GiB of entries, some four million of a kilobyte, and 64 GiB of shards: a household, not a company.
    fn default() -> Self {
        Self { entry_bytes: 4 * GIB, shard_bytes: 64 * GIB }
    }
}

impl Record for Usage {
    const NAME: &'static str = "usage";
    const LIMIT: usize = 64;
}

impl Record for Quota {
    const NAME: &'static str = "quota";
    const LIMIT: usize = 64;
}

#[cfg(test)]
mod tests;
