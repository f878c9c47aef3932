//! Key epochs and copies, tried at their own door.

use cosmic_common::id::{EpochId, Hash, SpaceId};
use cosmic_space::record::{CopyRecord, EpochRecord};
use proptest::prelude::*;

use super::{COPY_SEALED_BYTES, Secrets, copy_for, new_epoch, open_copy};
use crate::{
    error::Error,
    kem::{KemPublic, KemSecret},
    tests::{epoch_secret, space_secrets},
};

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);

fn epoch() -> (EpochRecord, Secrets) {
    let space = space_secrets(1);
    let (record, epoch) = new_epoch(&SPACE, &space, Vec::new(), &[2; 32]);
    (record, Secrets { space, epoch })
}

fn copy(recipient: &KemSecret) -> CopyRecord {
    let (record, secrets) = epoch();
    copy_for(recipient.public(), &SPACE, &record, &secrets, &[4; 32]).unwrap()
}

#[test]
fn a_copy_opens_for_its_recipient_alone() {
    let (record, secrets) = epoch();
    let (ours, other) = (KemSecret::from_seed(&[3; 32]), KemSecret::from_seed(&[5; 32]));
    let copy = copy(&ours);
    assert_eq!(copy.sealed.len(), COPY_SEALED_BYTES);
    let opened = open_copy(&ours, &SPACE, &record, &copy).unwrap();
    assert_eq!(opened.epoch.as_bytes(), secrets.epoch.as_bytes());
    assert_eq!(opened.space.as_bytes(), secrets.space.as_bytes());

    let for_another = open_copy(&other, &SPACE, &record, &copy);
    assert!(matches!(for_another, Err(Error::CopyForAnother { .. })));
    let relabelled = CopyRecord { recipient: other.public().hash(), ..copy };
    assert!(matches!(open_copy(&other, &SPACE, &record, &relabelled), Err(Error::CopyRefused { .. })));
}

#[test]
fn a_copy_moved_to_another_space_or_epoch_does_not_open() {
    let ours = KemSecret::from_seed(&[3; 32]);
    let (record, secrets) = epoch();
    let copy = copy(&ours);
    let elsewhere = SpaceId::from_bytes([9; 32]);
    assert!(matches!(open_copy(&ours, &elsewhere, &record, &copy), Err(Error::CopyRefused { .. })));

    let (later, _) = new_epoch(&SPACE, &secrets.space, vec![record.id()], &[6; 32]);
    assert!(matches!(open_copy(&ours, &SPACE, &later, &copy), Err(Error::CopyOfAnotherEpoch { .. })));
    let moved = CopyRecord { epoch: later.id(), ..copy };
    assert!(matches!(open_copy(&ours, &SPACE, &later, &moved), Err(Error::CopyRefused { .. })));
}

#[test]
fn nobody_hands_out_or_accepts_secrets_that_the_epoch_does_not_commit_to() {
    let ours = KemSecret::from_seed(&[3; 32]);
    let (record, secrets) = epoch();
    let false_constant = Secrets { space: space_secrets(8), ..secrets.clone() };
    let false_epoch = Secrets { epoch: epoch_secret(8), ..secrets };
    for wrong in [false_constant, false_epoch] {
        let refused = copy_for(ours.public(), &SPACE, &record, &wrong, &[4; 32]);
        assert!(matches!(refused, Err(Error::Commitment { .. })));
        let sealed = super::seal(ours.public(), &SPACE, record.id(), &wrong, &[4; 32]).unwrap();
        assert!(matches!(open_copy(&ours, &SPACE, &record, &sealed), Err(Error::Commitment { .. })));
    }
}

#[test]
fn one_seed_for_two_copies_repeats_nothing() {
    let copies = [copy(&KemSecret::from_seed(&[3; 32])), copy(&KemSecret::from_seed(&[5; 32]))];
    // The last 32 bytes of X-Wing's ciphertext are the ephemeral X25519 key.
    assert_ne!(copies[0].sealed[1088..1120], copies[1].sealed[1088..1120]);
}

#[test]
fn an_epoch_is_named_by_its_secrets_and_the_set_of_its_parents() {
    let space = space_secrets(1);
    let [a, b] = [EpochId::from_bytes([1; 32]), EpochId::from_bytes([2; 32])];
    let id = |space_id: u8, parents: &[EpochId], seed: u8| {
        new_epoch(&SpaceId::from_bytes([space_id; 32]), &space, parents.to_vec(), &[seed; 32]).0.id()
    };
    assert_eq!(id(1, &[a, b], 2), id(1, &[b, a, b], 2));
    assert_ne!(id(1, &[a], 2), id(1, &[b], 2));
    assert_ne!(id(1, &[a], 2), id(1, &[a], 3));
    assert_ne!(id(1, &[a], 2), id(2, &[a], 2));
}

#[test]
fn public_keys_are_checked() {
    let public = KemSecret::from_seed(&[3; 32]).public().clone();
    assert_eq!(KemPublic::from_bytes(&public.to_bytes()).unwrap(), public);
    let mut large = public.to_bytes();
    large[..3].fill(0xff); // two ML-KEM coefficients above the modulus
    for bytes in [&large[..], &public.to_bytes()[1..], &[]] {
        assert!(matches!(KemPublic::from_bytes(bytes), Err(Error::KemKey { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))] // an opening takes 0.2 ms

    #[test]
    fn copies_round_trip(seeds: [[u8; 32]; 4], space: [u8; 32]) {
        let [constant, epoch, key, copy] = seeds;
        let (space, key) = (SpaceId::from_bytes(space), KemSecret::from_seed(&key));
        let constant = crate::secret::SpaceSecrets::new(&constant);
        let (record, epoch) = new_epoch(&space, &constant, Vec::new(), &epoch);
        let secrets = Secrets { space: constant, epoch };
        let copy = copy_for(key.public(), &space, &record, &secrets, &copy).unwrap();
        let opened = open_copy(&key, &space, &record, &copy).unwrap();
        prop_assert_eq!(opened.epoch.as_bytes(), secrets.epoch.as_bytes());
        prop_assert_eq!(opened.space.as_bytes(), secrets.space.as_bytes());
    }

    #[test]
    fn any_flipped_bit_is_refused(at in 0..COPY_SEALED_BYTES, bit in 0..8_u32) {
        let ours = KemSecret::from_seed(&[3; 32]);
        let mut copy = copy(&ours);
        copy.sealed[at] ^= 1 << bit;
        prop_assert!(matches!(open_copy(&ours, &SPACE, &epoch().0, &copy), Err(Error::CopyRefused { .. })), "not refused as it should be");
    }

    #[test]
    fn no_bytes_panic(sealed in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let ours = KemSecret::from_seed(&[3; 32]);
        let copy = CopyRecord { epoch: epoch().0.id(), recipient: ours.public().hash(), sealed };
        prop_assert!(matches!(open_copy(&ours, &SPACE, &epoch().0, &copy), Err(Error::CopyRefused { .. })), "not refused as it should be");
    }

    #[test]
    fn another_commitment_is_another_epoch(commitment: [u8; 32]) {
        let ours = KemSecret::from_seed(&[3; 32]);
        let record = EpochRecord { commitment: Hash::from_bytes(commitment), ..epoch().0 };
        let opened = open_copy(&ours, &SPACE, &record, &copy(&ours));
        prop_assert!(matches!(opened, Err(Error::CopyOfAnotherEpoch { .. })), "not refused as it should be");
    }
}
