//! Measures how devices spread over gateways: the figures of `docs/protocol/ring.md`, Gateway.
//!
//! `cargo run -p cosmic-ring --release --example measure_gateways`. Seconds; every figure is the same everywhere.
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a program for people to run by hand"
)]

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{hash, id::PeerId};
use cosmic_ring::{
    Candidate, GatewayReport,
    gateway::{ASKED, ASKED_UNKNOWN, Seen, choose, draw, is_near},
};

/// Gateways of weight 1 to 4, as many in each of three places, and devices, as many in each.
const GATEWAYS: u32 = 30;
const DEVICES: usize = 30_000;
const PLACES: u32 = 3;
/// Sessions of a device come and go: each comes back so often, and is somewhere else then.
const ROUNDS: usize = 3;
/// Round trips within a place and between two, in milliseconds.
const NEAR_MS: u64 = 8;
const FAR_MS: u64 = 120;

/// How a device chooses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By weight alone, as it was before.
    Weight,
    /// The least loaded of all.
    Least,
    /// The better of two, wherever they are.
    Two,
    /// As the product does it: of those that are near or were never measured.
    Near,
}

fn main() {
    println!("| a device takes | reports are | fullest, over its share | sessions that are near |");
    println!("|---|---|---|---|");
    let ways = [
        ("one by weight alone", Way::Weight),
        ("the least loaded of all", Way::Least),
        ("the better of two", Way::Two),
        ("the better of two, near first", Way::Near),
    ];
    for (name, way) in ways {
        // How many sessions begin until a report is told again: 1 is fresh.
        for (said, every) in [("fresh", 1), ("a thirtieth of all sessions old", DEVICES / 30)] {
            let (most, near) = World::new().run(way, every);
            println!("| {name} | {said} | {most:.2} | {near:.0} % |");
        }
    }
}

/// Where a device is.
fn place_of(device: usize) -> u32 {
    u32::from(hash::derive("measure gateways", &[b"device", &(device as u64).to_be_bytes()])[0]) % PLACES
}

struct World {
    candidates: Vec<Candidate>,
    places: BTreeMap<PeerId, u32>,
    sessions: BTreeMap<PeerId, u32>,
    told: BTreeMap<PeerId, u32>,
}

impl World {
    fn new() -> Self {
        let peer =
            |number: u32| PeerId::from_bytes(hash::derive("measure gateways", &[&number.to_be_bytes()]));
        let candidates: Vec<_> = (0..GATEWAYS)
            .map(|number| Candidate { peer: peer(number), weight: 1 + (number / PLACES % 4) as u16 })
            .collect();
        let places = (0..GATEWAYS).map(|number| (peer(number), number % PLACES)).collect();
        let none: BTreeMap<_, _> = (0..GATEWAYS).map(|number| (peer(number), 0)).collect();
        Self { candidates, places, sessions: none.clone(), told: none }
    }

    /// The fullest gateway over its share by weight among all, and the percentage of sessions within one place.
    fn run(mut self, way: Way, every: usize) -> (f64, f64) {
        let mut known: Vec<BTreeMap<PeerId, u64>> = vec![BTreeMap::new(); DEVICES];
        let mut held: Vec<Option<PeerId>> = vec![None; DEVICES];
        for turn in 0..DEVICES * ROUNDS {
            let device = turn % DEVICES;
            if let Some(before) = held[device].take() {
                *self.sessions.get_mut(&before).expect("a gateway") -= 1;
            }
            if turn % every == 0 {
                self.told = self.sessions.clone();
            }
            let seed = hash::derive("measure gateways", &[b"turn", &(turn as u64).to_be_bytes()]);
            let peer = self.take(way, device, &mut known[device], &seed);
            *self.sessions.get_mut(&peer).expect("a gateway") += 1;
            held[device] = Some(peer);
        }
        let weight: u32 = self.candidates.iter().map(|candidate| u32::from(candidate.weight)).sum();
        let over = |candidate: &Candidate| {
            f64::from(self.sessions[&candidate.peer]) * f64::from(weight)
                / f64::from(candidate.weight)
                / DEVICES as f64
        };
        let most = self.candidates.iter().map(over).fold(0.0, f64::max);
        let is_near = |(device, peer): (usize, &Option<PeerId>)| {
            peer.is_some_and(|peer| self.places[&peer] == place_of(device))
        };
        let near = held.iter().enumerate().filter(|pair| is_near(*pair)).count();
        (most, near as f64 * 100.0 / DEVICES as f64)
    }

    fn take(&self, way: Way, device: usize, known: &mut BTreeMap<PeerId, u64>, seed: &[u8; 32]) -> PeerId {
        let drawn = match way {
            Way::Weight => draw(&self.candidates, 1, seed),
            Way::Least => self.candidates.clone(),
            Way::Two => draw(&self.candidates, ASKED, seed),
            Way::Near => {
                let nearest = known.values().min().map(|ms| Duration::from_millis(*ms));
                let near = self.candidates.iter().filter(|candidate| {
                    known
                        .get(&candidate.peer)
                        .is_none_or(|ms| is_near(Some(Duration::from_millis(*ms)), nearest))
                });
                let near: Vec<_> = near.copied().collect();
                let unknown = near.iter().any(|candidate| !known.contains_key(&candidate.peer));
                draw(&near, if unknown { ASKED_UNKNOWN } else { ASKED }, seed)
            }
        };
        let seen: Vec<_> = drawn.into_iter().map(|candidate| self.ask(way, device, candidate)).collect();
        if way == Way::Near {
            for one in &seen {
                let ms = if self.places[&one.candidate.peer] == place_of(device) { NEAR_MS } else { FAR_MS };
                known.insert(one.candidate.peer, ms);
            }
        }
        choose(&seen).expect("somebody answered")
    }

    fn ask(&self, way: Way, device: usize, candidate: Candidate) -> Seen {
        let is_near = way != Way::Near || self.places[&candidate.peer] == place_of(device);
        let round_trip = Some(Duration::from_millis(if is_near { NEAR_MS } else { FAR_MS }));
        let report = GatewayReport {
            sessions: self.told[&candidate.peer],
            sessions_max: u32::MAX,
            leaving: false,
            alternatives: Vec::new(),
        };
        Seen { candidate, round_trip, report: Some(report) }
    }
}
