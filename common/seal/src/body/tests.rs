//! Bodies, tried at their own door.

use proptest::prelude::*;

use super::{
    BODY_PLAIN_MAX_BYTES, BODY_SEALED_MAX_BYTES, BodyOpener, BodySealer, COMPRESSED, FRAME_MIN_BYTES,
    NONCE_BYTES, STORED, TAG_BYTES, frame_length, seal_frame,
};
use crate::{error::Error, secret::EpochSecret, tests::epoch_secret};

fn seal(epoch: &EpochSecret, core: &[u8], plain: &[u8]) -> Vec<u8> {
    BodySealer::new().unwrap().seal(epoch, core, plain).unwrap()
}

fn open(epoch: &EpochSecret, core: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    BodyOpener::new().unwrap().open(epoch, core, sealed)
}

/// Bytes that zstd cannot shorten.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn the_longest_body_fits_and_one_byte_more_is_refused() {
    let plain = noise(BODY_PLAIN_MAX_BYTES);
    let sealed = seal(&epoch_secret(1), b"core", &plain);
    assert!(sealed.len() <= BODY_SEALED_MAX_BYTES);
    assert_eq!(open(&epoch_secret(1), b"core", &sealed).unwrap(), plain);

    let refused =
        BodySealer::new().unwrap().seal(&epoch_secret(1), b"core", &noise(BODY_PLAIN_MAX_BYTES + 1));
    assert!(matches!(refused, Err(Error::BodyTooLong { .. })));
}

#[test]
fn compression_is_used_only_where_it_shortens() {
    let text = b"one field and another field and one more field, ".repeat(20);
    assert!(seal(&epoch_secret(1), b"core", &text).len() < text.len() / 4);
    let dense = noise(960);
    let stored = NONCE_BYTES + frame_length(dense.len()) + TAG_BYTES;
    assert_eq!(seal(&epoch_secret(1), b"core", &dense).len(), stored);
}

#[test]
fn a_decompression_bomb_stops_at_the_limit() {
    let zeros = vec![0; 64 * BODY_PLAIN_MAX_BYTES];
    let with_size = zstd::bulk::compress(&zeros, 19).unwrap();
    let without_size = zstd::stream::encode_all(zeros.as_slice(), 19).unwrap();
    let one_more = zstd::bulk::compress(&zeros[..=BODY_PLAIN_MAX_BYTES], 3).unwrap();
    let fitting = zstd::bulk::compress(&zeros[..BODY_PLAIN_MAX_BYTES], 3).unwrap();
    for bomb in [with_size, without_size, one_more, fitting.repeat(2)] {
        let sealed = seal_frame(&epoch_secret(1), b"core", &bomb, COMPRESSED);
        let opened = open(&epoch_secret(1), b"core", &sealed);
        assert!(matches!(opened, Err(Error::Compression { .. })), "{opened:?}");
    }
    let sealed = seal_frame(&epoch_secret(1), b"core", &fitting, COMPRESSED);
    assert_eq!(open(&epoch_secret(1), b"core", &sealed).unwrap().len(), BODY_PLAIN_MAX_BYTES);
}

#[test]
fn an_opener_serves_on_after_a_refusal() {
    let mut opener = BodyOpener::new().unwrap();
    let broken = seal_frame(&epoch_secret(1), b"core", b"not a zstd frame", COMPRESSED);
    assert!(opener.open(&epoch_secret(1), b"core", &broken).is_err());
    let text = b"and so on, ".repeat(50);
    let good = seal(&epoch_secret(1), b"core", &text);
    assert_eq!(opener.open(&epoch_secret(1), b"core", &good).unwrap(), text);
}

#[test]
fn a_faulty_writer_is_told_from_damage() {
    let form = |content: &[u8], form| {
        let sealed = seal_frame(&epoch_secret(1), b"core", content, form);
        open(&epoch_secret(1), b"core", &sealed)
    };
    assert!(matches!(form(b"text", 3), Err(Error::BodyForm { .. })));
    assert!(matches!(form(&[0; 40], 0), Err(Error::BodyForm { .. })));
    // The byte behind a short content is taken for padding's start: the frame is longer than need be.
    assert!(matches!(form(&[[1_u8].as_slice(), &[0; 99]].concat(), 0), Err(Error::BodyForm { .. })));
    let long = seal_frame(&epoch_secret(1), b"core", &noise(BODY_PLAIN_MAX_BYTES + 1), STORED);
    assert!(matches!(open(&epoch_secret(1), b"core", &long), Err(Error::BodyTooLong { .. })));
}

#[test]
fn lengths_that_no_body_has_are_refused_unread() {
    for length in [0, NONCE_BYTES - 1, BODY_SEALED_MAX_BYTES + 1] {
        let opened = open(&epoch_secret(1), b"core", &vec![0; length]);
        assert!(matches!(opened, Err(Error::SealedBodyLength { .. })));
    }
    let opened = open(&epoch_secret(1), b"core", &[0; NONCE_BYTES + TAG_BYTES - 1]);
    assert!(matches!(opened, Err(Error::BodyRefused { .. })));
}

