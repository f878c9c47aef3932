//! Secrets, padding and the golden bytes of version 1.

use cosmic_common::{id::SpaceId, record::Record as _};
use cosmic_identity::key::SecretKey;
use cosmic_space::{record::CopyRecord, ticket::Ticket};
use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::{
    body::{BodyOpener, BodySealer},
    chunk::{ChunkReference, Padding},
    epoch::{Secrets, copy_for, new_epoch, open_copy},
    kem::KemSecret,
    padding::padme,
    secret::{EpochSecret, SpaceSecrets},
};

pub(crate) fn epoch_secret(byte: u8) -> EpochSecret {
    EpochSecret::from_bytes(Zeroizing::new([byte; 32]))
}

pub(crate) fn space_secrets(byte: u8) -> SpaceSecrets {
    SpaceSecrets::from_bytes(Zeroizing::new([byte; 32]))
}

/// The bytes in `golden/<name>.v1.hex`; white space between them does not count.
fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/golden/{name}.v1.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[track_caller]
fn assert_golden(name: &str, bytes: &[u8]) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(golden(name), bytes, "golden/{name}.v1.hex should hold {hex}");
}

const CORE: &[u8] = b"the core of an entry";
const SHORT: &[u8] = b"a body too short to be compressed";

#[test]
fn golden_body() {
    let mut sealer = BodySealer::new().unwrap();
    assert_golden("body", &sealer.seal(&epoch_secret(1), CORE, SHORT).unwrap());
    let opened = BodyOpener::new().unwrap().open(&epoch_secret(1), CORE, &golden("body")).unwrap();
    assert_eq!(opened, SHORT);
}

/// Another release of zstd may write other bytes; what this one wrote must open for ever.
#[test]
fn golden_compressed_body() {
    let plain = b"twelve bytes".repeat(40);
    let opened = BodyOpener::new().unwrap().open(&epoch_secret(1), CORE, &golden("body-compressed"));
    assert_eq!(opened.unwrap(), plain);
}

#[test]
fn golden_chunk() {
    let secret = space_secrets(2).chunk_secret();
    let plain = b"a small file, padded".to_vec();
    let sealed = secret.seal(plain.clone(), Padding::Padme).unwrap();
    assert_golden("chunk", &sealed.bytes);
    assert_golden("chunk-reference", &minicbor::to_vec(sealed.reference).unwrap());
    let reference: ChunkReference = minicbor::decode(&golden("chunk-reference")).unwrap();
    assert_eq!(secret.open(&reference, golden("chunk")).unwrap(), plain);
}

#[test]
fn golden_copy() {
    let space = SpaceId::from_bytes([3; 32]);
    let constant = SpaceSecrets::new(&[4; 32]);
    let (record, epoch) = new_epoch(&space, &constant, Vec::new(), &[5; 32]);
    let key = KemSecret::from_seed(&[6; 32]);
    let secrets = Secrets { space: constant, epoch };
    let copy = copy_for(key.public(), &space, &record, &secrets, &[7; 32]).unwrap();
    assert_golden("epoch", &record.to_bytes());
    assert_golden("copy", &copy.to_bytes());
    let copy = CopyRecord::from_bytes(&golden("copy")).unwrap();
    let opened = open_copy(&key, &space, &record, &copy).unwrap();
    assert_eq!(opened.epoch.as_bytes(), secrets.epoch.as_bytes());
    assert_eq!(opened.space.as_bytes(), secrets.space.as_bytes());
}

/// Everything that follows from a secret, 32 bytes each, in the order of `docs/protocol/seal.md`.
#[test]
fn golden_key_schedule() {
    let secrets = SpaceSecrets::new(&[4; 32]);
    let space = SpaceId::from_bytes([3; 32]);
    let (record, epoch) = new_epoch(&space, &secrets, Vec::new(), &[5; 32]);
    let device = SecretKey::from_seed(&[8; 32]);
    let ticket = Ticket::new(space, &[9; 32], Vec::new()).unwrap();
    let schedule = [
        *secrets.as_bytes(),
        *secrets.channel_id("notes").as_bytes(),
        *secrets.files_channel_id().as_bytes(),
        *epoch.as_bytes(),
        *epoch.body_key(),
        *record.commitment.as_bytes(),
        *KemSecret::from_seed(&[6; 32]).public().hash().as_bytes(),
        *KemSecret::of_device(&device, space.as_bytes()).public().hash().as_bytes(),
        *KemSecret::of_ticket(&ticket).public().hash().as_bytes(),
    ];
    assert_golden("key-schedule", &schedule.concat());
}

#[test]
fn channels_are_named_apart() {
    let secrets = space_secrets(1);
    assert_ne!(secrets.channel_id("a"), secrets.channel_id("b"));
    assert_ne!(secrets.channel_id("a"), space_secrets(2).channel_id("a"));
    for name in ["", "files", "\u{1}"] {
        assert_ne!(secrets.channel_id(name), secrets.files_channel_id());
    }
}

#[test]
fn keys_of_one_device_in_two_spaces_differ() {
    let device = SecretKey::from_seed(&[1; 32]);
    let hash = |reference: u8| KemSecret::of_device(&device, &[reference; 32]).public().hash();
    assert_ne!(hash(1), hash(2));
}

#[test]
fn no_secret_is_shown() {
    let key = KemSecret::from_seed(&[0xab; 32]);
    let secrets = Secrets { space: space_secrets(0xab), epoch: epoch_secret(0xab) };
    let shown = format!("{key:?} {secrets:?} {:?}", secrets.space.chunk_secret());
    assert_eq!(
        shown,
        "KemSecret(redacted) Secrets { space: SpaceSecrets(redacted), epoch: EpochSecret(redacted) } \
         ChunkSecret(redacted)"
    );
}

#[test]
fn padme_of_known_lengths() {
    let expected = [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (100, 104), (1_000, 1_024), (4_097, 4_352)];
    for (length, padded) in expected {
        assert_eq!(padme(length), padded, "{length}");
    }
}

proptest! {
    #[test]
    fn padme_adds_little_and_only_once(length in 0..1_usize << 40) {
        let padded = padme(length);
        prop_assert!(padded >= length && padded - length <= length * 12 / 100);
        prop_assert_eq!(padme(padded), padded);
        prop_assert!(padme(length + 1) >= padded);
    }

    #[test]
    fn padme_leaves_few_classes(exponent in 3..40_u32) {
        let (from, to) = (1_usize << exponent, 2_usize << exponent);
        let step = padme(from + 1) - from;
        prop_assert_eq!(step, 1 << (exponent - exponent.ilog2() - 1));
        prop_assert!((to - from) / step <= 2 * usize::try_from(exponent).unwrap());
    }
}
