//! A proof is given by those who have the shard and nobody else; one liar alone harms nobody.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    hash,
    id::{OperatorId, PeerId},
    time::Timestamp,
};
use proptest::prelude::*;

use super::{
    docket::{CASES_MAX, Docket, Failure},
    evidence::{Finding, Suspect},
    proof::{Challenge, GROUP_BYTES, GROUPS, ProofError, groups_of},
    repute::{BELIEVED_FROM, REPUTE_FULL, Repute, TRUSTED_FROM},
    rota::{AUDIT_EVERY, is_mine, slot},
};
use crate::tests::rings::{HOUR, START, hours, object, peer};

fn shard(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 1024) % 251).unwrap()).collect()
}

fn draw(length: usize, seed: u8) -> Challenge {
    Challenge::draw(object(1), 2, length, &peer(1), &[seed; 32])
}

#[test]
fn a_holder_proves_what_it_has() {
    for length in [1, 1024, GROUP_BYTES, GROUP_BYTES + 1, 1_398_102, 4_194_304] {
        let bytes = shard(length);
        let expected = hash::plain(&bytes);
        let challenge = draw(length, 7);
        assert_eq!(challenge.groups.len(), GROUPS.min(groups_of(length) as usize));
        let proof = challenge.prove(&bytes, &expected).unwrap();
        challenge.check(&proof, &expected, length).unwrap();
        assert!(proof.len() <= GROUPS * (GROUP_BYTES + 16 * 64), "{length}: {}", proof.len());
    }
}

/// The form is bao with groups of 16 KiB, in pre-order, without a length in front.
#[test]
fn a_proof_is_what_docs_say() {
    let bytes = shard(3 * GROUP_BYTES);
    let tree = blake3::hazmat::left_subtree_len(bytes.len() as u64);
    assert_eq!(tree, 2 * GROUP_BYTES as u64);
    let group = |number: usize| {
        use blake3::hazmat::HasherExt as _;
        let start = number * GROUP_BYTES;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(start as u64).update(&bytes[start..start + GROUP_BYTES]);
        hasher.finalize_non_root()
    };
    let left = blake3::hazmat::merge_subtrees_non_root(&group(0), &group(1), blake3::hazmat::Mode::Hash);
    let by_hand =
        [left.as_slice(), &group(2), &group(0), &group(1), &bytes[GROUP_BYTES..2 * GROUP_BYTES]].concat();
    let challenge = Challenge { object: object(1), index: 0, groups: vec![1] };
    assert_eq!(challenge.prove(&bytes, &hash::plain(&bytes)).unwrap(), by_hand);
}

#[test]
fn a_challenge_out_of_bounds_is_refused_by_both() {
    let bytes = shard(2 * GROUP_BYTES);
    let expected = hash::plain(&bytes);
    for groups in [vec![], vec![2], vec![1, 0], vec![1, 1]] {
        let challenge = Challenge { object: object(1), index: 0, groups };
        assert!(matches!(challenge.prove(&bytes, &expected), Err(ProofError::NoSuchGroup { groups: 2 })));
        assert!(matches!(challenge.check(&[], &expected, bytes.len()), Err(ProofError::NoSuchGroup { .. })));
    }
    let other = hash::plain(b"another");
    assert!(matches!(draw(bytes.len(), 1).prove(&bytes, &other), Err(ProofError::Wrong)));
}

#[test]
fn every_group_is_asked_for_as_often_as_the_others() {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for seed in 0..3_000_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_be_bytes());
        let challenge = Challenge::draw(object(1), 0, 10 * GROUP_BYTES, &peer(1), &bytes);
        assert!(challenge.groups.is_sorted_by(|one, other| one < other) && challenge.groups.len() == GROUPS);
        challenge.groups.iter().for_each(|group| *counts.entry(*group).or_default() += 1);
    }
    assert_eq!(counts.len(), 10);
    assert!(counts.values().all(|count| (800..1000).contains(count)), "900 each expected: {counts:?}");
}

