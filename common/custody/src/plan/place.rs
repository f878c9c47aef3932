//! Which holder gets which shard, and who has not signed for his yet.

use cosmic_common::{
    id::{Hash, ObjectId, PeerId},
    time::Timestamp,
};
use cosmic_erasure::Codec;
use cosmic_ring::{Class, Table};

use crate::{count::object::ObjectCustody, error::Error, placement::Placement, standing::Standing};

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

/// The codec for new objects under `table`.
///
/// # Errors
/// [`Error::Class`] if the network's class is none that objects can be coded in.
pub fn codec(table: &Table) -> Result<Codec, Error> {
    let Class { k, n } = table.class();
    Codec::new(k, n).map_err(|source| Error::Class { k, n, source })
}

/// Who should keep which shard of `object`, coded with `codec`, by `table`.
#[must_use]
pub fn plan_placement(table: &Table, object: &ObjectId, codec: Codec) -> Vec<Assignment> {
    assign(&table.holders(object, codec.n()), codec)
}

/// A holder that keeps a shard for another who is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StandIn {
    /// Which shard.
    pub index: u8,
    /// Whose it is.
    pub owner: PeerId,
    /// Who keeps it meanwhile: the next of the walk who has none of the object's shards.
    pub holder: PeerId,
}

/// Who steps in for those holders of `object` who are away; nobody for the last ones if the ring is too small.
#[must_use]
pub fn stand_ins(
    table: &Table,
    object: &ObjectId,
    codec: Codec,
    is_away: impl Fn(&PeerId) -> bool,
) -> Vec<StandIn> {
    let walk = table.walk(table.partition_of(object.as_bytes())).map(|site| site.peer);
    let next = walk.skip(codec.n()).filter(|peer| !is_away(peer));
    plan_placement(table, object, codec)
        .into_iter()
        .filter(|shard| is_away(&shard.holder))
        .zip(next)
        .map(|(shard, holder)| StandIn { index: shard.index, owner: shard.holder, holder })
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
    Placement { object: custody.coding(), ring, time, holders: holders.into_iter().collect() }
}
