//! A seeded world of replicas, links and failures, in which honest sessions must end equal.
//!
//! Streams keep order and lose everything when they break; drivers answer late and in any order; nodes
//! lose power; one node may lie. One random number decides each step, so a seed repeats a run exactly.

pub(crate) mod liar;
pub(crate) mod replica;
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
        world.assert_converged();
        sum += world.seen;
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

/// `count` seeds from `first` on, or what `COSMIC_SEEDS` says (`make simulate`): `5000`, or `5000@100000` to begin
/// a hundred thousand further on.
fn seeds(first: u64, count: u64) -> Range<u64> {
    let Ok(asked) = std::env::var("COSMIC_SEEDS") else { return first..first + count };
    let (count, further) = asked.split_once('@').unwrap_or((&asked, "0"));
    let number = |text: &str| text.parse::<u64>().expect("COSMIC_SEEDS is `count` or `count@further`");
    let first = first + number(further);
    first..first + number(count)
}

#[test]
fn two_replicas_converge_through_broken_streams() {
    let seen = run(seeds(0, 250), Plan { nodes: 2, steps: 1_500, liar: false, narrow: false });
    assert!(seen.identified > 0 && seen.later_rounds > 0 && seen.crashes > 0, "{seen:?}");
}

#[test]
fn five_replicas_converge_through_crashes() {
    let seen = run(seeds(1_000, 50), Plan { nodes: 5, steps: 2_000, liar: false, narrow: false });
    assert!(seen.waits > 0 && seen.identified > 0 && seen.crashes > 0, "{seen:?}");
}

#[test]
fn replicas_that_want_different_channels_converge_on_what_they_share() {
    let seen = run(seeds(2_000, 150), Plan { nodes: 3, steps: 2_000, liar: false, narrow: true });
    assert!(seen.waits > 0 && seen.later_rounds > 0, "{seen:?}");
}

#[test]
fn a_liar_among_four_harms_nobody() {
    let seen = run(seeds(3_000, 150), Plan { nodes: 4, steps: 2_500, liar: true, narrow: false });
    assert!(seen.refused > 100, "{seen:?}");
}

/// Behind entries that were left out, more were on their way; what was left out last passed for waiting in vain.
#[test]
fn seed_2000074_does_not_wait_behind_a_gap() {
    run(2_000_074..2_000_075, Plan { nodes: 3, steps: 2_000, liar: false, narrow: true });
}