#[test]
fn each_holder_is_asked_about_once_in_ten_minutes() {
    let peers: Vec<PeerId> = (0..50).map(peer).collect();
    let mut asked = 0;
    for number in 0..200 {
        for holder in &peers {
            assert!(!is_mine(holder, holder, 49, number));
            asked += peers.iter().filter(|me| is_mine(me, holder, 49, number)).count();
        }
    }
    assert!((9_500..10_500).contains(&asked), "10,000 expected: {asked}");
    assert_eq!(slot(START.after(AUDIT_EVERY), AUDIT_EVERY), slot(START, AUDIT_EVERY) + 1);
    assert_eq!(slot(START, Duration::ZERO), START.unix_ms(), "nothing divides by nothing");
    assert!(is_mine(&peer(0), &peer(1), 1, 7) && !is_mine(&peer(0), &peer(1), 0, 7));
}

fn operator(number: u8) -> OperatorId {
    OperatorId::from_bytes([number; 32])
}

fn suspect(index: u8) -> Suspect {
    Suspect { holder: peer(1), object: object(1), index }
}

/// The docket of operator 0, about a holder of operator 9.
fn docket() -> Docket {
    Docket::new(operator(0))
}

fn fails(docket: &mut Docket, witness: u8, at: Timestamp) -> bool {
    let failure = Failure {
        suspect: suspect(0),
        witness: operator(witness),
        accused: operator(9),
        finding: Finding::Wrong,
        time: at,
    };
    docket.failed(failure, witness == 0, at)
}

#[test]
fn two_of_different_operators_or_twice_oneself() {
    let mut one = docket();
    assert!(!fails(&mut one, 0, START));
    assert!(!fails(&mut one, 0, START.after(AUDIT_EVERY / 2)), "a disk may have a bad moment");
    assert!(!one.is_lost(&suspect(0), hours(0)));
    assert!(fails(&mut one, 0, START.after(AUDIT_EVERY)));
    assert!(one.is_lost(&suspect(0), hours(0)) && !one.is_lost(&suspect(1), hours(0)));
    assert!(!fails(&mut one, 0, hours(1)), "it is no news");

    let mut others = docket();
    assert!(!fails(&mut others, 1, START) && !fails(&mut others, 1, hours(5)), "one liar, however often");
    assert!(!fails(&mut others, 9, hours(5)), "the holder's own operator does not count");
    assert!(fails(&mut others, 2, hours(5)));

    let mut both = docket();
    assert!(!fails(&mut both, 1, START) && fails(&mut both, 0, START));
}

#[test]
fn what_was_found_once_is_asked_for_again_when_the_pause_is_over() {
    let pause = Duration::from_secs(7);
    let mut docket = docket().with_pause(pause);
    assert!(!fails(&mut docket, 0, START));
    assert_eq!(docket.due(START.after(pause / 2)).count(), 0);
    assert_eq!(docket.due(START.after(pause)).collect::<Vec<_>>(), [suspect(0)]);
    assert!(docket.is_doubted(&suspect(0)) && docket.cases().all(|(_suspect, lost)| !lost));
    assert!(fails(&mut docket, 0, START.after(pause)));
    assert_eq!(
        (docket.due(hours(1)).count(), docket.cases().filter(|(_suspect, lost)| *lost).count()),
        (0, 1)
    );
    docket.belongs_to(operator(1));
    assert!(!fails(&mut docket, 1, hours(1)), "its own operator's voice is one voice");
}

#[test]
fn a_proof_outweighs_what_was_said_before_it() {
    let mut docket = docket();
    assert!(!fails(&mut docket, 0, START));
    assert!(fails(&mut docket, 1, hours(2)));
    assert!(docket.is_lost(&suspect(0), hours(0)));
    docket.proved(suspect(0), hours(3));
    assert!(!docket.is_lost(&suspect(0), hours(0)));
    assert!(!fails(&mut docket, 2, hours(3)), "not after the proof");
    assert!(!fails(&mut docket, 2, hours(4)));
    assert!(fails(&mut docket, 1, hours(4)), "both after it");
    docket.restored(&suspect(0));
    assert!(!docket.is_lost(&suspect(0), hours(0)));
    assert!(docket.repute(&peer(1)).score(hours(4)) < REPUTE_FULL, "that it was given again is no merit");
}