/// Plain bodies short and long, dense and repetitive, with zeros at the end as padding has them.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let dense = proptest::collection::vec(any::<u8>(), 0..600);
    let repeated = (proptest::collection::vec(any::<u8>(), 1..40), 1..400_usize);
    let ends_in_zeros = (proptest::collection::vec(any::<u8>(), 0..60), 0..60_usize);
    prop_oneof![
        dense,
        repeated.prop_map(|(unit, times)| unit.repeat(times)),
        ends_in_zeros.prop_map(|(mut bytes, zeros)| {
            bytes.resize(bytes.len() + zeros, 0);
            bytes
        }),
    ]
}

fn core() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..200)
}

proptest! {
    #[test]
    fn bodies_round_trip_and_are_the_same_each_time(core in core(), first in plain(), second in plain()) {
        let (mut sealer, mut opener) = (BodySealer::new().unwrap(), BodyOpener::new().unwrap());
        for plain in [&first, &second, &first] {
            let sealed = sealer.seal(&epoch_secret(1), &core, plain).unwrap();
            prop_assert_eq!(&sealed, &seal(&epoch_secret(1), &core, plain));
            prop_assert_eq!(&opener.open(&epoch_secret(1), &core, &sealed).unwrap(), plain);
        }
    }

    #[test]
    fn another_epoch_or_core_opens_nothing(core in core(), other in core(), plain in plain()) {
        let sealed = seal(&epoch_secret(1), &core, &plain);
        prop_assert!(matches!(open(&epoch_secret(2), &core, &sealed), Err(Error::BodyRefused { .. })), "not refused as it should be");
        prop_assume!(core != other);
        prop_assert!(matches!(open(&epoch_secret(1), &other, &sealed), Err(Error::BodyRefused { .. })), "not refused as it should be");
    }

    #[test]
    fn any_flipped_bit_is_refused(core in core(), plain in plain(), at: prop::sample::Index, bit in 0..8_u32) {
        let mut sealed = seal(&epoch_secret(1), &core, &plain);
        let at_byte = at.index(sealed.len());
        sealed[at_byte] ^= 1 << bit;
        prop_assert!(matches!(open(&epoch_secret(1), &core, &sealed), Err(Error::BodyRefused { .. })), "not refused as it should be");
    }

    #[test]
    fn any_cut_or_growth_is_refused(plain in plain(), at: prop::sample::Index, more in 1..20_usize) {
        let sealed = seal(&epoch_secret(1), b"core", &plain);
        let mut longer = sealed.clone();
        longer.resize(sealed.len() + more, 0);
        for bytes in [&sealed[..at.index(sealed.len())], &longer] {
            prop_assert!(open(&epoch_secret(1), b"core", bytes).is_err());
        }
    }

    /// A fork has two bodies for one core, hence one key: then the nonces must differ.
    #[test]
    fn two_bodies_never_share_key_and_nonce(core in core(), first in plain(), second in plain()) {
        prop_assume!(first != second);
        let (a, b) = (seal(&epoch_secret(1), &core, &first), seal(&epoch_secret(1), &core, &second));
        prop_assert_ne!(&a[..NONCE_BYTES], &b[..NONCE_BYTES]);
    }

    /// One content as zstd might write it today and tomorrow: other bytes, hence another nonce.
    #[test]
    fn two_forms_of_one_body_never_share_a_nonce(unit in proptest::collection::vec(any::<u8>(), 1..40)) {
        let plain = unit.repeat(100);
        let compressed = zstd::bulk::compress(&plain, 19).unwrap();
        let a = seal_frame(&epoch_secret(1), b"core", &plain, STORED);
        let b = seal_frame(&epoch_secret(1), b"core", &compressed, COMPRESSED);
        prop_assert_ne!(&a[..NONCE_BYTES], &b[..NONCE_BYTES]);
        prop_assert_eq!(open(&epoch_secret(1), b"core", &a).unwrap(), plain.clone());
        prop_assert_eq!(open(&epoch_secret(1), b"core", &b).unwrap(), plain);
    }

    #[test]
    fn a_sealed_length_tells_only_the_class(length in 0..5_000_usize) {
        let sealed = seal(&epoch_secret(1), b"core", &noise(length));
        let frame = sealed.len() - NONCE_BYTES - TAG_BYTES;
        prop_assert_eq!(frame, crate::padding::padme(length + 1).max(FRAME_MIN_BYTES));
        prop_assert!(frame == FRAME_MIN_BYTES || frame == crate::padding::padme(frame));
    }

    #[test]
    fn no_bytes_panic(sealed in proptest::collection::vec(any::<u8>(), 0..200), content in plain(), form: u8) {
        prop_assert!(open(&epoch_secret(1), b"core", &sealed).is_err());
        let faulty = seal_frame(&epoch_secret(1), b"core", &content, form);
        if let Ok(opened) = open(&epoch_secret(1), b"core", &faulty) {
            prop_assert!(opened.len() <= BODY_PLAIN_MAX_BYTES);
        }
    }
}
