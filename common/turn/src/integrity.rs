//! What proves who wrote a message, and that it arrived whole.

use std::{fmt, sync::Arc};

use md5::{Digest as _, Md5};
use ring::hmac;

/// Bytes of a MAC.
pub(crate) const MAC_BYTES: usize = 20;
/// What the checksum is XORed with.
const FINGERPRINT_MASK: u32 = 0x5354_554E;
/// The polynomial of CRC-32, reversed.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// The key under which messages of one user are signed.
#[derive(Clone)]
pub struct Key(Arc<hmac::Key>);

impl Key {
    /// Of long-term credentials: the MD5 of all three, as browsers make it. The password is 256 bits of a keyed hash, so the
    /// weakness of MD5 helps nobody.
    #[must_use]
    pub fn long_term(username: &str, realm: &str, password: &str) -> Self {
        let hash = Md5::digest(format!("{username}:{realm}:{password}"));
        Self::of_bytes(&hash)
    }

    /// Of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes)))
    }

    pub(crate) fn sign(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }

    pub(crate) fn holds(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        is_same(self.sign(parts).as_ref(), mac)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Whether both are the same, in a time that tells nothing about where they differ.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

/// The checksum of the last attribute.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    let crc = bytes.fold(u32::MAX, |crc, byte| {
        (0..u8::BITS)
            .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg()))
    });
    !crc ^ FINGERPRINT_MASK
}
