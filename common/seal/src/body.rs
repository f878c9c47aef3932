//! Bodies of entries: compressed when that helps, padded, sealed under a key of their own.

use std::fmt;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{AeadInOut as _, Buffer},
};
use cosmic_common::limit::{BODY_PLAIN_MAX_BYTES, BODY_SEALED_MAX_BYTES};
use zeroize::Zeroizing;
use zstd::bulk::{Compressor, Decompressor};

use crate::{error::Error, padding::padme, secret::EpochSecret};

#[cfg(test)]
mod tests;

/// zstd's own default: 243-byte documents give no less at 19, and 3 keeps up with the disk.
const LEVEL: i32 = 3;
/// Shorter bodies are stored: a zstd frame alone takes 13 bytes.
const COMPRESS_MIN_BYTES: usize = 64;
/// No frame is shorter, so that a switched flag looks like a typed word.
const FRAME_MIN_BYTES: usize = 32;
/// Bytes of the nonce that are kept; the other 16 of XChaCha20's 24 are zero.
const NONCE_BYTES: usize = 8;
/// Bytes of Poly1305's tag.
const TAG_BYTES: usize = 16;
/// The byte that ends the content and tells its form; only zeros follow it.
const STORED: u8 = 1;
const COMPRESSED: u8 = 2;

const _: () = assert!(
    NONCE_BYTES + padme(BODY_PLAIN_MAX_BYTES + 1) + TAG_BYTES <= BODY_SEALED_MAX_BYTES,
    "the longest plain body, padded and sealed, must fit the limit of sealed bodies"
);

/// Seals bodies, one after the other; keeps zstd's context and buffer between them.
pub struct BodySealer {
    compressor: Compressor<'static>,
    scratch: Vec<u8>,
}

impl BodySealer {
    /// A sealer for one thread.
    ///
    /// # Errors
    /// [`Error::Compression`] if zstd gets no memory.
    pub fn new() -> Result<Self, Error> {
        let compressor = Compressor::new(LEVEL).map_err(|source| zstd_error("start", source))?;
        Ok(Self { compressor, scratch: Vec::new() })
    }

    /// `plain` as the body of the entry with the bytes `core`: it opens with these alone.
    ///
    /// The same three give the same bytes. Two bodies for one core (a fork) differ in their nonce.
    ///
    /// # Errors
    /// [`Error::BodyTooLong`] if `plain` has more than [`BODY_PLAIN_MAX_BYTES`].
    pub fn seal(&mut self, epoch: &EpochSecret, core: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        if plain.len() > BODY_PLAIN_MAX_BYTES {
            return Err(Error::BodyTooLong { found: plain.len(), limit: BODY_PLAIN_MAX_BYTES });
        }
        let (content, form) = self.shorter(plain)?;
        Ok(seal_frame(epoch, core, content, form))
    }

    /// `plain`, or what zstd makes of it if that leads to a shorter frame.
    fn shorter<'a>(&'a mut self, plain: &'a [u8]) -> Result<(&'a [u8], u8), Error> {
        if plain.len() < COMPRESS_MIN_BYTES {
            return Ok((plain, STORED));
        }
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.compressor
            .compress_to_buffer(plain, &mut self.scratch)
            .map_err(|source| zstd_error("compress", source))?;
        if frame_length(self.scratch.len()) < frame_length(plain.len()) {
            Ok((&self.scratch, COMPRESSED))
        } else {
            Ok((plain, STORED))
        }
    }
}

impl fmt::Debug for BodySealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodySealer")
    }
}

/// Opens bodies, one after the other; keeps zstd's context between them.
pub struct BodyOpener {
    decompressor: Decompressor<'static>,
}

