//! Who does what for a space, by the ring: the one file of the entries half that asks it.

use std::collections::BTreeMap;

use cosmic_common::{
    address::Address,
    id::{Hash, PeerId, SpaceId},
};

/// Stands in until `cosmic_membership::RingView` is there.
#[derive(Debug, Clone)]
pub struct RingView {
    /// Active members and where they are.
    pub members: BTreeMap<PeerId, Vec<Address>>,
    /// The digest of the table.
    pub digest: Hash,
    /// How many replicas a space has.
    pub replicas: usize,
}

impl RingView {
    /// The digest receipts name.
    #[must_use]
    pub fn table_digest(&self) -> Hash {
        self.digest
    }

    /// The replicas of a space by the current table.
    #[must_use]
    pub fn replicas_of(&self, space: &SpaceId) -> Vec<PeerId> {
        let mut members: Vec<PeerId> = self.members.keys().copied().collect();
        members.sort_by_key(|peer| cosmic_common::hash::derive("stand-in", &[peer.as_bytes(), space.as_bytes()]));
        members.truncate(self.replicas);
        members
    }

    /// Whether `peer` is an active member, and so may speak the protocols of supernodes.
    #[must_use]
    pub fn is_active(&self, peer: &PeerId) -> bool {
        self.members.contains_key(peer)
    }

    /// Where a member can be reached.
    #[must_use]
    pub fn addresses_of(&self, peer: &PeerId) -> Vec<Address> {
        self.members.get(peer).cloned().unwrap_or_default()
    }
}
