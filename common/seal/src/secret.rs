//! The secrets of a space: one that is constant, and one for each key epoch.

use std::fmt;

use cosmic_common::{
    hash,
    id::{ChannelId, Hash, SpaceId},
};
use zeroize::Zeroizing;

use crate::chunk::ChunkSecret;

/// What all members of a space share for its whole life: it names channels and seals chunks.
/// Erased from memory when dropped, never shown.
#[derive(Clone)]
pub struct SpaceSecrets {
    constant: Zeroizing<[u8; 32]>,
    channels: Zeroizing<[u8; 32]>,
}

impl SpaceSecrets {
    /// The secrets of a new space; `seed` is random and used for this alone.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self::from_bytes(Zeroizing::new(hash::derive("cosmic space constant 1", &[seed])))
    }

    /// The secrets kept as [`as_bytes`](Self::as_bytes).
    #[must_use]
    pub fn from_bytes(constant: Zeroizing<[u8; 32]>) -> Self {
        let channels = Zeroizing::new(hash::derive("cosmic channel key 1", &[&*constant]));
        Self { constant, channels }
    }

    /// The 32 bytes to keep where only the owner of the device can read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.constant
    }

    /// The channel of the collection called `name`: whoever lacks the secret cannot try names.
    #[must_use]
    pub fn channel_id(&self, name: &str) -> ChannelId {
        ChannelId::from_bytes(hash::keyed(&self.channels, &[&[COLLECTION], name.as_bytes()]))
    }

    /// The channel of the files, which no collection's name can collide with.
    #[must_use]
    pub fn files_channel_id(&self) -> ChannelId {
        ChannelId::from_bytes(hash::keyed(&self.channels, &[&[FILES]]))
    }

    /// What seals the cards by which devices of the space find each other, as the bodies of an epoch are sealed.
    #[must_use]
    pub fn meeting_secret(&self) -> EpochSecret {
        EpochSecret::from_bytes(Zeroizing::new(hash::derive("cosmic meeting 1", &[&*self.constant])))
    }

    /// What seals the chunks of files.
    #[must_use]
    pub fn chunk_secret(&self) -> ChunkSecret {
        ChunkSecret::new(&self.constant)
    }
}

/// The first byte under the channel key: a channel of a collection, or the one of files.
const COLLECTION: u8 = 0;
const FILES: u8 = 1;

impl fmt::Debug for SpaceSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpaceSecrets(redacted)")
    }
}

/// The secret of one key epoch: it seals the bodies of entries.
/// Erased from memory when dropped, never shown.
#[derive(Clone)]
pub struct EpochSecret {
    secret: Zeroizing<[u8; 32]>,
    bodies: Zeroizing<[u8; 32]>,
}

impl EpochSecret {
    /// The secret kept as [`as_bytes`](Self::as_bytes).
    #[must_use]
    pub fn from_bytes(secret: Zeroizing<[u8; 32]>) -> Self {
        let bodies = Zeroizing::new(hash::derive("cosmic body key 1", &[&*secret]));
        Self { secret, bodies }
    }

    /// The 32 bytes to keep where only the owner of the device can read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.secret
    }

    /// What an epoch record commits to: these two secrets, in this space.
    #[must_use]
    pub fn commitment(&self, space: &SpaceId, secrets: &SpaceSecrets) -> Hash {
        let parts = [space.as_bytes().as_slice(), self.as_bytes(), secrets.as_bytes()];
        Hash::from_bytes(hash::derive("cosmic epoch commitment 1", &parts))
    }

    /// The key under which the cores of entries give the keys of their bodies.
    pub(crate) fn body_key(&self) -> &[u8; 32] {
        &self.bodies
    }
}

impl fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochSecret(redacted)")
    }
}
