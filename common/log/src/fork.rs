//! Forks: two entries in one place of one log prove that a writer broke the chain.

use cosmic_common::{
    id::{EntryId, LogId, WriterId},
    limit::HEADER_MAX_BYTES,
    record::Record,
};
use cosmic_identity::signature::{Signature, SignatureError};
use minicbor::{Decode, Encode};

use crate::entry::{Entry, Error};

/// Two signed headers with one log and sequence number; the one with the lower id comes first.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ForkProof {
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    lower: Vec<u8>,
    #[n(2)]
    lower_signature: Signature,
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    higher: Vec<u8>,
    #[n(4)]
    higher_signature: Signature,
}

impl Record for ForkProof {
    const NAME: &'static str = "fork proof";
    const LIMIT: usize = 2 * HEADER_MAX_BYTES + 256;
}

/// Why a fork proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// One of the headers is malformed.
    #[error("a header in the fork proof is malformed")]
    Header(#[from] Error),
    /// The headers do not compete for one place, or stand in the wrong order.
    #[error("the two headers do not name one place in one log, in the order of their ids")]
    NoFork,
    /// The writer did not sign both.
    #[error("the writer did not sign both headers")]
    Signature(#[from] SignatureError),
}

/// A proven fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The log.
    pub log: LogId,
    /// The place with two entries.
    pub seq: u64,
    /// The entry that counts: the one with the lower id.
    pub counts: EntryId,
    /// The entry that is kept aside.
    pub aside: EntryId,
}

impl ForkProof {
    /// The proof from two entries, or nothing if they do not compete. Signatures are not looked at.
    #[must_use]
    pub fn between(one: &Entry, other: &Entry) -> Option<Self> {
        let (a, b) = (one.core(), other.core());
        if a.log != b.log || a.seq != b.seq || one.id() == other.id() {
            return None;
        }
        let (lower, higher) = if one.id() < other.id() { (one, other) } else { (other, one) };
        Some(Self {
            lower: lower.header_bytes().to_vec(),
            lower_signature: *lower.signature(),
            higher: higher.header_bytes().to_vec(),
            higher_signature: *higher.signature(),
        })
    }

    /// What is proven, if `writer` really signed both.
    ///
    /// # Errors
    /// [`ForkError`] if this is no proof against `writer`.
    pub fn verify(&self, writer: &WriterId) -> Result<Fork, ForkError> {
        let lower = Entry::from_parts(self.lower.clone(), self.lower_signature)?;
        let higher = Entry::from_parts(self.higher.clone(), self.higher_signature)?;
        let (a, b) = (lower.core(), higher.core());
        if a.log != b.log || a.seq != b.seq || lower.id() >= higher.id() {
            return Err(ForkError::NoFork);
        }
        lower.verify_signature(writer)?;
        higher.verify_signature(writer)?;
        Ok(Fork { log: a.log, seq: a.seq, counts: lower.id(), aside: higher.id() })
    }

    /// The log both headers name, without verifying anything.
    #[must_use]
    pub fn log(&self) -> Option<LogId> {
        Entry::from_parts(self.lower.clone(), self.lower_signature).ok().map(|entry| entry.core().log)
    }
}
