//! Signatures that say what they are about: every kind of signed bytes has a domain of its own.

use std::fmt;

use ed25519_dalek::VerifyingKey;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// What a signature is about, such as `cosmic/entry/1`: the signed bytes are `domain ‖ bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain(&'static str);

impl Domain {
    /// The domain `name`, of the form `cosmic/<type>/<version>`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The text that comes before the signed bytes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    pub(crate) fn prefix(self, bytes: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.0.len() + bytes.len());
        message.extend_from_slice(self.0.as_bytes());
        message.extend_from_slice(bytes);
        message
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with exactly these bytes; it may not verify.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes as on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "Signature({first:02x}{second:02x}…)")
    }
}

impl<C> Encode<C> for Signature {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Signature {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        <[u8; 64]>::try_from(d.bytes()?)
            .map(Self)
            .map_err(|_error| decode::Error::message("a signature has 64 bytes").at(position))
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signer's name is no usable public key.
    #[error("the signer is not a valid Ed25519 public key")]
    PublicKey,
    /// The signature was not made by that key over these bytes and this domain.
    #[error("the signature over {domain} does not verify")]
    Mismatch {
        /// The domain it was checked under.
        domain: &'static str,
    },
}

/// A public key made ready once to check many signatures, as of the entries of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`SignatureError::PublicKey`] if they are no point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_error| SignatureError::PublicKey)?;
        if key.is_weak() { Err(SignatureError::PublicKey) } else { Ok(Self(key)) }
    }

    /// Checks `signature` strictly: canonical encodings only, nothing of small order.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`] if this key did not sign exactly `domain ‖ bytes`.
    pub fn verify(&self, domain: Domain, bytes: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        self.0
            .verify_strict(&domain.prefix(bytes), &ed25519_dalek::Signature::from_bytes(&signature.0))
            .map_err(|_error| SignatureError::Mismatch { domain: domain.0 })
    }
}

/// Checks one signature of `public`, as [`PublicKey::verify`] does.
///
/// # Errors
/// [`SignatureError`] if `public` is no key, or did not sign exactly `domain ‖ bytes`.
pub fn verify(
    public: &[u8; 32],
    domain: Domain,
    bytes: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    PublicKey::from_bytes(public)?.verify(domain, bytes, signature)
}