#[test]
fn repute_falls_fast_and_rises_slowly() {
    let mut repute = Repute::default();
    (0..10).for_each(|_| repute.lost(Finding::Denied, START));
    assert_eq!((repute.score(START), repute.is_trusted(START)), (TRUSTED_FROM, true), "a disk died");
    (0..2).for_each(|_| repute.lost(Finding::Wrong, START));
    assert_eq!(
        (repute.score(START), repute.is_trusted(START), repute.is_believed(START)),
        (100, false, false)
    );
    repute.lost(Finding::Wrong, START);
    assert_eq!(repute.score(START), 0);
    assert!(!repute.is_believed(hours(u64::from(BELIEVED_FROM) - 1)));
    assert!(repute.is_believed(hours(u64::from(BELIEVED_FROM))));
    assert!(!repute.is_trusted(hours(u64::from(TRUSTED_FROM) - 1)));
    assert!(repute.is_trusted(hours(u64::from(TRUSTED_FROM))));
    repute.lost(Finding::Wrong, hours(300));
    assert_eq!((repute.score(hours(300)), repute.score(hours(1_000_000))), (100, REPUTE_FULL));
}

#[test]
fn who_lost_too_much_is_not_believed_about_anything() {
    let mut docket = docket();
    for index in 0..5 {
        let failure = |witness| Failure {
            suspect: suspect(index),
            witness,
            accused: operator(9),
            finding: Finding::Wrong,
            time: START,
        };
        assert!(!docket.failed(failure(operator(1)), false, START));
        assert!(docket.failed(failure(operator(2)), false, START));
    }
    assert!(docket.is_lost(&suspect(31), hours(0)), "nobody asked about this one");
    docket.retain(|_| false);
    assert!(!docket.is_lost(&suspect(0), hours(0)));
}

#[test]
fn a_docket_is_bounded_and_forgets_the_oldest() {
    let mut docket = docket();
    let failure = |number: u32| Failure {
        suspect: Suspect { holder: peer(1), object: object(number), index: 0 },
        witness: operator(1),
        accused: operator(9),
        finding: Finding::Wrong,
        time: START.after(HOUR * number),
    };
    let count = u32::try_from(CASES_MAX).unwrap() + 1;
    (0..count).for_each(|number| assert!(!docket.failed(failure(number), false, hours(1_000_000))));
    let again = |docket: &mut Docket, number| {
        docket.failed(Failure { witness: operator(2), ..failure(number) }, false, hours(1_000_000))
    };
    assert!(again(&mut docket, 1), "it was remembered");
    assert!(!again(&mut docket, 0), "the oldest was not");
}

proptest! {
    /// No changed, missing or added byte passes, whatever the shard and whichever groups.
    #[test]
    fn no_other_bytes_are_a_proof(length in 1_usize..100_000, seed: u8, at: prop::sample::Index, value: u8, cut in 0_usize..100) {
        let bytes = shard(length);
        let expected = hash::plain(&bytes);
        let challenge = draw(length, seed);
        let proof = challenge.prove(&bytes, &expected).unwrap();
        prop_assert!(challenge.check(&proof, &expected, length).is_ok());
        let mut changed = proof.clone();
        let at = at.index(changed.len());
        changed[at] = value;
        prop_assert_eq!(challenge.check(&changed, &expected, length).is_ok(), proof[at] == value);
        let short = &proof[..proof.len() - cut.min(proof.len())];
        prop_assert_eq!(challenge.check(short, &expected, length).is_ok(), cut == 0);
        let long = [proof.as_slice(), &[value]].concat();
        let too_long = matches!(challenge.check(&long, &expected, length), Err(ProofError::TooLong { bytes: 1 }));
        prop_assert!(too_long);
    }

    /// One operator alone never makes a shard count as lost, whatever it says whenever.
    #[test]
    fn one_liar_alone_harms_nobody(findings in prop::collection::vec((0_u64..1000, any::<bool>()), 0..40)) {
        let mut docket = docket();
        for (hour, proof) in findings {
            if proof {
                docket.proved(suspect(0), hours(hour));
            } else {
                prop_assert!(!fails(&mut docket, 3, hours(hour)));
            }
            prop_assert!(!docket.is_lost(&suspect(0), hours(0)));
        }
    }
}
