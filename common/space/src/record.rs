//! The clear bodies of entries: those of the membership channel, and acknowledgements.

use cosmic_common::{
    hash,
    heads::Heads,
    id::{EntryId, EpochId, Hash},
    limit::BODY_PLAIN_MAX_BYTES,
    record::{Record, Shape},
};
use cosmic_log::{entry::Entry, fork::ForkProof, kind::Kind, open::Open};
use minicbor::{Decode, Encode};

use crate::{delegation::Delegation, genesis::Genesis, refusal::Refusal};

/// Logs a cut may name: a writer has one log per channel and incarnation.
pub const CUT_MAX: usize = 2048;
/// An X-Wing public key: ML-KEM-768 (1,184 bytes) and X25519 (32 bytes).
pub const KEM_KEY_BYTES: usize = 1216;
/// Epochs one epoch may follow; more than one only after concurrent rotations.
pub const EPOCH_PARENTS_MAX: usize = 16;
/// The sealed part of a copy: X-Wing's 1,120 bytes, the secrets, a tag, and room for more secrets.
pub const COPY_SEALED_MAX_BYTES: usize = 4096;

/// A delegation taken back.
///
/// What its audience wrote under it counts if it lies inside the cut; outside, only if honest work
/// built on it before its writer knew of the revocation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Revocation {
    /// The entry with the delegation.
    #[n(1)]
    pub target: EntryId,
    /// The heads of the audience's logs, in all channels, as the revoker had seen them.
    #[n(2)]
    pub cut: Heads,
}

/// The body of an entry of kind membership.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MembershipRecord {
    /// The space itself; the second entry of the creator's first membership log.
    #[n(0)]
    Genesis(#[n(0)] Genesis),
    /// Rights given.
    #[n(1)]
    Delegation(#[n(0)] Delegation),
    /// Rights taken back.
    #[n(2)]
    Revocation(#[n(0)] Revocation),
    /// The writer's X-Wing public key.
    #[n(3)]
    KemKey(
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
    ),
    /// Proof that the writer of a log of this space wrote two entries in one place.
    #[n(4)]
    ForkProof(#[n(0)] Open, #[n(1)] Box<ForkProof>),
}

impl Record for MembershipRecord {
    const NAME: &'static str = "membership record";
    const LIMIT: usize = BODY_PLAIN_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}

impl MembershipRecord {
    /// Checks the bounds that the decoder does not know.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let out_of_bounds = |field| Err(Refusal::OutOfBounds { record: Self::NAME, field });
        match self {
            Self::Genesis(genesis) => genesis.check(),
            Self::Delegation(delegation) => delegation.check(),
            Self::Revocation(revocation) if revocation.cut.len() > CUT_MAX => out_of_bounds("cut"),
            Self::KemKey(key) if key.len() != KEM_KEY_BYTES => out_of_bounds("key-agreement key"),
            Self::Revocation(_) | Self::KemKey(_) | Self::ForkProof(..) => Ok(()),
        }
    }
}

/// The name of a key-agreement key.
#[must_use]
pub fn kem_hash(public: &[u8]) -> Hash {
    Hash::from_bytes(hash::derive("cosmic kem key 1", &[public]))
}

/// One generation of a space's secret: body of an entry of kind epoch. It tells nothing of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EpochRecord {
    /// The epochs this one follows; none for the first.
    #[n(1)]
    pub parents: Vec<EpochId>,
    /// Binds the secret, so that nobody can hand different secrets to different members.
    #[n(2)]
    pub commitment: Hash,
}

impl Record for EpochRecord {
    const NAME: &'static str = "epoch";
    const LIMIT: usize = 128 + EPOCH_PARENTS_MAX * 34;
}

impl EpochRecord {
    /// The name of the epoch.
    #[must_use]
    pub fn id(&self) -> EpochId {
        EpochId::from_bytes(hash::derive("cosmic epoch 1", &[&self.to_bytes()]))
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.parents.len() > EPOCH_PARENTS_MAX {
            return Err(Refusal::OutOfBounds { record: Self::NAME, field: "parents" });
        }
        Ok(())
    }
}

/// An epoch's secret sealed to one recipient: body of an entry of kind copy.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CopyRecord {
    /// The epoch.
    #[n(1)]
    pub epoch: EpochId,
    /// The [`kem_hash`] of the recipient's key.
    #[n(2)]
    pub recipient: Hash,
    /// What only the recipient can open.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
}

impl Record for CopyRecord {
    const NAME: &'static str = "copy";
    const LIMIT: usize = 128 + COPY_SEALED_MAX_BYTES;
}

/// Snapshots one acknowledgement may name.
pub const ACKNOWLEDGED_MAX: usize = 64;

/// Which snapshots a device has held against what it has, and found to say the same: body of an acknowledgement in a
/// channel of documents. One that only names heads has no body.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AcknowledgementRecord {
    /// The entries of the snapshots.
    #[n(1)]
    pub snapshots: Vec<EntryId>,
}

impl Record for AcknowledgementRecord {
    const NAME: &'static str = "acknowledgement";
    const LIMIT: usize = 16 + ACKNOWLEDGED_MAX * 34;
}

impl AcknowledgementRecord {
    /// What an entry acknowledges: nothing, unless it is an acknowledgement whose body can be read.
    #[must_use]
    pub fn of(entry: &Entry) -> Vec<EntryId> {
        let is_one = entry.core().kind == Kind::Acknowledgement;
        let body = entry.body().filter(|body| is_one && !body.is_empty());
        let mut snapshots = body
            .and_then(|body| Self::from_bytes(body).ok())
            .map(|record| record.snapshots)
            .unwrap_or_default();
        snapshots.truncate(ACKNOWLEDGED_MAX);
        snapshots
    }
}
