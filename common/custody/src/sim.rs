//! A seeded world of supernodes in zones, run by operators, through months of churn: what was acknowledged stays.
//!
//! Disks die, rot and come back empty; machines go away for hours; a zone is cut off; messages are lost, and carried out
//! twice, the second time hours later; tables change and are learnt late; some supernodes keep nothing of what they sign
//! for. Every decision is made by the rules of this room; the world only carries it out and watches. The one mercy: a disk
//! is spared while an object on it has lost n - k shards already, since no rule could save that. One random number
//! decides each step, so a seed repeats a run exactly.

mod chance;
mod fate;
mod judge;
mod node;
mod objects;
mod recode;
mod ring;
mod work;
mod world;

use std::ops::Range;

use self::world::{Plan, Seen, World};

/// Runs all seeds and sums up what they exercised; the seed that fails is printed.
fn run(seeds: Range<u64>, plan: Plan) -> Seen {
    let mut sum = Seen::default();
    for seed in seeds {
        let _print = PrintSeed(seed);
        let mut world = World::new(seed, plan);
        world.rage();
        world.calm_down();
        world.assert_rebuilt();
        world.expel_the_liars();
        world.assert_healed();
        sum.add(&world.seen);
    }
    sum
}

struct PrintSeed(u64);

impl Drop for PrintSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the simulation fails with seed {}", self.0);
        }
    }
}

/// `count` seeds from `first` on, or more: `COSMIC_SEEDS` (`make simulate`) multiplies, `5000` is a hundred times as many,
/// `5000@100000` begins a hundred thousand further on.
fn seeds(first: u64, count: u64) -> Range<u64> {
    let Ok(asked) = std::env::var("COSMIC_SEEDS") else { return first..first + count };
    let (asked, further) = asked.split_once('@').unwrap_or((&asked, "0"));
    let number = |text: &str| text.parse::<u64>().expect("COSMIC_SEEDS is `count` or `count@further`");
    let first = first + number(further);
    first..first + (count * number(asked) / 50).max(count)
}

const SMALL: Plan =
    Plan { nodes: 14, zones: 5, operators: 7, objects: 16, days: 60, tick_hours: 2, liars: 0, wild: true };

#[test]
fn a_small_ring_heals_through_two_months() {
    let seen = run(seeds(8, 3), SMALL);
    assert!(seen.mended > 100 && seen.freed > 100 && seen.destroyed > 10 && seen.emptied > 0, "{seen:?}");
    assert!(
        seen.claimed_again > 0
            && seen.deleted > 0
            && seen.adopted > 0
            && seen.given > 0
            && seen.disagreed > 0,
        "{seen:?}"
    );
}

#[test]
fn liars_are_found_and_harm_nobody() {
    let seen = run(seeds(10_000, 2), Plan { nodes: 20, liars: 3, ..SMALL });
    assert!(seen.found_lost > 20 && seen.mended > 100 && seen.slandered > 0, "{seen:?}");
}

#[test]
fn a_ring_of_six_mends_what_it_can() {
    let plan = Plan { nodes: 7, zones: 3, operators: 3, objects: 12, ..SMALL };
    let seen = run(seeds(20_000, 4), plan);
    assert!(seen.mended > 20 && seen.stuck > 0, "{seen:?}");
}

#[test]
fn rings_between_two_classes_code_anew() {
    for (first, nodes) in [(40_000, 5), (50_000, 10), (60_000, 20)] {
        let plan = Plan { nodes, zones: 4, operators: 4, objects: 10, ..SMALL };
        let seen = run(seeds(first, 2), plan);
        assert!(seen.recoded > 10 && seen.yielded > 20 && seen.mended > 10, "{nodes}: {seen:?}");
    }
}

#[test]
fn a_wide_ring_lives_through_a_year() {
    let plan = Plan {
        nodes: 240,
        zones: 12,
        operators: 40,
        objects: 20,
        days: 365,
        tick_hours: 4,
        liars: 5,
        wild: false,
    };
    let seen = run(seeds(30_000, 1), plan);
    assert!(seen.mended > 40 && seen.destroyed > 100 && seen.spared == 0, "{seen:?}");
}
