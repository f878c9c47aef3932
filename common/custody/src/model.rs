//! Every order of {write, move, table change, free} in a ring of a few supernodes, tried by a model checker: whatever is
//! delivered late, twice or never, and whoever learns a table when, the last k shards are never freed.
//!
//! The simulator (`sim`) plays long lives of many; this plays all short lives of few. Both are driven by the rules that
//! supernodes run. Each rule that is taken away below has to be missed: a model that cannot fail shows nothing.

mod ring;
mod state;

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model as _};

use self::{
    ring::{Plan, Ring, Rules},
    state::{DONE, SAFE},
};

/// A single copy that moves, and back: whoever frees it on the other's word loses it.
const ONE: Plan = Plan { k: 1, n: 1, tables: &[&[0], &[1], &[0]], losses: 0, repeats: 2 };
/// Two copies of which one moves, and a disk that is lost.
const TWO: Plan = Plan { k: 1, n: 2, tables: &[&[0, 1], &[1, 2]], losses: 1, repeats: 1 };
/// Two of three shards, one of which moves, and a disk that is lost.
const CODED: Plan = Plan { k: 2, n: 3, tables: &[&[0, 1, 2], &[1, 2, 3]], losses: 1, repeats: 0 };

fn check(plan: Plan, rules: Rules) -> impl Checker<Ring> {
    let finish = HasDiscoveries::AnyFailures;
    Ring::new(plan, rules).checker().threads(2).finish_when(finish).spawn_bfs().join()
}

fn assert_safe(plan: Plan) {
    let checker = check(plan, Rules::default());
    println!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    checker.assert_no_discovery(SAFE);
    checker.assert_any_discovery(DONE);
}

fn assert_missed(plan: Plan, rules: Rules) {
    let checker = check(plan, rules);
    let path = checker.assert_any_discovery(SAFE);
    println!("{:?}", path.into_actions());
}

#[test]
fn a_single_copy_that_moves_and_comes_back_is_never_freed() {
    assert_safe(ONE);
}

#[test]
fn of_two_copies_the_last_is_never_freed() {
    assert_safe(TWO);
}

#[test]
fn of_coded_shards_the_last_k_are_never_freed() {
    assert_safe(CODED);
}

#[test]
fn without_the_delay_two_free_on_each_others_word() {
    assert_missed(ONE, Rules { delay: Duration::ZERO, ..Rules::default() });
}

#[test]
fn without_asking_anew_the_word_of_yesterday_frees_the_last() {
    assert_missed(ONE, Rules { asks_anew: false, ..Rules::default() });
}

#[test]
fn without_receipts_a_copy_goes_before_others_have_it() {
    assert_missed(TWO, Rules { wants_receipts: false, ..Rules::default() });
}

#[test]
fn a_copy_on_its_way_out_must_not_be_promised() {
    assert_missed(ONE, Rules { promises_all: true, ..Rules::default() });
}
