//! The network, what is true of it, and what its summaries say.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use cosmic_common::{
    hash,
    id::{NetworkId, OperatorId, PeerId},
    time::Timestamp,
};
use cosmic_ring::{Class, Label, Site, Table};

use super::{
    chance::Chance,
    lies::{Lie, Truth, sketch},
};
use crate::{
    DeviceSketch, Figures, LatencySketch, MemberState, MemberSummary, Pseudonym, Reporter, Share,
    World as Shown,
    collection::Collection,
    merge::{Frame, merge},
    record::{RegionSummary, ZoneTable},
};

const NETWORK: NetworkId = NetworkId::from_bytes([3; 32]);
const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
/// Of a hundred members so many are in each region.
const REGIONS: [usize; 4] = [40, 30, 20, 10];
const ZONES: usize = 12;
/// Members of all regions.
pub(super) const MEMBERS: usize = 2_400;
/// Requests of devices that each member remembers.
const REQUESTS: usize = 400;
/// Bytes of a member of weight 1.
const BYTES: f64 = 2e12;
/// In a thousand: members that are away, members that say nothing, devices that move on or come after the words were said.
const AWAY: u64 = 40;
const SILENT: u64 = 20;
const MOVED: u64 = 5;
/// Liars in a thousand, and aggregators that lie, of each region.
const LIARS: u64 = 300;

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) members: usize,
    pub(super) devices: usize,
    /// Devices with a second gateway, in a thousand.
    pub(super) elsewhere: u64,
    pub(super) lie: Option<Lie>,
}

struct Node {
    zone: Label,
    weight: u16,
    /// What the ring gives it, as a weight.
    shards: f64,
    is_there: bool,
    is_liar: bool,
    bytes: u64,
    latency: LatencySketch,
    /// One can hardly be in there twice.
    devices: Vec<Pseudonym>,
}

