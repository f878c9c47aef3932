//! Forks: two entries in one place always make a proof, and nothing else does.

use cosmic_common::record::Record as _;
use cosmic_identity::key::SecretKey;
use proptest::prelude::*;

use super::{chain, key, open};
use crate::{
    chain::{LogState, Step},
    entry::Entry,
    fork::{ForkError, ForkProof},
};

#[test]
fn one_entry_or_two_places_are_no_fork() {
    let entries = chain(2, b'a');
    assert!(ForkProof::between(&entries[1], &entries[1]).is_none());
    assert!(ForkProof::between(&entries[1], &entries[1].clone().without_body()).is_none());
    assert!(ForkProof::between(&entries[1], &entries[2]).is_none());
}

#[test]
fn a_proof_needs_the_writers_signature_on_both() {
    let proof = ForkProof::between(&chain(1, b'a')[1], &chain(1, b'b')[1]).unwrap();
    let other = SecretKey::from_seed(&[66; 32]);
    assert!(matches!(proof.verify(&other.writer_id()), Err(ForkError::Signature(_))));

    let ours = &chain(1, b'a')[1];
    let forged = Entry::create(ours.core().clone(), b"forged".to_vec(), &other).unwrap();
    let proof = ForkProof::between(ours, &forged).unwrap();
    assert!(matches!(proof.verify(&open().writer), Err(ForkError::Signature(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_fork_is_proven_from_either_side(place in 1_usize..6, dropped: bool) {
        let (ours, theirs) = (chain(6, b'a'), chain(6, b'b'));
        // Both branches are well formed; they part at the first entry after the opening.
        let mut state = LogState::from_open(&ours[0]).unwrap();
        for entry in &ours[1..] {
            state.extend(entry);
        }
        prop_assert_eq!(state.check(&theirs[place]).unwrap(), Step::Taken);
        let their_entry = if dropped { theirs[place].clone().without_body() } else { theirs[place].clone() };
        let proof = ForkProof::between(&ours[place], &their_entry).unwrap();
        prop_assert_eq!(&proof, &ForkProof::between(&their_entry, &ours[place]).unwrap());
        let fork = ForkProof::from_bytes(&proof.to_bytes()).unwrap().verify(&key().writer_id()).unwrap();
        prop_assert_eq!((fork.log, fork.seq), (open().log_id(), place as u64));
        prop_assert!(fork.counts < fork.aside);
        prop_assert_eq!(fork.counts, ours[place].id().min(theirs[place].id()));
        prop_assert_eq!(proof.log(), Some(open().log_id()));
    }

    #[test]
    fn any_flipped_bit_breaks_a_proof(position: prop::sample::Index, bit in 0..8) {
        let proof = ForkProof::between(&chain(1, b'a')[1], &chain(1, b'b')[1]).unwrap();
        let mut bytes = proof.to_bytes();
        *position.get_mut(&mut bytes) ^= 1_u8 << bit;
        let holds = ForkProof::from_bytes(&bytes).is_ok_and(|proof| proof.verify(&open().writer).is_ok());
        prop_assert!(!holds);
    }
}
