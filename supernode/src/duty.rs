//! Who does what for a space, by the ring: the one file of the entries half that asks it.

use cosmic_common::{
    address::Address,
    id::{Hash, PeerId, SpaceId},
};
pub use cosmic_membership::RingView;
use cosmic_ring::State;

use crate::context::Context;

/// The digest of the tables, which receipts name.
#[must_use]
pub fn digest(view: &RingView) -> Hash {
    view.atlas.digest()
}

/// The replicas of a space: by the ring of the region it is placed in, as far as its genesis is known.
#[must_use]
pub fn replicas(context: &Context, space: &SpaceId) -> Vec<PeerId> {
    let regions = context.residences.regions(space);
    context.ring_view().atlas.ring(space, &regions).replicas_of(space).collect()
}

/// Whether `peer` is a replica of a space.
#[must_use]
pub fn is_replica(context: &Context, peer: &PeerId, space: &SpaceId) -> bool {
    replicas(context, space).contains(peer)
}

/// Whether `peer` may speak the protocols of supernodes: an active member, or a retired one, which passes on what it has.
#[must_use]
pub fn may_ask(view: &RingView, peer: &PeerId) -> bool {
    view.members.get(peer).is_some_and(|member| matches!(member.state, State::Active | State::Retired))
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