pub(super) struct World {
    plan: Plan,
    chance: Chance,
    regions: Vec<(Label, Vec<Node>)>,
    words: Vec<Vec<Option<MemberSummary>>>,
    waits: Vec<Duration>,
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        let mut chance = Chance::new(seed);
        let regions = (0..REGIONS.len()).map(|number| region(number, plan, &mut chance)).collect();
        let mut world = Self { plan, chance, regions, words: Vec::new(), waits: Vec::new() };
        world.connect();
        world.wait();
        world.speak();
        world.move_on();
        world
    }

    /// Every device finds a gateway, some a second one.
    fn connect(&mut self) {
        let tickets: Vec<Vec<usize>> = self
            .regions
            .iter()
            .map(|(_name, nodes)| {
                let times = |(number, node): (usize, &Node)| {
                    let times = if node.is_there { usize::from(node.weight) } else { 0 };
                    std::iter::repeat_n(number, times)
                };
                nodes.iter().enumerate().flat_map(times).collect()
            })
            .collect();
        // Loads are told now and then: after each fortieth of the devices.
        let mut loads = self.loads();
        for device in 0..self.plan.devices {
            if device % (self.plan.devices / 40) == 0 {
                loads = self.loads();
            }
            let name = Pseudonym::from_bits(self.chance.number());
            let home = self.home();
            self.choose(home, &tickets, &loads).devices.push(name);
            if self.chance.happens(self.plan.elsewhere) {
                let other = if self.chance.happens(250) { self.home() } else { home };
                self.choose(other, &tickets, &loads).devices.push(name);
            }
        }
    }

    fn home(&mut self) -> usize {
        let drawn = self.chance.below(100);
        (0..REGIONS.len()).find(|number| drawn < REGIONS[..=*number].iter().sum()).unwrap()
    }

    fn loads(&self) -> Vec<Vec<f64>> {
        let load = |node: &Node| node.devices.len() as f64 / f64::from(node.weight);
        self.regions.iter().map(|(_name, nodes)| nodes.iter().map(load).collect()).collect()
    }

    fn choose(&mut self, region: usize, tickets: &[Vec<usize>], loads: &[Vec<f64>]) -> &mut Node {
        let tickets = &tickets[region];
        let [one, other] = [0; 2].map(|_draw| tickets[self.chance.below(tickets.len())]);
        let chosen = if loads[region][one] <= loads[region][other] { one } else { other };
        &mut self.regions[region].1[chosen]
    }

    /// Devices wait for answers: log-normal, members differ a little.
    fn wait(&mut self) {
        for (_name, nodes) in &mut self.regions {
            for node in nodes.iter_mut().filter(|node| node.is_there) {
                let usual = 0.008 * (0.03 * self.chance.normal()).exp();
                for _request in 0..REQUESTS {
                    let took = Duration::from_secs_f64(usual * (0.6 * self.chance.normal()).exp());
                    node.latency.insert(took);
                    self.waits.push(took);
                }
            }
        }
        self.waits.sort_unstable();
    }

    /// Members say what they have; liars something else.
    fn speak(&mut self) {
        let all: Vec<Pseudonym> = self
            .regions
            .iter()
            .flat_map(|(_name, nodes)| nodes.iter().flat_map(|node| node.devices.iter().copied()))
            .collect();
        for (_name, nodes) in &self.regions {
            let mut words = Vec::new();
            for node in nodes {
                let truth = Truth { word: node.word(), devices: &node.devices, of_all: &all };
                let speaks = node.is_there && !self.chance.happens(SILENT);
                words.push(match self.plan.lie.filter(|_lie| node.is_liar) {
                    _ if !speaks => None,
                    Some(lie) => lie.tell(truth, &mut self.chance),
                    None => Some(truth.word),
                });
            }
            self.words.push(words);
        }
    }

    /// Devices leave, others come.
    fn move_on(&mut self) {
        for (_name, nodes) in &mut self.regions {
            for node in nodes {
                let before = node.devices.len();
                node.devices.retain(|_device| !self.chance.happens(MOVED));
                for _gone in node.devices.len()..before {
                    node.devices.push(Pseudonym::from_bits(self.chance.number()));
                }
            }
        }
    }

    /// What everybody sees: each region merged by three aggregators, of which one lies if anybody does.
    fn shown(&mut self) -> Shown {
        let mut collection = Collection::default();
        for ((name, nodes), words) in self.regions.iter().zip(&self.words) {
            for aggregator in 0..3_u8 {
                let frame = Frame {
                    network: NETWORK,
                    region: name.clone(),
                    aggregator: PeerId::from_bytes([aggregator; 32]),
                    time: NOW,
                };
                // Each has not heard a few others.
                let reporters: Vec<Reporter<'_>> = nodes
                    .iter()
                    .zip(words)
                    .map(|(node, word)| {
                        let said = word.as_ref().filter(|_word| !self.chance.happens(10));
                        Reporter { zone: &node.zone, share: node.share(), is_there: node.is_there, said }
                    })
                    .collect();
                let (region, zones) = merge(frame, &reporters);
                let lies = aggregator == 0 && self.plan.lie.is_some();
                let told = if lies { exaggerate(region, zones) } else { (region, zones) };
                collection.insert_unverified(told.0, told.1);
            }
        }
        Shown::of(&collection)
    }

    /// How far devices, spaces, bytes and the median of waiting are off.
    pub(super) fn errors(mut self) -> [f64; 4] {
        let shown = self.shown();
        let nodes = || self.regions.iter().flat_map(|(_name, nodes)| nodes);
        let mut devices: Vec<&Pseudonym> = nodes().flat_map(|node| &node.devices).collect();
        devices.sort_unstable();
        devices.dedup();
        let bytes: u64 = nodes().filter(|node| node.is_there).map(|node| node.bytes).sum();
        let spaces: u64 = nodes().map(Node::spaces).sum();
        let waited = self.waits[self.waits.len() / 2].as_secs_f64();
        let error = |shown: u64, truth: u64| shown as f64 / truth as f64 - 1.0;
        let members = f64::from(shown.states.members()) / nodes().count() as f64;
        assert!((0.99..1.01).contains(&members), "{members} of the members are shown");
        [
            error(shown.figures.devices, devices.len() as u64),
            error(shown.figures.spaces_milli, spaces),
            error(shown.figures.kept_bytes, bytes),
            shown.latency.quantile(0.5).unwrap().as_secs_f64() / waited - 1.0,
        ]
    }
}

