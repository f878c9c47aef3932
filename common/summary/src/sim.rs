//! A seeded network of thousands of supernodes: what its summaries say, against what is true, with churn and with liars.
//!
//! Devices choose the less loaded of two gateways by loads that are a while old; some have a second gateway, in their region or
//! in another. Bytes lie as the real ring tables place them. Some supernodes are away, some are there and say nothing, devices
//! move on after their gateways spoke. Then three aggregators of each region merge, of which one may lie, and everybody takes the
//! middle. A seed repeats a run exactly.

mod chance;
mod lies;
mod world;

use std::ops::Range;

use self::{
    lies::Lie,
    world::{MEMBERS, Plan, World},
};

/// `count` seeds from `first` on, or more: `COSMIC_SEEDS` (`make simulate`) multiplies, `5000` is a hundred times as many,
/// `5000@100000` begins a hundred thousand further on.
fn seeds(first: u64, count: u64) -> Range<u64> {
    let Ok(asked) = std::env::var("COSMIC_SEEDS") else { return first..first + count };
    let (asked, further) = asked.split_once('@').unwrap_or((&asked, "0"));
    let number = |text: &str| text.parse::<u64>().expect("COSMIC_SEEDS is `count` or `count@further`");
    let first = first + number(further);
    first..first + (count * number(asked) / 50).max(count)
}

const PLAN: Plan = Plan { members: MEMBERS, devices: 400_000, elsewhere: 100, lie: None };

/// How far the summaries of all these seeds were off, as parts of the truth: one list for each figure.
fn errors(seeds: Range<u64>, plan: Plan) -> [(&'static str, Vec<f64>); 4] {
    let mut errors = ["devices", "spaces", "bytes", "p50"].map(|name| (name, Vec::new()));
    for seed in seeds {
        let world = World::new(seed, plan);
        for ((_name, list), error) in errors.iter_mut().zip(world.errors()) {
            list.push(error);
        }
    }
    for (name, list) in &mut errors {
        list.sort_by(|one, other| one.abs().total_cmp(&other.abs()));
        println!(
            "{:?} {name}: median {:+.4}, most {:+.4}",
            plan.lie,
            list[list.len() / 2],
            list[list.len() - 1]
        );
    }
    errors
}

#[test]
fn what_honest_members_say_is_right_within_two_percent_95_times_in_100() {
    for (name, errors) in errors(seeds(1, 20), PLAN) {
        let right = errors.iter().filter(|error| error.abs() <= 0.02).count();
        assert!(right * 100 >= errors.len() * 95, "{name}: {right} of {}", errors.len());
    }
}

#[test]
fn thirty_liars_of_a_hundred_shift_nothing_by_more_than_five_percent() {
    for lie in Lie::ABOUT_NUMBERS {
        for (name, errors) in errors(seeds(10_000, 1), Plan { lie: Some(lie), ..PLAN }) {
            let worst = errors.last().copied().unwrap_or_default();
            assert!(worst.abs() <= 0.05, "{lie:?} shifts {name} by {worst:+.3}");
        }
    }
}

/// The bound that no sketch can lower: a gateway that tells a believable number of devices, but others' or none, is believed.
/// `docs/protocol/summary.md` says so.
#[test]
fn liars_about_which_devices_they_have_shift_no_more_than_their_share() {
    for lie in Lie::ABOUT_DEVICES {
        let [(_, devices), rest @ ..] = errors(seeds(20_000, 1), Plan { lie: Some(lie), ..PLAN });
        assert!(devices.iter().all(|error| error.abs() <= 0.32), "{lie:?}: {devices:?}");
        for (name, errors) in rest {
            assert!(errors.iter().all(|error| error.abs() <= 0.02), "{lie:?} shifts {name}: {errors:?}");
        }
    }
}
