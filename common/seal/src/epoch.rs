//! Key epochs: a new one, its secrets sealed to each recipient, and opened again.

use cosmic_common::{
    hash,
    id::{EpochId, Hash, SpaceId},
};
use cosmic_space::record::{CopyRecord, EpochRecord};
use hpke::{
    Deserializable as _, HpkeError, Kem, OpModeR, OpModeS, Serializable as _,
    aead::{AeadTag, ChaCha20Poly1305},
    kdf::HkdfSha256,
    kem::XWing,
    single_shot_open_inout_detached, single_shot_seal_inout_detached_with_rng,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    kem::{KemPublic, KemSecret},
    secret::{EpochSecret, SpaceSecrets},
};

#[cfg(test)]
mod tests;

/// What HPKE's info starts with; space, epoch and recipient follow, 32 bytes each.
const INFO: &[u8] = b"cosmic copy 1";
/// Bytes of X-Wing's ciphertext, of the two secrets, and of Poly1305's tag.
const ENCAPSULATED_BYTES: usize = 1120;
const SECRETS_BYTES: usize = 64;
const TAG_BYTES: usize = 16;
/// Bytes of every sealed copy of version 1.
pub const COPY_SEALED_BYTES: usize = ENCAPSULATED_BYTES + SECRETS_BYTES + TAG_BYTES;

type EncappedKey = <XWing as Kem>::EncappedKey;
type Tag = AeadTag<ChaCha20Poly1305>;

/// What one copy hands over: the space's constant secrets and those of one epoch.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// What names channels and seals chunks.
    pub space: SpaceSecrets,
    /// What seals the bodies of entries.
    pub epoch: EpochSecret,
}

/// A new epoch of `space` that follows `parents`; `seed` is random and used for this alone.
#[must_use]
pub fn new_epoch(
    space: &SpaceId,
    secrets: &SpaceSecrets,
    parents: Vec<EpochId>,
    seed: &[u8; 32],
) -> (EpochRecord, EpochSecret) {
    let secret = hash::derive("cosmic epoch secret 1", &[seed, space.as_bytes()]);
    let secret = EpochSecret::from_bytes(Zeroizing::new(secret));
    let mut parents = parents;
    parents.sort_unstable();
    parents.dedup();
    (EpochRecord { parents, commitment: secret.commitment(space, secrets) }, secret)
}

/// The copy of `secrets` that only `recipient` can open; `seed` is random.
///
/// One seed may serve all copies of one epoch: the randomness of each follows from the recipient too.
///
/// # Errors
/// [`Error::Commitment`] if `record` commits to other secrets, [`Error::CopyNotSealed`] if HPKE refuses.
pub fn copy_for(
    recipient: &KemPublic,
    space: &SpaceId,
    record: &EpochRecord,
    secrets: &Secrets,
    seed: &[u8; 32],
) -> Result<CopyRecord, Error> {
    let epoch = record.id();
    if secrets.epoch.commitment(space, &secrets.space) != record.commitment {
        return Err(Error::Commitment { epoch });
    }
    seal(recipient, space, epoch, secrets, seed)
}

fn seal(
    recipient: &KemPublic,
    space: &SpaceId,
    epoch: EpochId,
    secrets: &Secrets,
    seed: &[u8; 32],
) -> Result<CopyRecord, Error> {
    let name = recipient.hash();
    let parts = [seed.as_slice(), space.as_bytes(), epoch.as_bytes(), name.as_bytes()];
    let seed = Zeroizing::new(hash::derive("cosmic copy randomness 1", &parts));
    let mut randomness = ChaCha20Rng::from_seed(*seed);

    let mut payload = Zeroizing::new(Vec::with_capacity(SECRETS_BYTES));
    payload.extend_from_slice(secrets.epoch.as_bytes());
    payload.extend_from_slice(secrets.space.as_bytes());
    let (encapsulated, tag) =
        single_shot_seal_inout_detached_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            recipient.key(),
            &info(space, &epoch, &name),
            payload.as_mut_slice().into(),
            &[],
            &mut randomness,
        )
        .map_err(|source| Error::CopyNotSealed { epoch, recipient: name, source })?;
    let sealed = [encapsulated.to_bytes().as_slice(), &payload, tag.to_bytes().as_slice()].concat();
    Ok(CopyRecord { epoch, recipient: name, sealed })
}

/// The secrets in `copy`, which are the ones that `record` commits to.
///
/// # Errors
/// [`Error::CopyOfAnotherEpoch`] or [`Error::CopyForAnother`] if the arguments do not belong together,
/// [`Error::CopyRefused`] if it does not open, [`Error::Commitment`] if it holds other secrets.
pub fn open_copy(
    key: &KemSecret,
    space: &SpaceId,
    record: &EpochRecord,
    copy: &CopyRecord,
) -> Result<Secrets, Error> {
    let epoch = record.id();
    if copy.epoch != epoch {
        return Err(Error::CopyOfAnotherEpoch { copy: copy.epoch, record: epoch });
    }
    if copy.recipient != key.public().hash() {
        return Err(Error::CopyForAnother { recipient: copy.recipient });
    }
    let [secret, constant] = open(key, &info(space, &epoch, &copy.recipient), &copy.sealed)
        .map_err(|source| Error::CopyRefused { epoch, source })?;
    let secrets =
        Secrets { space: SpaceSecrets::from_bytes(constant), epoch: EpochSecret::from_bytes(secret) };
    if secrets.epoch.commitment(space, &secrets.space) != record.commitment {
        return Err(Error::Commitment { epoch });
    }
    Ok(secrets)
}

/// The two secrets in the sealed bytes: the epoch's, then the constant.
fn open(key: &KemSecret, info: &[u8], sealed: &[u8]) -> Result<[Zeroizing<[u8; 32]>; 2], HpkeError> {
    let wrong_length = HpkeError::IncorrectInputLength(COPY_SEALED_BYTES, sealed.len());
    let Some((encapsulated, rest)) = sealed.split_first_chunk::<ENCAPSULATED_BYTES>() else {
        return Err(wrong_length);
    };
    let Some((payload, tag)) = rest.split_first_chunk::<SECRETS_BYTES>() else {
        return Err(wrong_length);
    };
    let mut payload = Zeroizing::new(*payload);
    single_shot_open_inout_detached::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        key.private(),
        &EncappedKey::from_bytes(encapsulated)?,
        info,
        payload.as_mut_slice().into(),
        &[],
        &Tag::from_bytes(tag)?,
    )?;
    let mut secrets = [Zeroizing::new([0; 32]), Zeroizing::new([0; 32])];
    for (secret, bytes) in secrets.iter_mut().zip(payload.chunks_exact(32)) {
        secret.copy_from_slice(bytes);
    }
    Ok(secrets)
}

/// Binds a copy to its place: moved to another space, epoch or recipient it does not open.
fn info(space: &SpaceId, epoch: &EpochId, recipient: &Hash) -> Vec<u8> {
    [INFO, space.as_bytes(), epoch.as_bytes(), recipient.as_bytes()].concat()
}
