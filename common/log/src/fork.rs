//! Proof that a writer gave one place in its log to two entries.

use cosmic_common::{
    id::{EntryId, LogId, WriterId},
    limit::HEADER_MAX_BYTES,
    record::Record,
};
use cosmic_identity::signature::{PublicKey, Signature};
use minicbor::{Decode, Encode};

use crate::{
    entry::{ENTRY_DOMAIN, Entry},
    header::{Core, Header},
    refusal::Refusal,
};

/// Two signed headers with one log and one number. The one with the lower id counts, and so stands first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct ForkProof {
    #[n(1)]
    first: Header,
    #[n(2)]
    first_signature: Signature,
    #[n(3)]
    second: Header,
    #[n(4)]
    second_signature: Signature,
}

impl Record for ForkProof {
    const NAME: &'static str = "fork proof";
    /// Two headers, two signatures, their heads and hashes.
    const LIMIT: usize = 2 * HEADER_MAX_BYTES + 512;
}

/// What a fork proof proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The log that forked; its incarnation is closed.
    pub log: LogId,
    /// The place that was given twice; everything before it stays valid.
    pub seq: u64,
    /// The entry that counts there: the one with the lower id.
    pub counts: EntryId,
    /// The entry that is kept aside, with all that follows it.
    pub aside: EntryId,
}

impl ForkProof {
    /// The proof that two entries make. Their signatures are not looked at.
    ///
    /// # Errors
    /// [`Refusal::NoFork`] if they are one entry, or have different places.
    pub fn between(ours: &Entry, theirs: &Entry) -> Result<Self, Refusal> {
        let place = |entry: &Entry| (entry.core().log, entry.core().seq);
        if place(ours) != place(theirs) || ours.id() == theirs.id() {
            return Err(Refusal::NoFork);
        }
        let (first, second) = if ours.id() < theirs.id() { (ours, theirs) } else { (theirs, ours) };
        Ok(Self {
            first: first.header(),
            first_signature: *first.signature(),
            second: second.header(),
            second_signature: *second.signature(),
        })
    }

    /// The log that the proof speaks of, to find its writer; nothing is verified.
    ///
    /// # Errors
    /// [`Refusal::Record`] if the first header cannot be read.
    pub fn unverified_log(&self) -> Result<LogId, Refusal> {
        Ok(Core::from_bytes(&self.first.core)?.log)
    }

    /// What is proven, if `writer`, who must be the writer of that log, signed both.
    ///
    /// # Errors
    /// [`Refusal`] if it proves nothing.
    pub fn verify(&self, writer: &WriterId) -> Result<Fork, Refusal> {
        let Core { log, seq, .. } = Core::from_bytes(&self.first.core)?;
        let other = Core::from_bytes(&self.second.core)?;
        let (counts, aside) = (self.first.id(), self.second.id());
        if (log, seq) != (other.log, other.seq) || counts >= aside {
            return Err(Refusal::NoFork);
        }
        let key = PublicKey::from_bytes(writer.as_bytes())?;
        key.verify(ENTRY_DOMAIN, counts.as_bytes(), &self.first_signature)?;
        key.verify(ENTRY_DOMAIN, aside.as_bytes(), &self.second_signature)?;
        Ok(Fork { log, seq, counts, aside })
    }
}