impl BodyOpener {
    /// An opener for one thread.
    ///
    /// # Errors
    /// [`Error::Compression`] if zstd gets no memory.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { decompressor: Decompressor::new().map_err(|source| zstd_error("start", source))? })
    }

    /// The plain bytes of the body `sealed` of the entry with the bytes `core`.
    ///
    /// # Errors
    /// [`Error::BodyRefused`] for another epoch, another core or damaged bytes; the others if the
    /// writer did not seal as version 1 says. At most [`BODY_PLAIN_MAX_BYTES`] are ever decompressed.
    pub fn open(&mut self, epoch: &EpochSecret, core: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let wrong_length = Error::SealedBodyLength { found: sealed.len() };
        if sealed.len() > BODY_SEALED_MAX_BYTES {
            return Err(wrong_length);
        }
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE_BYTES>() else {
            return Err(wrong_length);
        };
        let keys = BodyKeys::of(epoch, core);
        let mut frame = rest.to_vec();
        keys.cipher()
            .decrypt_in_place(&extended(nonce), core, &mut frame as &mut dyn Buffer)
            .map_err(|source| Error::BodyRefused { source })?;
        if keys.nonce(&frame) != *nonce {
            return Err(Error::BodyForm { reason: "its nonce does not follow from its content" });
        }
        let (length, form) = content_of(&frame)?;
        frame.truncate(length);
        match form {
            STORED if length > BODY_PLAIN_MAX_BYTES => {
                Err(Error::BodyTooLong { found: length, limit: BODY_PLAIN_MAX_BYTES })
            }
            STORED => Ok(frame),
            COMPRESSED => self
                .decompressor
                .decompress(&frame, BODY_PLAIN_MAX_BYTES)
                .map_err(|source| zstd_error("decompress", source)),
            _ => Err(Error::BodyForm { reason: "its form is not one of version 1" }),
        }
    }
}

impl fmt::Debug for BodyOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyOpener")
    }
}

/// `content` in its frame, sealed: nonce, frame, tag.
fn seal_frame(epoch: &EpochSecret, core: &[u8], content: &[u8], form: u8) -> Vec<u8> {
    let frame_length = frame_length(content.len());
    let mut sealed = Vec::with_capacity(NONCE_BYTES + frame_length + TAG_BYTES);
    sealed.resize(NONCE_BYTES, 0);
    sealed.extend_from_slice(content);
    sealed.push(form);
    sealed.resize(NONCE_BYTES + frame_length, 0);

    let keys = BodyKeys::of(epoch, core);
    let (nonce_bytes, frame) = sealed.split_at_mut(NONCE_BYTES);
    let nonce = keys.nonce(frame);
    nonce_bytes.copy_from_slice(&nonce);
    #[expect(clippy::expect_used, reason = "the cipher refuses only frames of 256 GiB and more")]
    let tag = keys
        .cipher()
        .encrypt_inout_detached(&extended(&nonce), core, frame.into())
        .expect("a body within its limit can be sealed");
    sealed.extend_from_slice(&tag);
    sealed
}

/// The two keys of one body.
struct BodyKeys {
    sealing: Zeroizing<[u8; 32]>,
    nonce: Zeroizing<[u8; 32]>,
}

impl BodyKeys {
    fn of(epoch: &EpochSecret, core: &[u8]) -> Self {
        let mut keys = Self { sealing: Zeroizing::default(), nonce: Zeroizing::default() };
        let mut output = blake3::Hasher::new_keyed(epoch.body_key()).update(core).finalize_xof();
        output.fill(&mut *keys.sealing);
        output.fill(&mut *keys.nonce);
        keys
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.sealing).into())
    }

    /// The nonce follows from the very bytes sealed, after compression and padding: so one key and
    /// nonce never seal two frames, even if zstd writes one content in two ways.
    fn nonce(&self, frame: &[u8]) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        blake3::Hasher::new_keyed(&self.nonce).update(frame).finalize_xof().fill(&mut nonce);
        nonce
    }
}

fn extended(nonce: &[u8; NONCE_BYTES]) -> XNonce {
    let mut bytes = XNonce::default();
    for (to, from) in bytes.iter_mut().zip(nonce) {
        *to = *from;
    }
    bytes
}

/// Bytes of the frame that holds `content` bytes and the byte behind them.
fn frame_length(content: usize) -> usize {
    padme(content + 1).max(FRAME_MIN_BYTES)
}

/// The length and form of the content of an opened frame.
fn content_of(frame: &[u8]) -> Result<(usize, u8), Error> {
    let end = frame.iter().rposition(|byte| *byte != 0);
    let Some((length, form)) = end.and_then(|end| Some((end, *frame.get(end)?))) else {
        return Err(Error::BodyForm { reason: "nothing ends its content" });
    };
    if frame_length(length) != frame.len() {
        return Err(Error::BodyForm { reason: "it is not padded as it must be" });
    }
    Ok((length, form))
}

fn zstd_error(doing: &'static str, source: std::io::Error) -> Error {
    Error::Compression { doing, limit: BODY_PLAIN_MAX_BYTES, source }
}
