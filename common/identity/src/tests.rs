//! Keys, signatures and names, tried at their own doors.

use cosmic_common::{id::PeerId, record::Record};
use minicbor::{Decode, Encode};
use proptest::prelude::*;

use crate::{
    did::{from_did, to_did},
    key::SecretKey,
    signature::{Domain, Signature, SignatureError, verify},
    signed::{Signed, SignedRecord},
};

const DOMAIN: Domain = Domain::new("cosmic/sample/1");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Sample {
    #[n(1)]
    number: u64,
}

impl Record for Sample {
    const NAME: &'static str = "sample";
    const LIMIT: usize = 32;
}

impl SignedRecord for Sample {
    const DOMAIN: Domain = DOMAIN;
}

#[test]
fn the_first_vector_of_rfc_8032_with_an_empty_domain() {
    let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = SecretKey::from_seed(&seed);
    assert_eq!(key.public(), hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
    assert_eq!(key.sign(Domain::new(""), b"").as_bytes().get(..4), Some([0xe5, 0x56, 0x43, 0x00].as_slice()));
}

fn hex(text: &str) -> [u8; 32] {
    let bytes: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

#[test]
fn a_domain_cannot_be_taken_for_another() {
    let key = SecretKey::from_seed(&[1; 32]);
    let signature = key.sign(DOMAIN, b"x");
    assert!(verify(&key.public(), DOMAIN, b"x", &signature).is_ok());
    let other = verify(&key.public(), Domain::new("cosmic/other/1"), b"x", &signature);
    assert_eq!(other, Err(SignatureError::Mismatch { domain: "cosmic/other/1" }));
}

#[test]
fn keys_of_small_order_are_refused() {
    // The neutral element as a public key verifies anything in a lax implementation.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(verify(&neutral, DOMAIN, b"x", &Signature::from_bytes(signature)).is_err());
}

#[test]
fn derived_keys_differ_by_context_and_info() {
    let key = SecretKey::from_seed(&[1; 32]);
    let publics = [
        key.public(),
        key.derive("cosmic a 1", b"x").public(),
        key.derive("cosmic b 1", b"x").public(),
        key.derive("cosmic a 1", b"y").public(),
    ];
    for (n, public) in publics.iter().enumerate() {
        assert!(!publics[n + 1..].contains(public));
    }
    assert_eq!(key.derive("cosmic a 1", b"x").public(), publics[1]);
}

#[test]
fn secrets_are_not_shown() {
    let key = SecretKey::from_seed(&[0xab; 32]);
    assert!(!format!("{key:?}").contains("abab"));
}

#[test]
fn the_did_of_a_known_key() {
    // From the did:key specification's Ed25519 test vectors.
    let did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    assert_eq!(to_did(&from_did(did).unwrap()), did);
    assert!(from_did("did:web:example").is_err());
    assert!(from_did("did:key:z6Mk").is_err());
}

proptest! {
    #[test]
    fn signed_records_round_trip_and_any_flipped_bit_is_noticed(seed: [u8; 32], number: u64, position: usize, bit in 0u8..8) {
        let key = SecretKey::from_seed(&seed);
        let signed = Signed::sign(Sample { number }, &key);
        let bytes = signed.to_bytes();
        let read = Signed::<Sample>::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.verify(&key.public()).unwrap(), &Sample { number });
        prop_assert_eq!(&read, &signed);
        let mut flipped = bytes.clone();
        let position = position % bytes.len();
        flipped[position] ^= 1u8 << bit;
        let noticed = Signed::<Sample>::from_bytes(&flipped).map_or(true, |read| read.verify(&key.public()).is_err());
        prop_assert!(noticed);
    }

    #[test]
    fn dids_round_trip(bytes: [u8; 32]) {
        let peer = PeerId::from_bytes(bytes);
        prop_assert_eq!(from_did(&to_did(&peer)), Ok(peer));
    }
}
