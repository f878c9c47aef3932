//! Signed records: the exact bytes that were signed, kept and forwarded as they came.

use cosmic_common::record::{Record, RecordError};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    key::SecretKey,
    signature::{Domain, Signature, SignatureError, verify},
};

/// A record that travels with a signature.
pub trait SignedRecord: Record {
    /// What the signature is about.
    const DOMAIN: Domain;
    /// The limit of the record together with its signature.
    const SIGNED_LIMIT: usize = Self::LIMIT + 96;
}

/// A record, the bytes it was signed as, and the signature. Nothing is verified until [`Signed::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    value: T,
    bytes: Vec<u8>,
    signature: Signature,
}

/// The wire form `{1: bytes, 2: signature}`, borrowed so that neither way copies more than once.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Envelope<'a> {
    #[b(1)]
    #[cbor(with = "minicbor::bytes")]
    bytes: &'a [u8],
    #[n(2)]
    signature: Signature,
}

impl<T: SignedRecord> Signed<T> {
    /// Signs `value` with `key`.
    #[must_use]
    pub fn sign(value: T, key: &SecretKey) -> Self {
        let bytes = value.to_bytes();
        let signature = key.sign(T::DOMAIN, &bytes);
        Self { value, bytes, signature }
    }

    /// The record, if `public` signed it.
    ///
    /// # Errors
    /// [`SignatureError`] if somebody else did, or nobody.
    pub fn verify(&self, public: &[u8; 32]) -> Result<&T, SignatureError> {
        verify(public, T::DOMAIN, &self.bytes, &self.signature)?;
        Ok(&self.value)
    }
}

impl<T> Signed<T> {
    /// The record as it claims to be, for finding out who should have signed it.
    pub const fn unverified(&self) -> &T {
        &self.value
    }

    /// The exact bytes that were signed, without the domain.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature itself.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl<T: SignedRecord> Encode<()> for Signed<T> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut (),
    ) -> Result<(), encode::Error<W::Error>> {
        e.encode(Envelope { bytes: &self.bytes, signature: self.signature })?.ok()
    }
}

impl<'b, T: SignedRecord> Decode<'b, ()> for Signed<T> {
    fn decode(d: &mut Decoder<'b>, _context: &mut ()) -> Result<Self, decode::Error> {
        let position = d.position();
        let Envelope { bytes, signature } = d.decode()?;
        let value = T::from_bytes(bytes)
            .map_err(|error: RecordError| decode::Error::message(error.to_string()).at(position))?;
        Ok(Self { value, bytes: bytes.to_vec(), signature })
    }
}

impl<T: SignedRecord> Record for Signed<T> {
    const NAME: &'static str = T::NAME;
    const LIMIT: usize = T::SIGNED_LIMIT;
}