impl Node {
    fn spaces(&self) -> u64 {
        self.bytes / 1_000_000
    }

    fn share(&self) -> Share {
        Share { weight: f64::from(self.weight), replicas: self.shards, shards: self.shards }
    }

    fn word(&self) -> MemberSummary {
        let figures = Figures {
            devices: self.devices.len() as u64,
            spaces_milli: self.spaces(),
            kept_bytes: self.bytes,
            ..Figures::default()
        };
        MemberSummary {
            network: NETWORK,
            peer: PeerId::from_bytes([0; 32]),
            time: NOW,
            state: MemberState::Well,
            figures,
            devices: sketch(self.devices.iter().copied()),
            latency: self.latency.clone(),
        }
    }
}

/// A region whose bytes lie as the ring places them.
fn region(number: usize, plan: Plan, chance: &mut Chance) -> (Label, Vec<Node>) {
    assert_eq!(plan.members, MEMBERS, "the tables are made once");
    let site = |(member, (weight, share)): (usize, &(u16, f64))| Node {
        zone: zone(member),
        weight: *weight,
        shards: *share,
        is_there: !chance.happens(AWAY),
        is_liar: chance.happens(LIARS),
        bytes: crate::robust::whole(BYTES * share * (1.0 + 0.02 * chance.normal())),
        latency: LatencySketch::new(),
        devices: Vec::new(),
    };
    let nodes = SHARES[number].iter().enumerate().map(site).collect();
    (format!("region-{number}").parse().unwrap(), nodes)
}

fn zone(member: usize) -> Label {
    format!("zone-{}", member % ZONES).parse().unwrap()
}

/// The weights of the members of each region, and what the ring gives each of them, as many times what is usual for weight 1.
static SHARES: LazyLock<Vec<Vec<(u16, f64)>>> =
    LazyLock::new(|| REGIONS.iter().map(|hundredth| shares(MEMBERS * hundredth / 100)).collect());

fn shares(count: usize) -> Vec<(u16, f64)> {
    let mut chance = Chance::new(count as u64);
    let id = |member: usize| hash::derive("cosmic summary simulation", &[&member.to_be_bytes()]);
    let weights: Vec<u16> = (0..count).map(|_member| 1 + u16::try_from(chance.below(4)).unwrap()).collect();
    let sites = weights.iter().enumerate().map(|(member, weight)| Site {
        peer: PeerId::from_bytes(id(member)),
        operator: OperatorId::from_bytes(id(member)),
        zone: zone(member),
        weight: *weight,
    });
    let table = Table::of(sites.collect(), 12, Class { k: 10, n: 20 });
    let mut places: BTreeMap<PeerId, f64> = BTreeMap::new();
    for partition in table.partitions() {
        for site in table.walk(partition).take(20) {
            *places.entry(site.peer).or_default() += 1.0;
        }
    }
    let of_one = places.values().sum::<f64>() / weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
    let share =
        |member: usize| places.get(&PeerId::from_bytes(id(member))).copied().unwrap_or_default() / of_one;
    weights.into_iter().enumerate().map(|(member, weight)| (weight, share(member))).collect()
}

/// What an aggregator says that lies as well.
fn exaggerate(region: RegionSummary, zones: ZoneTable) -> (RegionSummary, ZoneTable) {
    let mut latency = LatencySketch::new();
    latency.insert(Duration::from_secs(3600));
    let states = crate::States { well: u32::MAX, ..region.states };
    let devices = Some(DeviceSketch::of_registers(vec![51; crate::devices::REGISTERS]));
    let figures = Figures::each(|_measure| u64::MAX);
    (RegionSummary { states, figures, devices, latency, ..region }, zones)
}
