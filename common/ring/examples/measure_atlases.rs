//! Measures atlases: the figures of regions in `docs/protocol/ring.md`.
//!
//! `cargo run -p cosmic-ring --release --example measure_atlases`. Some seconds; every figure is the same everywhere.
#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "a program for people to run by hand")]

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::{OperatorId, PeerId, SpaceId};
use cosmic_ring::{Atlas, Label, Regions, Site, Table};

/// Rings of each kind, each with other ids.
const SEEDS: u32 = 4;
/// Holders of an object that all sizes have: shards of 3 of 6.
const PLACES: usize = 6;

fn main() {
    println!(
        "| members of the regions | bits | most of a region's share | holders most, least | moved | of it to other regions |"
    );
    println!("|---|---|---|---|---|---|");
    let kinds: [(&[u32], u8); 6] = [
        (&[7, 7], 12),
        (&[20, 20, 20], 12),
        (&[30, 30], 12),
        (&[40, 20, 10], 12),
        (&[60, 30], 12),
        (&[100, 100, 100], 14),
    ];
    for (counts, bits) in kinds {
        let (mut share, mut most, mut least) = (0.0_f64, 0.0_f64, f64::MAX);
        let mut movement = Movement::default();
        for seed in 0..SEEDS {
            let sites = stand(counts, seed);
            let atlas = Atlas::of(sites.clone(), bits, &[]);
            let measured = Measured::of(&atlas, bits);
            share = share.max(measured.share_most(counts));
            let loads = measured.loads(&atlas);
            let mean = loads.values().sum::<f64>() / loads.len() as f64;
            most = loads.values().fold(most, |most, load| most.max(load / mean));
            least = loads.values().fold(least, |least, load| least.min(load / mean));
            movement.add(&sites, &measured, bits);
        }
        println!(
            "| {} | {bits} | {share:.2} | {most:.2}, {least:.2} | {:.2} | {:.2} |",
            counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            movement.moved / movement.kept,
            movement.far / movement.kept,
        );
    }
}

/// What leaves when one member does, against what it had.
#[derive(Default)]
struct Movement {
    kept: f64,
    moved: f64,
    far: f64,
}

/// The rings of an atlas, and how many spaces each has.
struct Measured {
    homes: Vec<String>,
    rings: BTreeMap<String, Vec<BTreeSet<PeerId>>>,
}

impl Measured {
    fn of(atlas: &Atlas, bits: u8) -> Self {
        let (mut homes, mut rings) = (Vec::new(), BTreeMap::new());
        for partition in 0..1_u32 << bits {
            let ring = atlas.ring(&space(partition, bits), &Regions::ALL);
            let first = ring.sites().first().and_then(|site| atlas.region_of(&site.peer));
            let home = first.map(ToString::to_string).unwrap_or_default();
            rings.entry(home.clone()).or_insert_with(|| holders(&ring));
            homes.push(home);
        }
        Self { homes, rings }
    }

    fn share_most(&self, counts: &[u32]) -> f64 {
        let all: u32 = counts.iter().sum();
        let share = |(number, count): (usize, &u32)| {
            let has = self.homes.iter().filter(|home| **home == name(number)).count() as f64;
            has / self.homes.len() as f64 / (f64::from(*count) / f64::from(all))
        };
        counts.iter().enumerate().map(share).fold(0.0, f64::max)
    }

    /// What each member keeps, when every space has as many objects.
    fn loads(&self, atlas: &Atlas) -> BTreeMap<PeerId, f64> {
        let mut loads: BTreeMap<PeerId, f64> =
            atlas.everybody().sites().iter().map(|site| (site.peer, 0.0)).collect();
        for (home, partitions) in &self.rings {
            let spaces = self.homes.iter().filter(|other| *other == home).count() as f64;
            for peer in partitions.iter().flatten() {
                *loads.entry(*peer).or_default() += spaces / partitions.len() as f64;
            }
        }
        loads
    }
}

impl Movement {
    /// One member of the first region leaves.
    fn add(&mut self, sites: &[(Site, Label)], with: &Measured, bits: u8) {
        let Some(leaver) = sites.first().map(|(site, _region)| site.peer) else { return };
        let fewer = sites.iter().filter(|(site, _region)| site.peer != leaver).cloned().collect();
        let without = Measured::of(&Atlas::of(fewer, bits, &[]), bits);
        let mut within: BTreeMap<(&str, &str), (f64, f64)> = BTreeMap::new();
        for (home, next) in with.homes.iter().zip(&without.homes) {
            let (own, changed) = *within.entry((home, next)).or_insert_with(|| {
                let (old, new) = (&with.rings[home], &without.rings[next]);
                let own = old.iter().filter(|holders| holders.contains(&leaver)).count();
                let changed =
                    old.iter().zip(new).map(|(old, new)| new.difference(old).count()).sum::<usize>();
                (own as f64, changed as f64)
            });
            self.kept += own;
            self.moved += changed;
            self.far += if home == next { 0.0 } else { changed };
        }
    }
}

fn name(number: usize) -> String {
    format!("region-{number}")
}

fn stand(counts: &[u32], seed: u32) -> Vec<(Site, Label)> {
    let id = |kind: u8, number: u32| {
        *blake3::hash(&[&[kind], seed.to_be_bytes().as_slice(), &number.to_be_bytes()].concat()).as_bytes()
    };
    let in_region = |(number, count): (usize, &u32)| {
        (0..*count).filter_map(move |member| {
            let region = u32::try_from(number).ok()?;
            let peer = region * 1_000 + member;
            let site = Site {
                peer: PeerId::from_bytes(id(0, peer)),
                operator: OperatorId::from_bytes(id(1, peer)),
                zone: format!("zone-{region}-{}", member % 10).parse().ok()?,
                weight: 1,
            };
            Some((site, name(number).parse().ok()?))
        })
    };
    counts.iter().enumerate().flat_map(in_region).collect()
}

fn space(partition: u32, bits: u8) -> SpaceId {
    let [a, b, c, d] = (partition << (32 - u32::from(bits))).to_be_bytes();
    let mut id = [7; 32];
    id[..4].copy_from_slice(&[a, b, c, d]);
    SpaceId::from_bytes(id)
}

fn holders(ring: &Table) -> Vec<BTreeSet<PeerId>> {
    ring.partitions()
        .map(|partition| ring.walk(partition).take(PLACES).map(|site| site.peer).collect())
        .collect()
}
