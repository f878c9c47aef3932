//! Which holder gets which shard, and who has not signed for his yet.

use cosmic_common::{
    id::{Hash, PeerId},
    time::Timestamp,
};
use cosmic_erasure::Codec;

use crate::{count::object::ObjectCustody, placement::Placement, standing::Standing};

/// One shard and who should keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assignment {
    /// Which shard.
    pub index: u8,
    /// Who should keep it.
    pub holder: PeerId,
}

/// Gives shard i to the i-th of `holders`. With fewer holders than shards the last shards have no place: two shards of
/// one object on one holder would be lost together.
#[must_use]
pub fn assign(holders: &[PeerId], codec: Codec) -> Vec<Assignment> {
    (0_u8..)
        .zip(holders)
        .take(codec.n())
        .map(|(index, holder)| Assignment { index, holder: *holder })
        .collect()
}

/// The assignments whose holders have not signed for their shard in the life they live now.
#[must_use]
pub fn owed(plan: &[Assignment], custody: &ObjectCustody, standing: &Standing) -> Vec<Assignment> {
    plan.iter().filter(|shard| !custody.keeps(&shard.holder, shard.index, standing)).copied().collect()
}

/// The placement record that follows from the receipts so far; where two hold one shard, the one of the plan is named.
#[must_use]
pub fn placement_record(
    plan: &[Assignment],
    custody: &ObjectCustody,
    standing: &Standing,
    ring: Hash,
    time: Timestamp,
) -> Placement {
    let mut holders = custody.holdings(standing);
    holders.reverse();
    let planned = |index: u8, holder: &PeerId| plan.contains(&Assignment { index, holder: *holder });
    holders.sort_by_key(|(index, holding)| planned(*index, &holding.peer));
    Placement { object: custody.object(), ring, time, holders: holders.into_iter().collect() }
}
