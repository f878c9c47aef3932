//! Health: how many shards of an object are where they can be read, and how near the object is to its end.

use std::collections::BTreeSet;

use cosmic_common::{
    id::{ObjectId, PeerId},
    time::Timestamp,
};
use cosmic_erasure::{Codec, Manifest, coded_anew};
use cosmic_ring::Table;

use crate::{care::Care, liveness::Liveness, message::shard::Indices, plan::place::Assignment};

/// One copy of a shard, as a holder signed for it and as no audit has disproved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldCopy {
    /// Which shard.
    pub index: u8,
    /// Who has it.
    pub holder: PeerId,
    /// Whether it is kept for another (promise 0 in the receipt): it can be read, and does not count.
    pub handed_off: bool,
}

/// What is known of one object: how it is coded and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The object, or the name of its coding if it was coded anew: both belong to the same partition.
    pub object: ObjectId,
    /// How it is coded.
    pub codec: Codec,
    /// The length of each shard.
    pub shard_bytes: u64,
    /// Its copies. Those that an audit found lost are left out ([`crate::audit`]).
    pub copies: Vec<HeldCopy>,
}

/// The ring around it.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a> {
    /// The current table.
    pub table: &'a Table,
    /// Who is there.
    pub liveness: &'a Liveness,
    /// Now.
    pub now: Timestamp,
}

/// How near an object is to its end; the smallest comes first, and what is only to be coded anew after all of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Danger {
    /// Nothing is wrong with the object: it is to be coded anew.
    pub calm: bool,
    /// Shards that can be read now, less k. Below zero nothing can be done until somebody comes back.
    pub margin: i16,
    /// Zones in which such shards lie.
    pub zones: u16,
    /// Since when it has been in danger.
    pub since: Timestamp,
}

/// How an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Shards that count: their holders are there, or away within the patience of the class.
    pub counted: Indices,
    /// Shards whose holders are not offline: these can be read, or may be in a moment.
    pub readable: Indices,
    /// Shards without a holder that counts.
    pub missing: Indices,
    /// Zones of the readable ones.
    pub zones: u16,
    /// What is to be done.
    pub need: Need,
}

/// What an object needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Shards are missing, but so few that it is not worth reading the object yet.
    Later,
    /// Holders are offline, and have until this moment to come back.
    Patience {
        /// When the next one's time is over.
        until: Timestamp,
    },
    /// Nothing is wrong; to be coded anew in the class of the ring ([`crate::recode`]).
    Recode,
    /// To be mended.
    Repair,
    /// To be mended before all others.
    Panic,
}

impl Subject {
    /// The object of this manifest, with these copies.
    #[must_use]
    pub fn new(manifest: &Manifest, copies: Vec<HeldCopy>) -> Self {
        let shard_bytes = u64::try_from(manifest.shard_bytes()).unwrap_or(u64::MAX);
        Self { object: manifest.coding(), codec: manifest.codec(), shard_bytes, copies }
    }

    /// The same object coded anew with `codec`, with the copies of that coding. `length` is that of the object.
    #[must_use]
    pub fn coded_anew(object: &ObjectId, length: usize, codec: Codec, copies: Vec<HeldCopy>) -> Self {
        let shard_bytes = u64::try_from(codec.shard_bytes(length)).unwrap_or(u64::MAX);
        Self { object: coded_anew(object, codec), codec, shard_bytes, copies }
    }

    /// How the object is.
    #[must_use]
    pub fn health(&self, ring: Ring<'_>) -> Health {
        let care = Care::of(self.codec);
        let patience = ring.liveness.patience().of(&care);
        let own = || self.copies.iter().filter(|copy| !copy.handed_off);
        let all = |is_counted: &dyn Fn(&PeerId) -> bool| -> Indices {
            own().filter(|copy| is_counted(&copy.holder)).map(|copy| copy.index).collect()
        };
        let readable = all(&|holder| !ring.liveness.is_offline(holder, ring.now));
        let patient = all(&|holder| !ring.liveness.is_missing(holder, patience, ring.now));
        let in_panic = readable.len() <= care.panic_at;
        let counted = if in_panic { readable } else { patient };
        let missing: Indices =
            (0_u8..).take(self.codec.n()).filter(|index| !counted.contains(*index)).collect();
        // A holder whose time runs out later than another of the same shard decides when that shard goes missing.
        let next_loss = counted
            .iter()
            .filter(|index| !readable.contains(*index))
            .filter_map(|index| {
                let holders = own().filter(|copy| copy.index == index);
                holders.map(|copy| ring.liveness.missing_from(&copy.holder, patience)).max()
            })
            .min();
        let need = if missing.is_empty() && next_loss.is_none() {
            Need::Nothing
        } else if in_panic && !missing.is_empty() {
            Need::Panic
        } else if counted.len() <= care.repair_at
            || (!missing.is_empty() && self.is_on_the_move(ring, readable))
        {
            Need::Repair
        } else {
            next_loss.map_or(Need::Later, |until| Need::Patience { until })
        };
        Health { counted, readable, missing, zones: self.zones(ring, readable), need }
    }

    /// Whether copies lie where they do not belong. They go only when all others are in place, so that an object on the move
    /// is completed, however few shards it misses.
    fn is_on_the_move(&self, ring: Ring<'_>, readable: Indices) -> bool {
        let holders = ring.table.holders(&self.object, self.codec.n());
        let there = || {
            let own = self.copies.iter().filter(|copy| !copy.handed_off);
            own.filter(|copy| !ring.liveness.is_offline(&copy.holder, ring.now))
        };
        there().count() > readable.len() || there().any(|copy| !holders.contains(&copy.holder))
    }

    /// Those who can do the repair: present holders of a copy of it.
    #[must_use]
    pub fn able(&self, ring: Ring<'_>) -> Vec<PeerId> {
        let mut able: Vec<PeerId> = self.copies.iter().map(|copy| copy.holder).collect();
        able.sort_unstable();
        able.dedup();
        able.retain(|holder| ring.liveness.is_present(holder, ring.now));
        able
    }

    /// The copies as assignments, those handed off included.
    pub fn held(&self) -> impl Iterator<Item = Assignment> {
        self.copies.iter().map(|copy| Assignment { index: copy.index, holder: copy.holder })
    }

    fn zones(&self, ring: Ring<'_>, readable: Indices) -> u16 {
        let sites = ring.table.sites();
        let zone = |holder: &PeerId| {
            let place = sites.binary_search_by_key(holder, |site| site.peer).ok()?;
            sites.get(place).map(|site| &site.zone)
        };
        let zones: BTreeSet<_> = self
            .copies
            .iter()
            .filter(|copy| readable.contains(copy.index) && !ring.liveness.is_offline(&copy.holder, ring.now))
            .filter_map(|copy| zone(&copy.holder))
            .collect();
        u16::try_from(zones.len()).unwrap_or(u16::MAX)
    }
}

impl Health {
    /// How near the object is to its end, when it was found in danger at `since`.
    #[must_use]
    pub fn danger(&self, codec: Codec, since: Timestamp) -> Danger {
        let count = |number: usize| i16::try_from(number).unwrap_or(i16::MAX);
        Danger {
            calm: self.need == Need::Recode,
            margin: count(self.readable.len()) - count(codec.k()),
            zones: self.zones,
            since,
        }
    }
}
