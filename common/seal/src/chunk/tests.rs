//! Chunks, tried at their own door.

use cosmic_common::{hash, id::Hash, limit::OBJECT_MAX_BYTES};
use proptest::prelude::*;

use super::{CHUNK_PLAIN_MAX_BYTES, ChunkReference, ChunkSecret, Padding, TAG_BYTES, sealed_length};
use crate::{error::Error, padding::padme, tests::space_secrets};

fn secret(byte: u8) -> ChunkSecret {
    space_secrets(byte).chunk_secret()
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![Just(Padding::Exact), Just(Padding::Padme)]
}

fn plain() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..2_000)
}

#[test]
fn the_largest_chunk_is_an_object_and_one_byte_more_is_refused() {
    for padding in [Padding::Exact, Padding::Padme] {
        let plain = vec![7; CHUNK_PLAIN_MAX_BYTES];
        let sealed = secret(1).seal(plain.clone(), padding).unwrap();
        assert_eq!(sealed.bytes.len(), OBJECT_MAX_BYTES);
        assert_eq!(secret(1).open(&sealed.reference, sealed.bytes).unwrap(), plain);
        let refused = secret(1).seal(vec![7; CHUNK_PLAIN_MAX_BYTES + 1], padding);
        assert!(matches!(refused, Err(Error::ChunkTooLong { .. })));
    }
}

#[test]
fn the_padding_of_large_chunks_stays_within_an_object() {
    for plain in [CHUNK_PLAIN_MAX_BYTES - 1, CHUNK_PLAIN_MAX_BYTES - 60_000, 4_128_769, 4_128_768] {
        assert!(sealed_length(plain, Padding::Padme) <= OBJECT_MAX_BYTES);
        assert!(sealed_length(plain, Padding::Padme) >= plain + TAG_BYTES);
    }
}

#[test]
fn a_buffer_with_room_is_sealed_and_opened_where_it_lies() {
    let mut plain = Vec::with_capacity(sealed_length(1_000, Padding::Padme));
    plain.resize(1_000, 3);
    let place = plain.as_ptr();
    let sealed = secret(1).seal(plain, Padding::Padme).unwrap();
    assert_eq!(sealed.bytes.as_ptr(), place);
    let opened = secret(1).open(&sealed.reference, sealed.bytes).unwrap();
    assert_eq!(opened.as_ptr(), place);
}

#[test]
fn a_reference_with_another_length_is_refused() {
    let sealed = secret(1).seal(vec![5; 1_000], Padding::Padme).unwrap();
    for length in [0, 992, 999, 1_001, 1_008, 4_194_288, u32::MAX] {
        let reference = ChunkReference { length, ..sealed.reference };
        assert!(secret(1).open(&reference, sealed.bytes.clone()).is_err(), "{length}");
    }
}

#[test]
fn content_that_its_reference_does_not_name_is_refused() {
    // A member who knows the secret seals other bytes under the key of a content.
    let honest = secret(1).seal(vec![5; 64], Padding::Exact).unwrap();
    let mut bytes = vec![6; 64];
    let tag = secret(1)
        .cipher(&honest.reference.content)
        .seal_in_place_separate_tag(super::zero_nonce(), ring::aead::Aad::empty(), &mut bytes)
        .unwrap();
    bytes.extend_from_slice(tag.as_ref());
    assert!(matches!(secret(1).open(&honest.reference, bytes), Err(Error::ChunkContent)));
}

proptest! {
    #[test]
    fn chunks_round_trip(plain in plain(), padding in padding()) {
        let sealed = secret(1).seal(plain.clone(), padding).unwrap();
        prop_assert_eq!(sealed.bytes.len(), sealed_length(plain.len(), padding));
        let hash = hash::plain(&sealed.bytes);
        prop_assert_eq!(sealed.reference.object.as_bytes(), hash.as_bytes());
        prop_assert_eq!(secret(1).open(&sealed.reference, sealed.bytes).unwrap(), plain);
    }

    #[test]
    fn equal_chunks_are_equal_sealed_in_one_space_and_nowhere_else(plain in plain(), padding in padding()) {
        let sealed = secret(1).seal(plain.clone(), padding).unwrap();
        prop_assert_eq!(&secret(1).seal(plain.clone(), padding).unwrap(), &sealed);
        let elsewhere = secret(2).seal(plain, padding).unwrap();
        prop_assert_ne!(elsewhere.reference.content, sealed.reference.content);
        prop_assert_ne!(elsewhere.reference.object, sealed.reference.object);
        let opened = secret(2).open(&sealed.reference, sealed.bytes);
        prop_assert!(matches!(opened, Err(Error::ChunkRefused { .. })), "not refused as it should be");
    }

    /// The nonce is always zero, so the key must be another for every other content.
    #[test]
    fn two_chunks_never_share_a_key(first in plain(), second in plain()) {
        prop_assume!(first != second);
        let content = |plain| secret(1).seal(plain, Padding::Exact).unwrap().reference.content;
        prop_assert_ne!(content(first), content(second));
    }

    #[test]
    fn any_flipped_bit_is_refused(plain in plain(), padding in padding(), at: prop::sample::Index, bit in 0..8_u32) {
        let mut sealed = secret(1).seal(plain, padding).unwrap();
        let at_byte = at.index(sealed.bytes.len());
        sealed.bytes[at_byte] ^= 1 << bit;
        let opened = secret(1).open(&sealed.reference, sealed.bytes);
        prop_assert!(matches!(opened, Err(Error::ChunkRefused { .. })), "not refused as it should be");
    }

    #[test]
    fn another_content_opens_nothing(plain in plain(), content: [u8; 32]) {
        let sealed = secret(1).seal(plain, Padding::Exact).unwrap();
        let reference = ChunkReference { content: Hash::from_bytes(content), ..sealed.reference };
        prop_assert!(matches!(secret(1).open(&reference, sealed.bytes), Err(Error::ChunkRefused { .. })), "not refused as it should be");
    }

    #[test]
    fn any_cut_is_refused(plain in plain(), at: prop::sample::Index) {
        let mut sealed = secret(1).seal(plain, Padding::Padme).unwrap();
        sealed.bytes.truncate(at.index(sealed.bytes.len()));
        prop_assert!(secret(1).open(&sealed.reference, sealed.bytes).is_err());
    }

    #[test]
    fn a_padded_length_tells_only_the_class(length in 0..20_000_usize) {
        let sealed = secret(1).seal(vec![1; length], Padding::Padme).unwrap();
        prop_assert_eq!(sealed.bytes.len() - TAG_BYTES, padme(length));
    }

    #[test]
    fn references_round_trip(object: [u8; 32], content: [u8; 32], length: u32) {
        let reference = ChunkReference {
            object: cosmic_common::id::ObjectId::from_bytes(object),
            content: Hash::from_bytes(content),
            length,
        };
        let bytes = minicbor::to_vec(reference).unwrap();
        prop_assert_eq!(minicbor::decode::<ChunkReference>(&bytes).unwrap(), reference);
    }
}
