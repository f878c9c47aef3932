//! Forks: two entries in one place of one log prove that a writer broke the chain.

use cosmic_common::{
    id::{EntryId, Hash, LogId, WriterId},
    limit::HEADER_MAX_BYTES,
    record::Record,
};
use cosmic_identity::signature::{PublicKey, Signature, SignatureError};
use minicbor::{Decode, Encode};

use crate::{
    entry::{Core, DOMAIN, Entry, Error, entry_id},
    frame::read_core,
};

/// Two signed headers with one log and sequence number; the one with the lower id comes first.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ForkProof {
    #[n(1)]
    lower: SignedHeader,
    #[n(2)]
    higher: SignedHeader,
}

/// An entry without its body, as a proof carries it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct SignedHeader {
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    core: Vec<u8>,
    #[n(2)]
    body_bytes: u64,
    #[n(3)]
    body_hash: Hash,
    #[n(4)]
    signature: Signature,
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
    /// The entry before the one that counts.
    pub counts_follows: Option<EntryId>,
    /// The entry before the one kept aside; another than `counts_follows` if the log parted earlier.
    pub aside_follows: Option<EntryId>,
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
        Some(Self { lower: SignedHeader::of(lower), higher: SignedHeader::of(higher) })
    }

    /// What is proven, if `writer` really signed both.
    ///
    /// # Errors
    /// [`ForkError`] if this is no proof against `writer`.
    pub fn verify(&self, writer: &WriterId) -> Result<Fork, ForkError> {
        let (a, b) = (self.lower.core()?, self.higher.core()?);
        let (counts, aside) = (self.lower.id(), self.higher.id());
        if a.log != b.log || a.seq != b.seq || counts >= aside {
            return Err(ForkError::NoFork);
        }
        let key = PublicKey::from_bytes(writer.as_bytes())?;
        key.verify(DOMAIN, counts.as_bytes(), &self.lower.signature)?;
        key.verify(DOMAIN, aside.as_bytes(), &self.higher.signature)?;
        Ok(Fork {
            log: a.log,
            seq: a.seq,
            counts,
            aside,
            counts_follows: a.previous,
            aside_follows: b.previous,
        })
    }

    /// The log the headers name, without verifying anything.
    #[must_use]
    pub fn log(&self) -> Option<LogId> {
        self.lower.core().ok().map(|core| core.log)
    }
}

impl SignedHeader {
    fn of(entry: &Entry) -> Self {
        Self {
            core: entry.core_bytes().to_vec(),
            body_bytes: entry.body_bytes(),
            body_hash: *entry.body_hash(),
            signature: *entry.signature(),
        }
    }

    fn core(&self) -> Result<Core, Error> {
        let core = read_core(&self.core)?;
        core.check()?;
        Ok(core)
    }

    fn id(&self) -> EntryId {
        entry_id(&self.core, self.body_bytes, &self.body_hash)
    }
}
