//! Chunks of files: sealed in place under a key that follows from their content.

use std::fmt;

use cosmic_common::{
    hash,
    id::{Hash, ObjectId},
    limit::OBJECT_MAX_BYTES,
};
use minicbor::{Decode, Encode};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::{error::Error, padding::padme};

#[cfg(test)]
mod tests;

/// Bytes of GCM's tag, which stands at the end of the object.
const TAG_BYTES: usize = 16;
/// Plain bytes of the largest chunk: an object less its tag.
pub const CHUNK_PLAIN_MAX_BYTES: usize = OBJECT_MAX_BYTES - TAG_BYTES;

/// What a file says about one of its chunks; it lies in the sealed body of a file entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct ChunkReference {
    /// The object to fetch: the plain hash of the sealed bytes.
    #[n(0)]
    pub object: ObjectId,
    /// The hash of the exact bytes sealed and their length, under a key of the space; the key follows from it.
    #[n(1)]
    pub content: Hash,
    /// Plain bytes, without padding.
    #[n(2)]
    pub length: u32,
}

/// A chunk ready to be stored where nobody can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChunk {
    /// What opens it again, together with the space's chunk secret.
    pub reference: ChunkReference,
    /// The object.
    pub bytes: Vec<u8>,
}

/// Whether a chunk tells its exact length to those who carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Sealed as long as it is: for the equal pieces a long file is cut into.
    Exact,
    /// Padded to a Padmé length, or to the largest chunk: for small files and last pieces.
    Padme,
}

/// What seals the chunks of one space. Erased from memory when dropped, never shown.
#[derive(Clone)]
pub struct ChunkSecret {
    /// Under which contents are hashed.
    contents: Zeroizing<[u8; 32]>,
    /// Under which the hash of a content gives its key.
    keys: Zeroizing<[u8; 32]>,
}

impl ChunkSecret {
    pub(crate) fn new(constant: &[u8; 32]) -> Self {
        Self {
            contents: Zeroizing::new(hash::derive("cosmic chunk content 1", &[constant])),
            keys: Zeroizing::new(hash::derive("cosmic chunk key 1", &[constant])),
        }
    }

    /// `plain` sealed in its own buffer; one with [`sealed_length`] bytes of capacity is never copied.
    ///
    /// Equal chunks of one space are equal sealed, so that they are stored once.
    ///
    /// # Errors
    /// [`Error::ChunkTooLong`] if `plain` has more than [`CHUNK_PLAIN_MAX_BYTES`].
    pub fn seal(&self, plain: Vec<u8>, padding: Padding) -> Result<SealedChunk, Error> {
        let mut bytes = plain;
        let too_long = Error::ChunkTooLong { found: bytes.len(), limit: CHUNK_PLAIN_MAX_BYTES };
        let length = match u32::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= CHUNK_PLAIN_MAX_BYTES => length,
            _ => return Err(too_long),
        };
        let sealed_length = sealed_length(bytes.len(), padding);
        bytes.reserve_exact(sealed_length - bytes.len());
        bytes.resize(sealed_length - TAG_BYTES, 0);

        let content = self.content(&bytes, length);
        #[expect(clippy::expect_used, reason = "the cipher refuses only messages of 64 GiB and more")]
        let tag = self
            .cipher(&content)
            .seal_in_place_separate_tag(zero_nonce(), Aad::empty(), &mut bytes)
            .expect("a chunk within its limit can be sealed");
        bytes.extend_from_slice(tag.as_ref());
        let object = ObjectId::from_bytes(*hash::plain(&bytes).as_bytes());
        Ok(SealedChunk { reference: ChunkReference { object, content, length }, bytes })
    }

    /// The plain bytes of the chunk, in the buffer of `sealed`.
    ///
    /// That `sealed` is the object named is not asked again: only the exact content opens.
    ///
    /// # Errors
    /// [`Error::ChunkLength`], [`Error::ChunkRefused`] or [`Error::ChunkContent`] if `sealed` is not
    /// the chunk that `reference` names.
    pub fn open(&self, reference: &ChunkReference, sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut bytes = sealed;
        let wrong_length = Error::ChunkLength { found: bytes.len(), plain: reference.length };
        let Ok(length) = usize::try_from(reference.length) else { return Err(wrong_length) };
        let fits = |padding| length <= CHUNK_PLAIN_MAX_BYTES && bytes.len() == sealed_length(length, padding);
        if !fits(Padding::Exact) && !fits(Padding::Padme) {
            return Err(wrong_length);
        }
        let frame = self
            .cipher(&reference.content)
            .open_in_place(zero_nonce(), Aad::empty(), &mut bytes)
            .map_err(|source| Error::ChunkRefused { source })?;
        let padding_is_zero = frame.get(length..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        if !padding_is_zero || self.content(frame, reference.length) != reference.content {
            return Err(Error::ChunkContent);
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// The length stands in the hash too, so that a reference with another length opens nothing.
    fn content(&self, frame: &[u8], length: u32) -> Hash {
        Hash::from_bytes(hash::keyed(&self.contents, &[frame, &length.to_be_bytes()]))
    }

    fn cipher(&self, content: &Hash) -> LessSafeKey {
        let key = Zeroizing::new(hash::keyed(&self.keys, &[content.as_bytes()]));
        #[expect(clippy::expect_used, reason = "32 bytes are what AES-256 asks for")]
        let key = UnboundKey::new(&AES_256_GCM, &*key).expect("a key of the right length");
        LessSafeKey::new(key)
    }
}

/// A key seals one content and nothing else in the world; hence its only nonce is zero.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

impl fmt::Debug for ChunkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkSecret(redacted)")
    }
}

/// Bytes of the object that a chunk of `plain` bytes becomes.
#[must_use]
pub fn sealed_length(plain: usize, padding: Padding) -> usize {
    let frame = match padding {
        Padding::Exact => plain,
        // The Padmé length of the largest chunks would not fit an object: they are padded to the largest.
        Padding::Padme => padme(plain).min(CHUNK_PLAIN_MAX_BYTES.max(plain)),
    };
    frame + TAG_BYTES
}
