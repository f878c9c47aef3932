//! Measures tables: the figures of `docs/protocol/ring.md`.
//!
//! `cargo run -p cosmic-ring --example measure_tables`. Takes some seconds; every figure but the times is the same everywhere.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program for people to run by hand"
)]

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::{OperatorId, PeerId};
use cosmic_ring::{Class, Site, Table};
use rustix::time::{ClockId, clock_gettime};

const CLASS: Class = Class { k: 3, n: 6 };
const RINGS: u32 = 12;

/// A kind of ring.
struct Shape {
    members: u32,
    zone: fn(u32) -> u32,
    name: &'static str,
    weighted: bool,
    bits: u8,
}

fn main() {
    let three: fn(u32) -> u32 = |number| number % 3;
    let ten: fn(u32) -> u32 = |number| number % 10;
    let thirty: fn(u32) -> u32 = |number| number % 30;
    let uneven: fn(u32) -> u32 = |number| [0, 0, 0, 0, 0, 1, 1, 1, 2, 2][number as usize % 10];
    let shapes = [
        (6, three, "3 zones", false, 12),
        (7, three, "3 zones", false, 12),
        (30, ten, "10 zones", false, 12),
        (30, ten, "10 zones", true, 12),
        (60, ten, "10 zones", false, 12),
        (60, ten, "10 zones", true, 12),
        (60, uneven, "zones of 30, 18, 12", false, 12),
        (300, ten, "10 zones", false, 12),
        (300, ten, "10 zones", false, 13),
        (300, ten, "10 zones", false, 14),
        (300, ten, "10 zones", false, 15),
        (300, thirty, "30 zones", false, 12),
        (300, thirty, "30 zones", false, 14),
    ];
    for (members, zone, name, weighted, bits) in shapes {
        measure(&Shape { members, zone, name, weighted, bits });
    }
}

fn measure(shape: &Shape) {
    let mut spreads = [(0.0_f64, f64::MAX); 2];
    let (mut all, mut fewest, mut by_index) = ([0.0; 2], [0.0; 2], 0.0);
    let (mut reweighed, mut gained) = ([0.0; 2], [0.0; 2]);
    let mut seconds = 0.0;
    for ring in 0..RINGS {
        let sites: Vec<Site> = (0..shape.members).map(|number| site(shape, ring, number)).collect();
        let begin = cpu_seconds();
        let with = Table::of(sites.clone(), shape.bits, CLASS);
        seconds += cpu_seconds() - begin;
        let gone = sites[(ring * 7 + 1) as usize % sites.len()].peer;
        let heavier = sites.iter().cloned().map(|site| Site {
            weight: if site.peer == gone { 2 * site.weight } else { site.weight },
            ..site
        });
        let heavier = Table::of(heavier.collect(), shape.bits, CLASS);
        let fewer = sites.into_iter().filter(|site| site.peer != gone).collect();
        let without = Table::of(fewer, shape.bits, CLASS);
        for (of, places) in [6, 3].into_iter().enumerate() {
            let (most, least) = spread(&with, places);
            spreads[of] = (spreads[of].0.max(most), spreads[of].1.min(least));
            fewest[of] += loads(&with, places)[&gone];
            all[of] += moved(&with, &without, places);
            gained[of] += loads(&heavier, places)[&gone] - loads(&with, places)[&gone];
            reweighed[of] += moved(&with, &heavier, places);
        }
        by_index += shifted(&with, &without);
    }
    let [(most, least), (replica_most, replica_least)] = spreads;
    print!(
        "{} in {}, weights {}, {} bits: ",
        shape.members,
        shape.name,
        if shape.weighted { "1-4" } else { "1" },
        shape.bits
    );
    print!("holders {most:.2} {least:.2}, replicas {replica_most:.2} {replica_least:.2}; ");
    if shape.members > 6 {
        print!(
            "moved {:.2} {:.2}, by place {:.1}; with twice the weight {} {}; ",
            all[0] / fewest[0],
            all[1] / fewest[1],
            by_index / fewest[0],
            ratio(reweighed[0], gained[0]),
            ratio(reweighed[1], gained[1])
        );
    }
    println!("{:.1} ms", 1e3 * seconds / f64::from(RINGS));
}

/// What moved over what had to; nothing had to where the limits leave no choice.
fn ratio(moved: f64, gained: f64) -> String {
    if gained > 0.0 { format!("{:.2}", moved / gained) } else { "-".to_owned() }
}

fn site(shape: &Shape, ring: u32, number: u32) -> Site {
    let id = |kind: u8| {
        *blake3::hash(&[&[kind], (ring * 100_000 + number).to_be_bytes().as_slice()].concat()).as_bytes()
    };
    Site {
        peer: PeerId::from_bytes(id(0)),
        operator: OperatorId::from_bytes(id(1)),
        zone: format!("zone-{}", (shape.zone)(number)).parse().unwrap(),
        weight: if shape.weighted { 1 + u16::try_from(number / 3 % 4).unwrap() } else { 1 },
    }
}

/// How many of the first `places` of all partitions each member has.
fn loads(table: &Table, places: usize) -> BTreeMap<PeerId, f64> {
    let mut loads: BTreeMap<_, _> = table.sites().iter().map(|site| (site.peer, 0.0)).collect();
    for site in table.partitions().flat_map(|partition| table.walk(partition).take(places)) {
        *loads.get_mut(&site.peer).unwrap() += 1.0;
    }
    loads
}

/// Load over share by weight: of the fullest and of the emptiest member.
fn spread(table: &Table, places: usize) -> (f64, f64) {
    let loads = loads(table, places);
    let all: f64 = loads.values().sum();
    let weight: f64 = table.sites().iter().map(|site| f64::from(site.weight)).sum();
    let over = |site: &Site| loads[&site.peer] * weight / (all * f64::from(site.weight));
    table
        .sites()
        .iter()
        .map(over)
        .fold((0.0, f64::MAX), |(most, least), over| (most.max(over), least.min(over)))
}

/// Places that change hands, whichever place it is.
fn moved(from: &Table, to: &Table, places: usize) -> f64 {
    let holders = |table: &Table, partition| {
        table.walk(partition).take(places).map(|site| site.peer).collect::<BTreeSet<_>>()
    };
    let changed = |partition| holders(to, partition).difference(&holders(from, partition)).count() as f64;
    from.partitions().map(changed).sum()
}

/// Places of holders at which there is somebody else.
fn shifted(from: &Table, to: &Table) -> f64 {
    let changed = |partition| {
        from.walk(partition)
            .take(6)
            .zip(to.walk(partition))
            .filter(|(one, other)| one.peer != other.peer)
            .count() as f64
    };
    from.partitions().map(changed).sum()
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
