//! This device: its secret key, the life of its data, and the keys it has in each space.

use std::fmt;

use cosmic_common::{
    hash,
    id::{Incarnation, PeerId, SpaceId},
};
use cosmic_identity::key::SecretKey;
use cosmic_seal::kem::KemSecret;
use zeroize::Zeroizing;

/// A device while its process runs.
///
/// Every run is an incarnation of its own: what it writes goes into logs that no other run, copy or restored
/// backup of the data directory can have (`docs/decisions/0005-incarnation-per-run.md`).
#[derive(Clone)]
pub struct Device {
    key: SecretKey,
    incarnation: Incarnation,
}

impl Device {
    /// The device with this key in the run named `incarnation`, which must be random.
    #[must_use]
    pub const fn new(key: SecretKey, incarnation: Incarnation) -> Self {
        Self { key, incarnation }
    }

    /// The device's name.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.key.peer_id()
    }

    /// The device's key.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// This run.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The incarnation of the logs in which this run writes snapshots: apart from its changes, so that packs of changes
    /// can go as a whole.
    #[must_use]
    pub fn snapshots(&self) -> Incarnation {
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            hash::derive("cosmic incarnation of snapshots 1", &[self.incarnation.as_bytes()]);
        Incarnation::from_bytes(bytes)
    }

    /// The device's writer key in a space: its reference is the genesis nonce for who created it, the space id for
    /// everybody else.
    #[must_use]
    pub fn writer_key(&self, reference: &[u8]) -> SecretKey {
        self.key.writer_key(reference)
    }

    /// The device's key-agreement key in a space.
    #[must_use]
    pub fn kem_secret(&self, space: &SpaceId) -> KemSecret {
        let parts: [&[u8]; 2] = [&*self.key.seed(), space.as_bytes()];
        KemSecret::from_seed(&Zeroizing::new(hash::derive("cosmic device kem 1", &parts)))
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("peer", &self.peer())
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}
