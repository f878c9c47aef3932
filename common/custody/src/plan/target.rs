//! Where the shards of an object belong after the ring changed: who has one keeps its index, who has none takes one.

use cosmic_common::id::{ObjectId, PeerId};
use cosmic_erasure::Codec;
use cosmic_ring::Table;

use super::place::Assignment;
use crate::message::shard::Indices;

/// Where the shards of one object belong by a table, seen from where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Who should have which shard: the holders by the table, in its order. Fewer than n in a small ring.
    pub shards: Vec<Assignment>,
    /// Those of them that are not there yet.
    pub wanted: Vec<Assignment>,
    /// Copies that belong nowhere by this table: they go when all others are safe ([`crate::release`]).
    pub strays: Vec<Assignment>,
}

impl Target {
    /// The target of `object`, of which `held` lie where they are. Shards put anew by place would move two to four times
    /// as many (`docs/protocol/ring.md`). Members that may not take any, because they are distrusted, are passed over:
    /// nothing waits for them, and what they have moves on.
    #[must_use]
    pub fn of(
        table: &Table,
        object: &ObjectId,
        codec: Codec,
        held: &[Assignment],
        may_take: impl Fn(&PeerId) -> bool,
    ) -> Self {
        let walk = table.walk(table.partition_of(object.as_bytes())).map(|site| site.peer);
        let holders = walk.filter(may_take).take(codec.n());
        let mut free: Indices = (0_u8..).take(codec.n()).collect();
        let mut places: Vec<(PeerId, Option<u8>)> = Vec::with_capacity(codec.n());
        for holder in holders {
            // The lowest of its shards that nobody before it keeps.
            let own = held.iter().filter(|copy| copy.holder == holder && free.contains(copy.index));
            let index = own.map(|copy| copy.index).min();
            index.into_iter().for_each(|index| free.remove(index));
            places.push((holder, index));
        }
        // What lies elsewhere is passed on before anything is made anew, should there be fewer places than shards.
        let elsewhere: Indices =
            held.iter().map(|copy| copy.index).filter(|index| free.contains(*index)).collect();
        let mut rest = elsewhere
            .iter()
            .chain(free.iter().filter(|index| !elsewhere.contains(*index)))
            .collect::<Vec<_>>()
            .into_iter();
        let shards: Vec<Assignment> = places
            .into_iter()
            .filter_map(|(holder, index)| Some(Assignment { index: index.or_else(|| rest.next())?, holder }))
            .collect();
        Self {
            wanted: shards.iter().filter(|shard| !held.contains(shard)).copied().collect(),
            strays: held.iter().filter(|copy| !shards.contains(copy)).copied().collect(),
            shards,
        }
    }
}
