//! The network as a whole: of each region the middle of what its aggregators say, and all regions together.

use std::collections::BTreeMap;

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_ring::Label;

use crate::{
    collection::{Collection, Told},
    devices::{DeviceSketch, day},
    figures::{Figures, States},
    latency::LatencySketch,
    record::{RegionSummary, ZoneLine},
    robust::{middle, whole},
};

/// The network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// The regions, in the order of their names.
    pub regions: Vec<WorldRegion>,
    /// How all members are.
    pub states: States,
    /// The numbers of all; each device counts once.
    pub figures: Figures,
    /// How long devices usually waited.
    pub latency: LatencySketch,
}

/// One region, by the middle of what its aggregators say.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldRegion {
    /// Its name.
    pub name: Label,
    /// The aggregators that say so.
    pub aggregators: Vec<PeerId>,
    /// When the one of them said it that said it first.
    pub time: Timestamp,
    /// How its members are.
    pub states: States,
    /// Their numbers; each device counts once.
    pub figures: Figures,
    /// How long devices usually waited.
    pub latency: LatencySketch,
    /// Its zones, in the order of their names.
    pub zones: Vec<ZoneLine>,
    /// Further zones.
    pub zones_left_off: u32,
    /// Its devices, if all of the newest day do not differ too much, and that day.
    devices: Option<(u64, DeviceSketch)>,
}

impl World {
    /// The world that these regions make.
    #[must_use]
    pub fn of(collection: &Collection) -> Self {
        let regions: Vec<WorldRegion> =
            collection.newest().filter_map(|(name, told)| WorldRegion::of(name, &told)).collect();
        let mut world = Self::default();
        for region in &regions {
            world.states = world.states.plus(&region.states);
            world.figures = world.figures.plus(&region.figures);
            world.latency.merge(&region.latency);
        }
        world.figures.devices = whole(world.figures.devices as f64 * share_of_one(&regions));
        Self { regions, ..world }
    }
}

/// For which part of a device each of those stands that the regions counted: some are in two.
fn share_of_one(regions: &[WorldRegion]) -> f64 {
    let today = regions.iter().filter_map(|region| Some(region.devices.as_ref()?.0)).max();
    let (mut union, mut counted) = (DeviceSketch::new(), 0.0);
    for (day, devices) in regions.iter().filter_map(|region| region.devices.as_ref()) {
        if Some(*day) == today {
            union.merge(devices);
            counted += devices.estimate();
        }
    }
    if counted > 0.0 { (union.estimate() / counted).min(1.0) } else { 1.0 }
}

impl WorldRegion {
    fn of(name: &Label, told: &[&Told]) -> Option<Self> {
        let words: Vec<&RegionSummary> = told.iter().map(|told| told.region.unverified()).collect();
        let time = words.iter().map(|word| word.time).min()?;
        let count = middle(words.iter().map(|word| word.latency.count()));
        let latencies: Vec<(&LatencySketch, u64)> = words.iter().map(|word| (&word.latency, 1)).collect();
        Some(Self {
            name: name.clone(),
            aggregators: words.iter().map(|word| word.aggregator).collect(),
            time,
            states: states(words.iter().map(|word| &word.states)),
            figures: figures(words.iter().map(|word| &word.figures)),
            latency: LatencySketch::median(&latencies, count),
            zones: zones(told),
            zones_left_off: small(middle(
                told.iter().map(|told| u64::from(told.zones.unverified().left_off)),
            )),
            devices: devices(&words),
        })
    }
}

/// The middle of the sketches of the newest day.
fn devices(words: &[&RegionSummary]) -> Option<(u64, DeviceSketch)> {
    let today = words.iter().map(|word| day(word.time)).max()?;
    let of_today = words.iter().filter(|word| day(word.time) == today);
    let sketches: Vec<&DeviceSketch> = of_today.filter_map(|word| word.devices.as_ref()).collect();
    Some((today, DeviceSketch::median(&sketches)?))
}

/// Zone by zone what is in the middle of those who know it; a zone that less than half of them know is none.
fn zones(told: &[&Told]) -> Vec<ZoneLine> {
    let mut by_name: BTreeMap<&Label, Vec<&ZoneLine>> = BTreeMap::new();
    for line in told.iter().flat_map(|told| &told.zones.unverified().zones) {
        by_name.entry(&line.zone).or_default().push(line);
    }
    by_name
        .into_iter()
        .filter(|(_zone, lines)| 2 * lines.len() >= told.len())
        .map(|(zone, lines)| ZoneLine {
            zone: zone.clone(),
            states: states(lines.iter().map(|line| &line.states)),
            figures: figures(lines.iter().map(|line| &line.figures)),
        })
        .collect()
}

fn figures<'a>(of: impl Iterator<Item = &'a Figures> + Clone) -> Figures {
    Figures::each(|measure| middle(of.clone().map(|figures| figures.get(measure))))
}

fn states<'a>(of: impl Iterator<Item = &'a States> + Clone) -> States {
    States::each(|state| small(middle(of.clone().map(|states| u64::from(states.get(state))))))
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
