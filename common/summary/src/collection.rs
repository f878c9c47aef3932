//! What aggregators say of their regions, as far as it counts: the newest of each.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use cosmic_common::{id::PeerId, record::Record as _, time::Timestamp};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Label, Members};

use crate::{
    aggregators::{AGGREGATORS, aggregators, hour},
    error::Error,
    message::{GATHERED_MAX, Gathered},
    record::{RegionSummary, ZoneTable, open},
    reports::is_fresh,
};

/// One aggregator's word on its region.
#[derive(Debug, Clone)]
pub struct Told {
    /// The region.
    pub region: Signed<RegionSummary>,
    /// Its zones.
    pub zones: Signed<ZoneTable>,
}

/// The newest word of each aggregator on its region.
#[derive(Debug, Clone, Default)]
pub struct Collection(BTreeMap<Label, BTreeMap<PeerId, Told>>);

impl Told {
    fn time(&self) -> Timestamp {
        self.region.unverified().time
    }
}

impl Collection {
    /// Takes the word of an aggregator; whether it is news.
    ///
    /// # Errors
    /// [`Error`] that says why it does not count.
    pub fn take(
        &mut self,
        told: Told,
        members: &Members,
        now: Timestamp,
        age: Duration,
    ) -> Result<bool, Error> {
        let region = told.region.unverified();
        let (of, name, time) = (region.aggregator, region.region.clone(), region.time);
        let known = self.0.get(&name).and_then(|region| region.get(&of));
        if known.is_some_and(|known| known.time() >= time) {
            return Ok(false);
        }
        if !is_fresh(time, now, age) {
            return Err(Error::Stale(of));
        }
        if !aggregators(members, &name, hour(time)).contains(&of) {
            return Err(Error::NotAnAggregator { of, region: name });
        }
        let zones = told.zones.unverified();
        if (zones.aggregator, &zones.region, zones.time) != (of, &name, time) {
            return Err(Error::Mismatch(of));
        }
        open(&told.region, members.network())?;
        open(&told.zones, members.network())?;
        self.0.entry(name).or_default().insert(of, told);
        Ok(true)
    }

    /// Takes what another gathered; what of it was refused.
    pub fn take_all(
        &mut self,
        gathered: &[Gathered],
        members: &Members,
        now: Timestamp,
        age: Duration,
    ) -> Vec<Error> {
        let read = |one: &Gathered| -> Result<Told, Error> {
            Ok(Told { region: Signed::from_bytes(&one.region)?, zones: Signed::from_bytes(&one.zones)? })
        };
        let taken = gathered.iter().map(|one| self.take(read(one)?, members, now, age));
        taken.filter_map(Result::err).collect()
    }

    /// Forgets what is too old, and what is of somebody who has left.
    pub fn forget(&mut self, members: &Members, now: Timestamp, age: Duration) {
        for region in self.0.values_mut() {
            region.retain(|peer, told| is_fresh(told.time(), now, age) && members.is_active(peer));
        }
        self.0.retain(|_name, region| !region.is_empty());
    }

    /// The newest words on each region, of three aggregators at most.
    pub fn newest(&self) -> impl Iterator<Item = (&Label, Vec<&Told>)> {
        self.0.iter().map(|(name, region)| (name, newest(region)))
    }

    /// What is known of one region, to pass on.
    #[must_use]
    pub fn of(&self, region: &Label) -> Vec<Gathered> {
        self.0
            .get(region)
            .map(|region| newest(region).into_iter().map(Gathered::from).collect())
            .unwrap_or_default()
    }

    /// What is known of the regions whose names come after `after`, as much as one message holds; whether there is more.
    #[must_use]
    pub fn after(&self, after: Option<&Label>) -> (Vec<Gathered>, bool) {
        let mut gathered: Vec<Gathered> = Vec::new();
        for (name, told) in self.newest() {
            if after.is_some_and(|after| name <= after) {
                continue;
            }
            if gathered.len() + told.len() > GATHERED_MAX {
                return (gathered, true);
            }
            gathered.extend(told.into_iter().map(Gathered::from));
        }
        (gathered, false)
    }

    /// The same without looking, for simulations.
    #[cfg(test)]
    pub(crate) fn insert_unverified(&mut self, region: RegionSummary, zones: ZoneTable) {
        let key = cosmic_identity::key::SecretKey::from_seed(&[1; 32]);
        let (name, of) = (region.region.clone(), region.aggregator);
        let told = Told { region: Signed::sign(region, &key), zones: Signed::sign(zones, &key) };
        self.0.entry(name).or_default().insert(of, told);
    }

    /// Takes over what another collection has and this has not.
    pub fn merge(&mut self, other: Self) {
        for (name, theirs) in other.0 {
            let region = self.0.entry(name).or_default();
            for (peer, told) in theirs {
                match region.entry(peer) {
                    Entry::Occupied(mut known) if known.get().time() < told.time() => {
                        known.insert(told);
                    }
                    Entry::Occupied(_known) => {}
                    Entry::Vacant(place) => {
                        place.insert(told);
                    }
                }
            }
        }
    }
}

fn newest(region: &BTreeMap<PeerId, Told>) -> Vec<&Told> {
    let mut told: Vec<&Told> = region.values().collect();
    told.sort_by_key(|told| std::cmp::Reverse(told.time()));
    told.truncate(AGGREGATORS);
    told
}

impl From<&Told> for Gathered {
    fn from(told: &Told) -> Self {
        Self { region: told.region.to_bytes(), zones: told.zones.to_bytes() }
    }
}
