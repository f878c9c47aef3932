//! New holders for shards that have none: the next on the object's walk, within the limits of zones and operators.

use std::collections::BTreeMap;

use cosmic_common::id::{ObjectId, OperatorId, PeerId};
use cosmic_erasure::Codec;
use cosmic_ring::{Site, Table};

use super::{place::Assignment, rendezvous::rendezvous};
use crate::message::shard::Indices;

/// Who may take shards of one object.
pub struct Fill<'a, F> {
    /// The current table.
    pub table: &'a Table,
    /// The object.
    pub object: ObjectId,
    /// How it is coded.
    pub codec: Codec,
    /// Whether a member may get a shard: it is there, has room, and is not distrusted.
    pub may_take: F,
}

/// Who gets which of the missing shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// Shards with their new holders.
    pub places: Vec<Assignment>,
    /// Shards for which nobody is left: every member that may take one has one already.
    pub homeless: Indices,
    /// How many of the places leave more than n - k shards to one zone or operator, because no others are there.
    pub beyond_limits: usize,
}

/// How much one zone and one operator may have of an object.
#[derive(Clone, Copy)]
struct Limits {
    zone: usize,
    operator: usize,
}

#[derive(Default)]
struct Taken<'a> {
    zones: BTreeMap<&'a str, usize>,
    operators: BTreeMap<OperatorId, usize>,
}

impl<'a> Taken<'a> {
    fn add(&mut self, site: &'a Site) {
        *self.zones.entry(site.zone.as_str()).or_default() += 1;
        *self.operators.entry(site.operator).or_default() += 1;
    }

    fn allows(&self, site: &Site, limits: Limits) -> bool {
        let of = |count: Option<&usize>| count.copied().unwrap_or(0);
        of(self.zones.get(site.zone.as_str())) < limits.zone
            && of(self.operators.get(&site.operator)) < limits.operator
    }
}

impl<F: Fn(&PeerId) -> bool> Fill<'_, F> {
    /// New holders for `missing`, when `occupied` have a shard of the object already.
    ///
    /// Equal parts for the zones are tried first, then up to n - k for each zone and operator, and beyond that only
    /// where nobody else is there: one shard too many in a zone is safer than one too few.
    #[must_use]
    pub fn fill(&self, missing: Indices, occupied: &[PeerId]) -> Filled {
        let walk = self.table.walk(self.table.partition_of(self.object.as_bytes()));
        let mut candidates: Vec<&Site> = walk.collect();
        let beyond = |site: &&Site| !candidates.iter().any(|known| known.peer == site.peer);
        let others: Vec<&Site> = self.table.sites().iter().filter(beyond).collect();
        let order = rendezvous(&self.object, others.iter().map(|site| site.peer));
        let found = order.iter().filter_map(|peer| others.iter().find(|site| site.peer == *peer).copied());
        let found: Vec<&Site> = found.collect();
        candidates.extend(found);

        let is_occupied = |site: &&Site| occupied.contains(&site.peer);
        let mut taken = Taken::default();
        self.table.sites().iter().filter(is_occupied).for_each(|site| taken.add(site));
        candidates.retain(|site| !is_occupied(site) && (self.may_take)(&site.peer));
        let zones = {
            let mut zones: Vec<&str> = candidates.iter().map(|site| site.zone.as_str()).collect();
            zones.extend(taken.zones.keys());
            zones.sort_unstable();
            zones.dedup();
            zones.len().max(1)
        };
        let losses = (self.codec.n() - self.codec.k()).max(1);
        let equal = self.codec.n().div_ceil(zones);
        let rules = [
            Limits { zone: equal.min(losses), operator: losses },
            Limits { zone: losses, operator: losses },
            Limits { zone: usize::MAX, operator: usize::MAX },
        ];
        let mut filled = Filled::default();
        for index in missing.iter() {
            let place = rules.iter().enumerate().find_map(|(rule, limits)| {
                let place = candidates.iter().position(|site| taken.allows(site, *limits))?;
                Some((rule, candidates.remove(place)))
            });
            match place {
                Some((rule, site)) => {
                    taken.add(site);
                    filled.beyond_limits += usize::from(rule + 1 == rules.len());
                    filled.places.push(Assignment { index, holder: site.peer });
                }
                None => filled.homeless.insert(index),
            }
        }
        filled
    }
}

impl<F> std::fmt::Debug for Fill<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fill")
            .field("object", &self.object)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
