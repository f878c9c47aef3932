//! What an aggregator was told: the last word of each member of its region.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Label, Member, Members, Site, State, Table, table::REPLICAS};

use crate::{
    aggregators::{aggregators, hour},
    error::Error,
    figures::MemberState,
    merge::{Reporter, Share},
    record::{MemberSummary, open},
};

/// How far the clocks of two members may be apart.
pub const SKEW: Duration = Duration::from_mins(2);

/// How often is told, merged and exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Members tell their aggregators.
    pub tell: Duration,
    /// Aggregators merge their region.
    pub region: Duration,
    /// Regions are exchanged.
    pub world: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { tell: Duration::from_secs(30), region: Duration::from_mins(2), world: Duration::from_mins(10) }
    }
}

impl Rhythm {
    /// How old the word of a member may be: two may be lost.
    #[must_use]
    pub fn report_age(&self) -> Duration {
        self.tell * 3
    }

    /// How old the summary of a region may be: one exchange may fail.
    #[must_use]
    pub fn summary_age(&self) -> Duration {
        (self.region + self.world) * 2
    }
}

/// Whether `peer` merges `region`, did a moment ago, or will in a moment: so whoever is next knows everything when it begins.
#[must_use]
pub fn merges(peer: &PeerId, region: &Label, members: &Members, now: Timestamp, rhythm: &Rhythm) -> bool {
    duty_hours(now, rhythm).into_iter().any(|hour| aggregators(members, region, hour).contains(peer))
}

/// The hours whose aggregators are told now, the present one first.
#[must_use]
pub fn duty_hours(now: Timestamp, rhythm: &Rhythm) -> Vec<u64> {
    let before =
        Timestamp::from_unix_ms(now.unix_ms().saturating_sub(Timestamp::default().after(SKEW).unix_ms()));
    let mut hours = vec![hour(now), hour(before), hour(now.after(SKEW.max(rhythm.report_age())))];
    hours.dedup();
    hours
}

/// Whether something of `time` is no older than `age` at `now`, and not further ahead than clocks may be.
pub(crate) fn is_fresh(time: Timestamp, now: Timestamp, age: Duration) -> bool {
    now.since(time) <= age && time.since(now) <= SKEW
}

/// The last word of each member: as many as the region has.
#[derive(Debug, Default)]
pub struct Reports(BTreeMap<PeerId, MemberSummary>);

impl Reports {
    /// Takes the word that `from` brought to `me`.
    ///
    /// # Errors
    /// [`Error`] that says why it does not count.
    pub fn take(
        &mut self,
        word: &Signed<MemberSummary>,
        (from, me): (PeerId, PeerId),
        members: &Members,
        now: Timestamp,
        rhythm: &Rhythm,
    ) -> Result<(), Error> {
        let claimed = word.unverified();
        let peer = claimed.peer;
        if peer != from {
            return Err(Error::Anothers { of: peer });
        }
        let member = active(members, &peer).ok_or(Error::NotAMember(peer))?;
        if !merges(&me, &member.region, members, now, rhythm) {
            return Err(Error::NotMine { of: peer, region: member.region.clone() });
        }
        let is_newer = self.0.get(&peer).is_none_or(|known| known.time < claimed.time);
        if !is_newer || !is_fresh(claimed.time, now, rhythm.report_age()) {
            return Err(Error::Stale(peer));
        }
        if matches!(claimed.state, MemberState::Untold | MemberState::Away) {
            return Err(Error::State(peer));
        }
        self.0.insert(peer, open(word, members.network())?.clone());
        Ok(())
    }

    /// Forgets words that are too old, and those of who is no member any more.
    pub fn forget(&mut self, members: &Members, now: Timestamp, rhythm: &Rhythm) {
        self.0.retain(|peer, word| {
            active(members, peer).is_some() && is_fresh(word.time, now, rhythm.report_age())
        });
    }

    /// The active members of `region`, which stand in `ring`, with their words; `is_there` says who was heard of those that said
    /// nothing.
    pub fn reporters<'a>(
        &'a self,
        region: &'a Label,
        members: &'a Members,
        ring: &Table,
        mut is_there: impl FnMut(&PeerId) -> bool,
    ) -> Vec<Reporter<'a>> {
        let shares = shares(ring);
        let reporter = |member: &'a Member| {
            let said = self.0.get(&member.peer);
            let is_there = said.is_some() || is_there(&member.peer);
            let share = *shares.get(&member.peer)?;
            Some(Reporter { zone: &member.zone, share, is_there, said })
        };
        members.active().filter(|member| member.region == *region).filter_map(reporter).collect()
    }

    /// Words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody said anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the ring gives each of its sites.
fn shares(ring: &Table) -> BTreeMap<PeerId, Share> {
    let mut places: BTreeMap<PeerId, [u32; 2]> = BTreeMap::new();
    let mut all = [0_u32; 2];
    for partition in ring.partitions() {
        for (kind, depth) in [REPLICAS, usize::from(ring.class().n)].into_iter().enumerate() {
            for site in ring.walk(partition).take(depth) {
                for count in
                    places.entry(site.peer).or_default().get_mut(kind).into_iter().chain(all.get_mut(kind))
                {
                    *count += 1;
                }
            }
        }
    }
    let weights: f64 = ring.sites().iter().map(|site| f64::from(site.weight)).sum();
    let of_all = |count: u32, all: u32| weights * f64::from(count) / f64::from(all.max(1));
    let [all_replicas, all_shards] = all;
    let share = |site: &Site| {
        let [replicas, shards] = places.get(&site.peer).copied().unwrap_or_default();
        let share = Share {
            weight: f64::from(site.weight),
            replicas: of_all(replicas, all_replicas),
            shards: of_all(shards, all_shards),
        };
        (site.peer, share)
    };
    ring.sites().iter().map(share).collect()
}

fn active<'a>(members: &'a Members, peer: &PeerId) -> Option<&'a Member> {
    members.get(peer).filter(|member| member.state == State::Active)
}
