//! Who does what for a space, by the ring: the one file of the entries half that asks it.

use cosmic_common::{
    address::Address,
    id::{Hash, PeerId, SpaceId},
};
pub use cosmic_membership::RingView;

/// The digest of the table, which receipts name.
#[must_use]
pub fn digest(view: &RingView) -> Hash {
    view.table.digest()
}

/// The replicas of a space by the current table.
#[must_use]
pub fn replicas(view: &RingView, space: &SpaceId) -> Vec<PeerId> {
    view.table.replicas_of(space).collect()
}

/// Whether `peer` is an active member, and so may speak the protocols of supernodes.
#[must_use]
pub fn is_active(view: &RingView, peer: &PeerId) -> bool {
    view.members.is_active(peer)
}

/// All active members.
#[must_use]
pub fn members(view: &RingView) -> Vec<PeerId> {
    view.members.active().map(|member| member.peer).collect()
}

/// Where a member can be reached.
#[must_use]
pub fn addresses(view: &RingView, peer: &PeerId) -> Vec<Address> {
    view.addresses_of(peer).to_vec()
}
