//! Chains: whatever arrives in whatever order, a log is a prefix of what its writer wrote.

use cosmic_common::id::{ChannelId, Incarnation, SpaceId, WriterId};
use cosmic_identity::key::SecretKey;
use proptest::prelude::*;

use super::{chain, change, key, next, open, opened, time};
use crate::{
    chain::{LogState, Refusal, Step, append, open_log},
    entry::Entry,
    open::Open,
};

fn begun(entries: &[Entry]) -> LogState {
    let mut state = LogState::from_open(&entries[0]).unwrap();
    for entry in &entries[1..] {
        assert_eq!(state.check(entry).unwrap(), Step::Extends);
        state.extend(entry);
    }
    state
}

#[test]
fn a_log_opens_and_grows() {
    let entries = chain(3, b'a');
    let state = begun(&entries);
    assert_eq!((state.head().seq, state.head().entry), (3, entries[3].id()));
    assert_eq!((state.open(), state.log(), state.next_seq()), (&open(), open().log_id(), 4));
    assert_eq!(LogState::restore(open(), state.head()), state);
}

#[test]
fn bodies_are_sealed_to_the_core_that_is_signed() {
    let (state, _first) = opened();
    let mut seen = Vec::new();
    let entry = append(&state, change(1), &key(), |core| {
        seen = core.to_vec();
        b"sealed".to_vec()
    });
    assert_eq!(entry.unwrap().core_bytes(), seen);
}

#[test]
fn dropped_bodies_extend_a_log_but_do_not_open_one() {
    let entries = chain(1, b'a');
    let state = LogState::from_open(&entries[0]).unwrap();
    assert_eq!(state.check(&entries[1].clone().without_body()).unwrap(), Step::Extends);
    let refused = LogState::from_open(&entries[0].clone().without_body());
    assert!(matches!(refused, Err(Refusal::Opening)));
    assert!(matches!(LogState::from_open(&entries[1]), Err(Refusal::Opening)));
}

#[test]
fn nobody_opens_or_extends_the_log_of_another() {
    let mallory = SecretKey::from_seed(&[66; 32]);
    let (_state, forged) = open_log(open(), time(0), &mallory).unwrap();
    assert!(matches!(LogState::from_open(&forged), Err(Refusal::Signature(_))));

    let (state, _first) = opened();
    let forged = append(&state, change(1), &mallory, |_core| Vec::new()).unwrap();
    assert!(matches!(state.check(&forged), Err(Refusal::Signature(_))));
}

#[test]
fn every_part_of_an_opening_names_another_log() {
    let other = WriterId::from_bytes([9; 32]);
    let variants = [
        Open { space: SpaceId::from_bytes([9; 32]), ..open() },
        Open { writer: other, ..open() },
        Open { channel: ChannelId::from_bytes([9; 32]), ..open() },
        Open { incarnation: Incarnation::from_bytes([9; 16]), ..open() },
    ];
    for variant in variants {
        assert_ne!(variant.log_id(), open().log_id());
    }
    assert_eq!(Open { delegation: None, ..open() }.log_id(), open().log_id());
}

#[test]
fn entries_of_another_log_or_branch_are_refused() {
    let entries = chain(2, b'a');
    let elsewhere = Open { channel: ChannelId::from_bytes([9; 32]), ..open() };
    let (elsewhere, _first) = open_log(elsewhere, time(0), &key()).unwrap();
    let state = begun(&entries[..2]);
    let refused = state.check(&next(&elsewhere, change(1), b""));
    assert!(matches!(refused, Err(Refusal::OtherLog)));
    let other_branch = chain(2, b'b').pop().unwrap();
    assert!(matches!(state.check(&other_branch), Err(Refusal::BrokenChain)));
    let refused = begun(&entries[..1]).check(&entries[2]);
    assert!(matches!(refused, Err(Refusal::Gap { expected: 1, found: 2 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_order_and_repetition_ends_in_the_longest_prefix_or_a_typed_refusal(
        order in prop::collection::vec(0_usize..9, 0..40),
    ) {
        let entries = chain(8, b'a');
        let mut state = LogState::from_open(&entries[0]).unwrap();
        let mut taken = 0;
        for index in order {
            let entry = &entries[index];
            match state.check(entry) {
                Ok(Step::Extends) => {
                    prop_assert_eq!(index, taken + 1);
                    state.extend(entry);
                    taken = index;
                }
                Ok(Step::Taken) => prop_assert!(index <= taken),
                Err(Refusal::Gap { expected, found }) => {
                    prop_assert_eq!((expected, found), (taken as u64 + 1, index as u64));
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
            prop_assert_eq!(state.head().entry, entries[taken].id());
        }
        // What was refused for a gap comes again, as sync would send it.
        for entry in &entries[taken + 1..] {
            prop_assert_eq!(state.check(entry).unwrap(), Step::Extends);
            state.extend(entry);
        }
        prop_assert_eq!(state, begun(&entries));
    }
}
