//! The shared record shape, tried at its own door.

use minicbor::{Decode, Encode};
use proptest::prelude::*;

use crate::{
    address::Address,
    hash,
    id::{Hash, Incarnation, SpaceId},
    record::{Record, RecordError, Shape},
    time::{HybridTime, Timestamp},
};

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Sample {
    #[n(1)]
    space: SpaceId,
    #[n(2)]
    count: u64,
    #[n(3)]
    note: Option<String>,
}

impl Record for Sample {
    const NAME: &'static str = "sample";
    const LIMIT: usize = 256;
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
enum Message {
    #[n(0)]
    Ping(#[n(0)] u64),
    #[n(1)]
    Named(#[n(0)] Hash, #[n(1)] Option<u8>),
}

impl Record for Message {
    const NAME: &'static str = "message";
    const LIMIT: usize = 64;
    const SHAPE: Shape = Shape::Value;
}

fn sample() -> Sample {
    Sample { space: SpaceId::from_bytes([7; 32]), count: 5, note: None }
}

#[test]
fn a_record_has_one_byte_form() {
    let bytes = sample().to_bytes();
    assert_eq!(bytes.get(..5), Some([0xa3, 0x00, 0x01, 0x01, 0x58].as_slice()));
    assert_eq!(Sample::from_bytes(&bytes).unwrap(), sample());
}

#[test]
fn what_is_not_canonical_is_refused() {
    let good = sample().to_bytes();
    let mut wide_count = good.clone();
    *wide_count.last_mut().unwrap() = 0x18; // the same 5, written in two bytes
    wide_count.push(5);
    let mut trailing = good.clone();
    trailing.push(0);
    let mut wide_header = vec![0xb8, 3];
    wide_header.extend_from_slice(&good[1..]);
    for bytes in [wide_count, trailing] {
        assert!(matches!(Sample::from_bytes(&bytes), Err(RecordError::NotCanonical { .. })), "{bytes:02x?}");
    }
    assert!(matches!(Sample::from_bytes(&wide_header), Err(RecordError::NotCanonical { .. })));
}

#[test]
fn unknown_fields_refuse_below_64_and_pass_above() {
    let with_key = |key: &[u8]| {
        let mut bytes = sample().to_bytes();
        bytes[0] += 1;
        bytes.extend_from_slice(key);
        bytes.push(0x01);
        Sample::from_bytes(&bytes)
    };
    assert!(matches!(with_key(&[0x04]), Err(RecordError::NotCanonical { .. })));
    assert!(matches!(with_key(&[0x18, 63]), Err(RecordError::NotCanonical { .. })));
    assert_eq!(with_key(&[0x18, 64]).unwrap(), sample());
}

/// The same record, of a version that knows one field more.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Later {
    #[n(1)]
    space: SpaceId,
    #[n(2)]
    count: u64,
    #[n(3)]
    note: Option<String>,
    #[n(64)]
    more: Option<u64>,
}

impl Record for Later {
    const NAME: &'static str = "later sample";
    const LIMIT: usize = 256;
}

#[test]
fn who_knows_a_skippable_field_reads_it_and_who_does_not_skips_it() {
    let Sample { space, count, note } = sample();
    let later = |more| Later { space, count, note: note.clone(), more };
    let bytes = later(Some(9)).to_bytes();
    assert_eq!(Later::from_bytes(&bytes).unwrap(), later(Some(9)));
    assert_eq!(Sample::from_bytes(&bytes).unwrap(), sample());
    assert_eq!(Later::from_bytes(&sample().to_bytes()).unwrap(), later(None), "an older writer has none");
    let mut newer = bytes.clone();
    newer[0] += 1;
    newer.extend_from_slice(&[0x18, 65, 0x01]);
    assert_eq!(Later::from_bytes(&newer).unwrap(), later(Some(9)), "and a newer one has more");
    let mut wide = bytes;
    *wide.last_mut().unwrap() = 0x18; // the same 9, written in two bytes
    wide.push(9);
    assert!(matches!(Later::from_bytes(&wide), Err(RecordError::NotCanonical { .. })));
}

#[test]
fn another_version_and_too_many_bytes_are_named() {
    let mut newer = sample().to_bytes();
    newer[2] = 2;
    assert!(matches!(Sample::from_bytes(&newer), Err(RecordError::Version { found: 2, .. })));
    assert!(matches!(
        Sample::from_bytes(&[0; 257]),
        Err(RecordError::TooLong { found: 257, limit: 256, .. })
    ));
}

#[test]
fn hybrid_time_moves_forward_and_is_clamped() {
    let now = Timestamp::from_unix_ms(1_000);
    let first = HybridTime::default().tick(now);
    let second = first.tick(Timestamp::from_unix_ms(900));
    assert!(second > first && second.timestamp() == now);
    let ahead = HybridTime::from_bits(u64::MAX).clamp_ahead(now, std::time::Duration::from_secs(1));
    assert_eq!(ahead.timestamp().unix_ms(), 2_000);
}

#[test]
fn domains_separate_hashes() {
    assert_ne!(hash::derive("cosmic a 1", &[b"x"]), hash::derive("cosmic b 1", &[b"x"]));
    assert_ne!(hash::plain(b"x").as_bytes(), &hash::derive("cosmic a 1", &[b"x"]));
}

#[test]
fn addresses_are_bounded_text() {
    assert!("/ip4/127.0.0.1/tcp/1".parse::<Address>().is_ok());
    assert!("127.0.0.1:1".parse::<Address>().is_err());
    assert!(format!("/{}", "a".repeat(256)).parse::<Address>().is_err());
}

proptest! {
    #[test]
    fn samples_round_trip(space: [u8; 32], count: u64, note in proptest::option::of(".{0,20}")) {
        let value = Sample { space: SpaceId::from_bytes(space), count, note };
        prop_assert_eq!(Sample::from_bytes(&value.to_bytes()).unwrap(), value);
    }

    #[test]
    fn messages_round_trip(n: u64, bytes: [u8; 32], small: Option<u8>) {
        for value in [Message::Ping(n), Message::Named(Hash::from_bytes(bytes), small)] {
            prop_assert_eq!(Message::from_bytes(&value.to_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn no_bytes_panic_and_accepted_bytes_are_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = Message::from_bytes(&bytes) {
            prop_assert!(bytes.len() >= value.to_bytes().len());
        }
    }

    #[test]
    fn ids_round_trip_as_text(bytes: [u8; 16]) {
        let id = Incarnation::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse::<Incarnation>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<Incarnation>(&json).unwrap(), id);
    }
}
