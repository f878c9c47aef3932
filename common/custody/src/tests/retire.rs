//! A supernode leaves in stages, never halfway, and says that nothing is left only when nothing is.

use cosmic_common::time::Timestamp;
use cosmic_ring::State;
use proptest::prelude::*;

use super::rings::{START, hours};
use crate::{
    Retirement,
    retire::{DRAIN, Input, Left, Output, Stage},
};

const SOME: Left = Left { shards: 3, logs: 1, forwards: 0, bytes: 4_000 };

#[test]
fn it_drains_moves_and_is_empty() {
    let mut way = Retirement::default();
    way.handle(Input::Clients(2), START);
    let end = START.after(DRAIN);
    assert_eq!(way.handle(Input::Drain, START), [Output::TurnAway, Output::Wake(end)]);
    assert_eq!(way.handle(Input::Clients(1), START), [Output::Wake(end)]);
    assert_eq!(way.handle(Input::Tick, end), [Output::CutOff]);
    assert!(way.handle(Input::Tick, end).is_empty());
    assert_eq!(way.stage(), Stage::Draining { since: START }, "whoever is cut off is not gone yet");
    assert!(way.handle(Input::Clients(0), end).is_empty());
    assert_eq!(way.stage(), Stage::Drained);
    assert!(way.handle(Input::Left(Left::default()), end).is_empty(), "only a record lets it go");
    assert_eq!(way.handle(Input::Record(Some(State::Retired)), end), [Output::Move]);
    assert_eq!(way.handle(Input::Left(SOME), hours(1)), [Output::Move]);
    assert_eq!(way.stage(), Stage::Moving { since: end, left: SOME });
    assert_eq!(way.handle(Input::Left(Left::default()), hours(30)), [Output::SayEmpty]);
    assert_eq!(way.stage(), Stage::Empty { since: hours(30) });
    assert_eq!(way.handle(Input::Left(SOME), hours(31)), [Output::Move], "a write was on its way");
    assert_eq!(way.handle(Input::Record(Some(State::Active)), hours(32)), [Output::Welcome]);
    assert_eq!(way.stage(), Stage::Serving);
}

#[test]
fn without_clients_it_is_drained_at_once_and_can_go_back() {
    let mut way = Retirement::default();
    assert_eq!(way.handle(Input::Drain, START), [Output::TurnAway]);
    assert_eq!(way.stage(), Stage::Drained);
    assert!(way.handle(Input::Drain, START).is_empty());
    assert_eq!(way.handle(Input::Resume, START), [Output::Welcome]);
    assert!(way.handle(Input::Record(None), START).is_empty(), "it never was in the ring");
    assert!(way.handle(Input::Record(Some(State::Active)), START).is_empty());
    assert_eq!(way.stage(), Stage::Serving);
}

#[test]
fn a_supernode_declared_lost_while_it_lives_passes_on_what_it_has() {
    let mut way = Retirement::default();
    assert_eq!(way.handle(Input::Record(Some(State::Lost)), START), [Output::TurnAway, Output::Move]);
}

proptest! {
    #[test]
    fn empty_means_that_nothing_is_left(steps in prop::collection::vec((0_u8..9, 0_u64..3), 0..60)) {
        let mut way = Retirement::default();
        let (mut record, mut left, mut clients) = (None, Left::default(), 0);
        let (mut draining, mut cut_off): (Option<Timestamp>, bool) = (None, false);
        for (step, (kind, amount)) in (0..).zip(steps) {
            let now = hours(step);
            let input = match kind {
                0 => Input::Drain,
                1 => Input::Resume,
                2 => { record = Some(State::Retired); Input::Record(record) }
                3 => { record = Some(State::Active); Input::Record(record) }
                4 => { clients = amount; Input::Clients(usize::try_from(amount).unwrap()) }
                5..7 => { left = Left { shards: amount, logs: amount / 2, forwards: amount / 2, bytes: amount }; Input::Left(left) }
                _ => Input::Tick,
            };
            let outputs = way.handle(input, now);
            if let Stage::Empty { .. } = way.stage() {
                prop_assert!(record == Some(State::Retired) && left.is_nothing());
            }
            prop_assert_eq!(matches!(way.stage(), Stage::Moving { .. } | Stage::Empty { .. }), record == Some(State::Retired));
            let is_empty = matches!(way.stage(), Stage::Empty { .. });
            prop_assert!(!outputs.contains(&Output::SayEmpty) || is_empty);
            let before = draining.take();
            match way.stage() {
                Stage::Draining { since } => {
                    prop_assert!(clients > 0, "nobody is waited for");
                    draining = Some(since);
                    cut_off = before == draining && (cut_off || outputs.contains(&Output::CutOff));
                    prop_assert_eq!(cut_off, before == draining, "an hour is longer than they have");
                }
                Stage::Drained => prop_assert!(before.is_none() || clients == 0, "somebody is still here"),
                Stage::Serving | Stage::Moving { .. } | Stage::Empty { .. } => {}
            }
        }
    }
}
