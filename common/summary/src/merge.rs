//! From the words of members to the zones of a region, and to the region.
//!
//! What each says counts as far as its weight makes it believable ([`Band`]). Whoever is there and says nothing counts as what is
//! usual; whoever is away counts for what the ring gives it and others have as well, and for nothing else.

use std::collections::BTreeMap;

use cosmic_common::{
    id::{NetworkId, PeerId},
    time::Timestamp,
};
use cosmic_ring::Label;

use crate::{
    devices::{DeviceSketch, day},
    figures::{By, Figures, Measure, MemberState, States},
    latency::LatencySketch,
    record::{MemberSummary, RegionSummary, ZONES_MAX, ZoneLine, ZoneTable},
    robust::{Band, whole},
};

/// How far what a member's sketch holds may be from what it says, as a part of it, and besides in devices.
const SKETCH_ERROR: (f64, f64) = (0.1, 8.0);
/// A union that knows of less than this part of all devices says nothing of the others.
const KNOWN_MIN: f64 = 0.25;
/// Requests for each unit of weight by which a member may differ from others without doubt.
const REQUESTS_HARMLESS: u64 = 1000;

/// A member as its aggregator sees it.
#[derive(Debug, Clone, Copy)]
pub struct Reporter<'a> {
    /// Its zone.
    pub zone: &'a Label,
    /// How much it takes, against others.
    pub share: Share,
    /// Whether it was heard.
    pub is_there: bool,
    /// What it says of itself.
    pub said: Option<&'a MemberSummary>,
}

/// How much a member takes, against others: by the weight its operator signed, and of that what the ring really gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Its weight.
    pub weight: f64,
    /// Its part of all replicas, as a weight.
    pub replicas: f64,
    /// Its part of all shards, as a weight.
    pub shards: f64,
}

/// Who merges what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The network.
    pub network: NetworkId,
    /// The region.
    pub region: Label,
    /// The aggregator.
    pub aggregator: PeerId,
    /// Now.
    pub time: Timestamp,
}

impl Share {
    const fn of(&self, measure: Measure) -> f64 {
        match measure.goes_by() {
            By::Weight => self.weight,
            By::Replicas => self.replicas,
            By::Shards => self.shards,
        }
    }
}

impl Reporter<'_> {
    fn state(&self) -> MemberState {
        match (self.said, self.is_there) {
            (Some(word), _) => word.state,
            (None, true) => MemberState::Untold,
            (None, false) => MemberState::Away,
        }
    }

    /// What the member counts for.
    fn counts(&self, measure: Measure, band: &Band) -> f64 {
        match self.said {
            Some(word) => band.believed(word.figures.get(measure), self.share.of(measure)),
            None if self.is_there || measure.is_of_the_ring() => band.usual(self.share.of(measure)),
            None => 0.0,
        }
    }
}

/// The region and its zones, by what its members say.
#[must_use]
pub fn merge(frame: Frame, reporters: &[Reporter<'_>]) -> (RegionSummary, ZoneTable) {
    let Frame { network, region, aggregator, time } = frame;
    let bands = Measure::ALL.map(|measure| (measure, band(reporters, measure)));
    let band_of = |measure| {
        bands.iter().find(|(one, _band)| *one == measure).map_or_else(Band::default, |(_one, band)| *band)
    };
    let (devices, share_of_one) = union(reporters, &band_of(Measure::Devices), day(time));
    let figures_of = |members: &[&Reporter<'_>]| {
        Figures::each(|measure| {
            let band = band_of(measure);
            let sum: f64 = members.iter().map(|reporter| reporter.counts(measure, &band)).sum();
            whole(if measure == Measure::Devices { sum * share_of_one } else { sum })
        })
    };
    let mut zones: BTreeMap<&Label, Vec<&Reporter<'_>>> = BTreeMap::new();
    for reporter in reporters {
        zones.entry(reporter.zone).or_default().push(reporter);
    }
    let lines = zones.into_iter().map(|(zone, members)| ZoneLine {
        zone: zone.clone(),
        states: states_of(&members),
        figures: figures_of(&members),
    });
    let (lines, left_off) = largest(lines.collect());
    let all: Vec<&Reporter<'_>> = reporters.iter().collect();
    let summary = RegionSummary {
        network,
        region: region.clone(),
        aggregator,
        time,
        states: states_of(&all),
        figures: figures_of(&all),
        devices,
        latency: latency(reporters),
    };
    (summary, ZoneTable { network, region, aggregator, time, zones: lines, left_off })
}

fn band(reporters: &[Reporter<'_>], measure: Measure) -> Band {
    let said = reporters
        .iter()
        .filter_map(|reporter| Some((reporter.said?.figures.get(measure), reporter.share.of(measure))));
    Band::of(&said.collect::<Vec<_>>(), measure.harmless())
}

/// The devices of all whose sketches are believable, and for which part of a device each of those they counted stands.
fn union(reporters: &[Reporter<'_>], band: &Band, today: u64) -> (Option<DeviceSketch>, f64) {
    let mut union = DeviceSketch::new();
    let (mut counted, mut all) = (0.0, 0.0);
    for reporter in reporters {
        all += reporter.counts(Measure::Devices, band);
        let Some(word) = reporter.said.filter(|word| day(word.time) == today) else { continue };
        let devices = word.figures.devices as f64;
        let (part, besides) = SKETCH_ERROR;
        let is_right = (word.devices.estimate() - devices).abs() <= devices * part + besides;
        if is_right && band.holds(word.figures.devices, reporter.share.weight) {
            union.merge(&word.devices);
            counted += devices;
        }
    }
    if !union.fits() {
        return (None, 1.0);
    }
    if counted <= 0.0 {
        return (Some(union), 1.0);
    }
    let twice = (1.0 - union.estimate() / counted).max(0.0);
    // Of those who are in two places, both are in the union only as far as it knows of all.
    let known = (counted / all).clamp(KNOWN_MIN, 1.0);
    (Some(union), 1.0 - (twice / known).min(1.0 - KNOWN_MIN))
}

fn latency(reporters: &[Reporter<'_>]) -> LatencySketch {
    let said: Vec<(&LatencySketch, f64)> = reporters
        .iter()
        .filter_map(|reporter| Some((&reporter.said?.latency, reporter.share.weight)))
        .collect();
    let counts: Vec<(u64, f64)> = said.iter().map(|(latency, weight)| (latency.count(), *weight)).collect();
    let band = Band::of(&counts, REQUESTS_HARMLESS);
    let count: f64 = counts.iter().map(|(count, weight)| band.believed(*count, *weight)).sum();
    let weighed: Vec<(&LatencySketch, u64)> =
        said.into_iter().map(|(latency, weight)| (latency, whole(weight))).collect();
    LatencySketch::median(&weighed, whole(count).min(u64::from(u32::MAX)))
}

fn states_of(members: &[&Reporter<'_>]) -> States {
    let mut states = States::default();
    for member in members {
        states.add(member.state());
    }
    states
}

/// The zones with the most members, in the order of their names, and how many others there are.
fn largest(mut lines: Vec<ZoneLine>) -> (Vec<ZoneLine>, u32) {
    let left_off = lines.len().saturating_sub(ZONES_MAX);
    lines.sort_by_key(|line| std::cmp::Reverse(line.states.members()));
    lines.truncate(ZONES_MAX);
    lines.sort_by(|one, other| one.zone.cmp(&other.zone));
    (lines, u32::try_from(left_off).unwrap_or(u32::MAX))
}
