//! Evidence: an auditor's signed word that a holder could not show a shard it had signed for.

use cosmic_common::{
    id::{Hash, ObjectId, PeerId},
    record::Record,
    time::Timestamp,
};
use cosmic_identity::{
    key::SecretKey,
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::{
    error::Error,
    receipt::{Held, Promise, Receipt},
};

/// What an auditor found.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Evidence {
    /// Who asked, and signs.
    #[n(1)]
    pub auditor: PeerId,
    /// The holder's own signed receipt for the shard.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub receipt: Vec<u8>,
    /// What came instead of a proof.
    #[n(3)]
    pub finding: Finding,
    /// When, by the auditor's clock.
    #[n(4)]
    pub time: Timestamp,
}

/// What came instead of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Finding {
    /// The holder says that it does not have the shard.
    #[n(0)]
    Denied,
    /// Bytes that do not lead to the shard's hash.
    #[n(1)]
    Wrong,
}

/// The shard a piece of evidence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suspect {
    /// Who should have it.
    pub holder: PeerId,
    /// The object.
    pub object: ObjectId,
    /// Which shard.
    pub index: u8,
}

/// Evidence that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// Who asked.
    pub auditor: PeerId,
    /// About what.
    pub suspect: Suspect,
    /// The hash the holder signed for.
    pub hash: Hash,
    /// What came instead of a proof.
    pub finding: Finding,
    /// When.
    pub time: Timestamp,
}

impl Evidence {
    /// Signs the evidence.
    ///
    /// # Errors
    /// [`Error::AnothersEvidence`] if `key` is not the auditor's.
    pub fn sign(self, key: &SecretKey) -> Result<Signed<Self>, Error> {
        if key.peer_id() == self.auditor {
            Ok(Signed::sign(self, key))
        } else {
            Err(Error::AnothersEvidence { auditor: self.auditor })
        }
    }

    /// What the evidence in `bytes` charges whom with, if its auditor signed it and the holder had signed for the shard.
    ///
    /// # Errors
    /// [`Error`] that says what is wrong with it.
    pub fn open(bytes: &[u8]) -> Result<Charged, Error> {
        let signed = Signed::<Self>::from_bytes(bytes)?;
        let auditor = signed.unverified().auditor;
        let Self { receipt, finding, time, .. } =
            signed.verify(auditor.as_bytes()).map_err(|source| Error::ForgedEvidence { auditor, source })?;
        let receipt = Receipt::open(receipt)?;
        let holder = receipt.holder;
        match receipt.held {
            Held::Shard { object, index, hash } if receipt.promise == Promise::Keeps && holder != auditor => {
                let suspect = Suspect { holder, object, index };
                Ok(Charged { auditor, suspect, hash, finding: *finding, time: *time })
            }
            Held::Log { .. } | Held::Shard { .. } | Held::Object { .. } => Err(Error::Foreign { holder }),
        }
    }
}

impl Record for Evidence {
    const NAME: &'static str = "evidence";
    // A signed receipt of at most 608 bytes, the auditor and numbers.
    const LIMIT: usize = 704;
}

impl SignedRecord for Evidence {
    const DOMAIN: Domain = Domain::new("cosmic/evidence/1");
}
