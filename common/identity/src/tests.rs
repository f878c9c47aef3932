//! Keys, signatures and names, tried at their own doors.

use cosmic_common::{id::PeerId, record::Record};
use minicbor::{Decode, Encode};
use proptest::prelude::*;

use crate::{
    did::{from_did, to_did},
    key::SecretKey,
    signature::{Domain, PublicKey, Signature, SignatureError, verify},
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
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    assert_eq!(key.sign(Domain::new(""), b""), Signature::from_bytes(hex(signature)));
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().unwrap()
}

/// The bytes of a golden file, whose lines may break anywhere.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

#[test]
fn golden_signed_records_stay_what_they_are() {
    let key = SecretKey::from_seed(&[1; 32]);
    let golden = bytes(include_str!("../golden/signed.v1.hex"));
    let signed = Signed::sign(Sample { number: 1000 }, &key);
    assert_eq!(signed.to_bytes(), golden);
    let read = Signed::<Sample>::from_bytes(&golden).unwrap();
    assert_eq!(read.verify(&key.public()).unwrap(), &Sample { number: 1000 });
}

#[test]
fn golden_writer_keys_stay_what_they_are() {
    let device = SecretKey::from_seed(&[1; 32]);
    let golden = [
        (&[2; 16][..], include_str!("../golden/writer-key-of-creator.v1.hex")),
        (&[2; 32][..], include_str!("../golden/writer-key-of-joiner.v1.hex")),
    ];
    for (reference, seed) in golden {
        assert_eq!(device.writer_key(reference).seed().to_vec(), bytes(seed));
    }
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
    let refused = verify(&neutral, DOMAIN, b"x", &Signature::from_bytes(signature));
    assert_eq!(refused, Err(SignatureError::PublicKey));
    assert_eq!(PublicKey::from_bytes(&neutral), Err(SignatureError::PublicKey));
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
    assert!(from_did(&format!("did:key:z{}", "6".repeat(100_000))).is_err());
    // A P-256 key and an X25519 key are other multicodecs.
    assert!(from_did("did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv").is_err());
    assert!(from_did("did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F").is_err());
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
