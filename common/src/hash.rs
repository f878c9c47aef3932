//! BLAKE3 in the two ways the protocol uses it: derived for ids and records, plain for bulk.

use crate::id::Hash;

/// The plain BLAKE3 hash of `bytes`: shards, chunks and frames, so that bao proofs work on them.
#[must_use]
pub fn plain(bytes: &[u8]) -> Hash {
    Hash::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// The hash of `parts`, one after the other, under a domain of its own (BLAKE3 derive-key mode).
///
/// `context` is one of the names in `docs/protocol.md`, such as `cosmic log 1`. Every part but the
/// last has a fixed size, so that the concatenation is unambiguous.
#[must_use]
pub fn derive(context: &'static str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The hash of `parts` under a secret `key` (BLAKE3 keyed mode); same rule for the parts as for [`derive()`].
#[must_use]
pub fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
