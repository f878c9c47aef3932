//! `did:key`: a peer's public key as the text other systems understand (W3C did:key, multicodec ed25519-pub).

use cosmic_common::id::PeerId;

/// The multicodec prefix of an Ed25519 public key.
const ED25519_PUB: [u8; 2] = [0xed, 0x01];
/// The scheme and the multibase letter of base58btc.
const PREFIX: &str = "did:key:z";

/// Why a text is not the `did:key` of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DidError {
    /// It does not start with `did:key:z`.
    #[error("a did:key starts with {PREFIX}")]
    Prefix,
    /// It is not base58, or not the bytes of an Ed25519 key.
    #[error("this did:key holds no Ed25519 public key")]
    Key,
}

/// The `did:key` of `peer`.
#[must_use]
pub fn to_did(peer: &PeerId) -> String {
    let mut bytes = ED25519_PUB.to_vec();
    bytes.extend_from_slice(peer.as_bytes());
    format!("{PREFIX}{}", bs58::encode(bytes).into_string())
}

/// The peer a `did:key` names.
///
/// # Errors
/// [`DidError`] if the text is something else.
pub fn from_did(text: &str) -> Result<PeerId, DidError> {
    let encoded = text.strip_prefix(PREFIX).ok_or(DidError::Prefix)?;
    // Into a buffer of the right size, so that a long text costs no more than a right one.
    let mut bytes = [0; ED25519_PUB.len() + PeerId::SIZE];
    let length = bs58::decode(encoded).onto(&mut bytes).map_err(|_error| DidError::Key)?;
    let key = bytes.get(..length).and_then(|bytes| bytes.strip_prefix(&ED25519_PUB));
    PeerId::try_from(key.ok_or(DidError::Key)?).map_err(|_error| DidError::Key)
}
