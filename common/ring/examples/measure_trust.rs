//! Measures trust through vouches: the figures of admission in `docs/protocol/ring.md`.
//!
//! `cargo run -p cosmic-ring --release --example measure_trust`. Seconds; every figure is the same everywhere.
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a program for people to run by hand"
)]

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{hash, id::OperatorId};
use cosmic_ring::{
    trust::{KEEPS, RANKS, Trusted, trusted},
    vouches::VOUCHES_MAX,
};

/// Webs of each kind, each with other vouches.
const SEEDS: u64 = 20;
/// Roots, and operators that come one after the other.
const ROOTS: usize = 5;
const OPERATORS: usize = 200;
/// Operators somebody invented; each vouches for the next ones, so that all are well vouched for.
const SYBILS: usize = 1000;

type Web = BTreeMap<OperatorId, BTreeSet<OperatorId>>;

fn main() {
    println!("| each newcomer asks | of {OPERATORS} operators count | ranks 1, 2, 3 |");
    println!("|---|---|---|");
    for asks in [1, 2, 3, 6] {
        let (mut least, mut ranks) = (usize::MAX, [0_usize; RANKS.len()]);
        for seed in 0..SEEDS {
            let counting = who(&grow(seed, asks));
            least = least.min(counting.places.len());
            counting.places.values().for_each(|place| ranks[place.rank] += 1);
        }
        let mean = |rank: usize| ranks[rank] as f64 / SEEDS as f64;
        println!("| {asks} | {least} | {:.1}, {:.1}, {:.1} |", mean(1), mean(2), mean(3));
    }
    println!(
        "\n| fooled | their vouches carry | enough for | of {SYBILS} Sybils count | if any two vouches sufficed |"
    );
    println!("|---|---|---|---|---|");
    for (rank, fooled) in [(3, 20), (2, 5), (2, 20), (1, 1), (1, 2), (1, 5), (1, 20), (0, 1), (0, 2)] {
        let (mut carried, mut most, mut counted) = (0, 0, 0);
        for seed in 0..SEEDS {
            let mut web = grow(seed, 6);
            let vouches = attack(&mut web, seed, rank, fooled);
            let counting = who(&web);
            let sybils = (0..SYBILS).filter(|sybil| counting.places.contains_key(&id(1, *sybil))).count();
            let carry = RANKS[rank].carries * vouches;
            assert!(sybils as u64 * u64::from(KEEPS) <= u64::from(carry), "more Sybils than vouches carry");
            carried = carried.max(carry);
            most = most.max(sybils);
            counted = counted.max(by_count(&web));
        }
        println!("| {fooled} of rank {rank} | {carried} | {} | {most} | {counted} |", carried / KEEPS);
    }
}

fn id(kind: u8, number: usize) -> OperatorId {
    OperatorId::from_bytes(hash::derive("measure trust", &[&[kind], &(number as u64).to_be_bytes()]))
}

fn roots() -> BTreeSet<OperatorId> {
    (0..ROOTS).map(|number| id(0, number)).collect()
}

fn who(web: &Web) -> Trusted {
    trusted(&roots(), &BTreeSet::new(), |operator| web.get(operator))
}

/// Numbers that follow from a seed.
struct Chance(u64, u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.1 += 1;
        let [a, b, c, d, e, f, g, h, ..] =
            hash::derive("measure trust", &[&self.0.to_be_bytes(), &self.1.to_be_bytes()]);
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        usize::try_from(number % bound as u64).expect("less than the bound")
    }
}

/// Operators come one after the other, and each asks as many of those there for a vouch; who has none left is asked in vain.
fn grow(seed: u64, asks: usize) -> Web {
    let (mut web, mut chance) = (Web::new(), Chance(seed, 0));
    for number in ROOTS..OPERATORS {
        for _ask in 0..asks {
            let list = web.entry(id(0, chance.below(number))).or_default();
            if list.len() < VOUCHES_MAX {
                list.insert(id(0, number));
            }
        }
    }
    web
}

/// Sybils vouch for each other, and `fooled` operators of `rank` for one of the first Sybils each: as closely together as helps
/// most. Whoever is fooled gives up another vouch for it if he has none left.
fn attack(web: &mut Web, seed: u64, rank: usize, fooled: usize) -> u32 {
    for number in 0..SYBILS {
        let next = (1..=VOUCHES_MAX).map(|step| id(1, (number * 7 + step * step) % SYBILS));
        web.insert(id(1, number), next.collect());
    }
    let counting = who(web);
    let mut of_rank: Vec<_> = counting
        .places
        .iter()
        .filter(|(_, place)| place.rank == rank)
        .map(|(operator, _)| *operator)
        .collect();
    let mut chance = Chance(seed, 1 << 32);
    let together = if rank == 1 { 5 } else { 6 };
    let mut vouches = 0;
    for number in 0..fooled.min(of_rank.len()) {
        let victim = of_rank.swap_remove(chance.below(of_rank.len()));
        let list = web.entry(victim).or_default();
        if list.len() == VOUCHES_MAX {
            list.pop_last();
        }
        list.insert(id(1, number / together));
        vouches += 1;
    }
    vouches
}

/// Sybils that would count if two vouches of anybody who counts were enough.
fn by_count(web: &Web) -> usize {
    let mut counting = roots();
    loop {
        let mut vouches: BTreeMap<OperatorId, u32> = BTreeMap::new();
        for named in counting.iter().filter_map(|voucher| web.get(voucher)).flatten() {
            *vouches.entry(*named).or_default() += 1;
        }
        let before = counting.len();
        counting.extend(vouches.into_iter().filter(|(_, count)| *count >= 2).map(|(operator, _)| operator));
        if counting.len() == before {
            return (0..SYBILS).filter(|sybil| counting.contains(&id(1, *sybil))).count();
        }
    }
}
