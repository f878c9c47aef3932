//! Key agreement: X-Wing (ML-KEM-768 with X25519), to which epoch secrets are sealed.

use std::fmt;

use cosmic_common::id::Hash;
use cosmic_identity::key::SecretKey;
use cosmic_space::{record::kem_hash, ticket::Ticket};
use hpke::{Deserializable as _, Kem as _, Serializable as _, kem::XWing};

use crate::error::Error;

type PublicKey = <XWing as hpke::Kem>::PublicKey;
type PrivateKey = <XWing as hpke::Kem>::PrivateKey;

/// The secret half: opens the copies made for its public half.
/// Erased from memory when dropped, never shown.
#[derive(Clone)]
pub struct KemSecret {
    private: PrivateKey,
    public: KemPublic,
}

impl KemSecret {
    /// The key pair that follows from `seed` (HPKE's DeriveKeyPair).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (private, public) = XWing::derive_keypair(seed);
        Self { private, public: KemPublic { key: public } }
    }

    /// The key pair of `device` in one space, made for that space so that it links nothing.
    ///
    /// `reference` is what the device's writer key there was derived from
    /// (`docs/protocol/identity.md`).
    #[must_use]
    pub fn of_device(device: &SecretKey, reference: &[u8]) -> Self {
        Self::from_seed(&device.derive("cosmic device kem 1", reference).seed())
    }

    /// The key pair that a ticket carries.
    #[must_use]
    pub fn of_ticket(ticket: &Ticket) -> Self {
        Self::from_seed(&ticket.kem_seed())
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &KemPublic {
        &self.public
    }

    pub(crate) const fn private(&self) -> &PrivateKey {
        &self.private
    }
}

impl fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecret(redacted)")
    }
}

/// The public half: copies are sealed to it.
#[derive(Clone, PartialEq, Eq)]
pub struct KemPublic {
    key: PublicKey,
}

impl KemPublic {
    /// The key in `bytes`.
    ///
    /// # Errors
    /// [`Error::KemKey`] unless they are 1,216 with valid ML-KEM coefficients.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let key =
            PublicKey::from_bytes(bytes).map_err(|source| Error::KemKey { found: bytes.len(), source })?;
        Ok(Self { key })
    }

    /// The bytes to publish.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.key.to_bytes().to_vec()
    }

    /// The name of the key in delegations and copies.
    #[must_use]
    pub fn hash(&self) -> Hash {
        kem_hash(&self.to_bytes())
    }

    pub(crate) const fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl fmt::Debug for KemPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemPublic({})", self.hash().short())
    }
}
