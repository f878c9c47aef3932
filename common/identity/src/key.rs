//! Secret keys: 32-byte seeds that sign and from which further keys follow.

use std::fmt;

use cosmic_common::{
    hash,
    id::{OperatorId, PeerId, WriterId},
};
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use crate::signature::{Domain, Signature};

/// The context under which a device's writer keys follow from its one secret.
const WRITER_KEY: &str = "cosmic writer key 1";

/// An Ed25519 secret key (RFC 8032). Erased from memory when dropped, never shown.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
}

impl SecretKey {
    /// The key that follows from `seed`.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { signing: SigningKey::from_bytes(seed) }
    }

    /// The 32 bytes to keep in a file that only its owner can read.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The public half as the name of a process.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(self.public())
    }

    /// The public half as the name of a writer in a space.
    #[must_use]
    pub fn writer_id(&self) -> WriterId {
        WriterId::from_bytes(self.public())
    }

    /// The public half as the name of an operator.
    #[must_use]
    pub fn operator_id(&self) -> OperatorId {
        OperatorId::from_bytes(self.public())
    }

    /// The signature over `domain ‖ bytes`.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Signature {
        Signature::from_bytes(self.signing.sign(&domain.prefix(bytes)).to_bytes())
    }

    /// Another key that follows from this one, `context` and `info`; one does not tell the other.
    #[must_use]
    pub fn derive(&self, context: &'static str, info: &[u8]) -> Self {
        let seed = Zeroizing::new(hash::derive(context, &[&*self.seed(), info]));
        Self::from_seed(&seed)
    }

    /// The writer key of this device in the space that `reference` stands for: the nonce of the
    /// genesis for its creator (whose key is part of the space's id), the id of the space for all others.
    #[must_use]
    pub fn writer_key(&self, reference: &[u8]) -> Self {
        self.derive(WRITER_KEY, reference)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.peer_id().short())
    }
}
