//! Sealed things: nothing that was not sealed opens, and what was opens to the same.

use std::cell::RefCell;

use cosmic_common::{
    hash,
    id::{Hash, ObjectId, SpaceId},
};
use cosmic_identity::key::SecretKey;
use cosmic_seal::{
    body::{BodyOpener, BodySealer},
    chunk::{ChunkReference, Padding},
    epoch::{Secrets, copy_for, new_epoch, open_copy},
    kem::{KemPublic, KemSecret},
    secret::{EpochSecret, SpaceSecrets},
};
use cosmic_space::record::{CopyRecord, EpochRecord};

use crate::{
    Room,
    check::{self, Script},
    decoder, sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "seal",
    decoders: &[
        decoder("body", hostile_body),
        sampled(|| vec![vec![7; 300]], own_body),
        decoder("chunk-reference", hostile_chunk),
        sampled(|| vec![vec![0; 300], vec![1; 300]], own_chunk),
        decoder("epoch", check::only_record::<EpochRecord>),
        decoder("copy", hostile_copy),
        sampled(|| vec![vec![0; 8]], spoiled_copy),
        sampled(|| vec![kem().public().to_bytes()], kem_key),
    ],
};

const CORE: &[u8] = b"the core of an entry";

fn space() -> SpaceId {
    SpaceId::from_bytes([1; 32])
}

fn kem() -> KemSecret {
    KemSecret::of_device(&SecretKey::from_seed(&[7; 32]), b"fuzz")
}

fn secrets() -> (EpochRecord, Secrets) {
    let constant = SpaceSecrets::new(&[2; 32]);
    let (record, epoch) = new_epoch(&space(), &constant, Vec::new(), &[3; 32]);
    (record, Secrets { space: constant, epoch })
}

thread_local! {
    static BODIES: RefCell<(BodySealer, BodyOpener, EpochSecret)> = RefCell::new((
        BodySealer::new().expect("zstd gets memory"),
        BodyOpener::new().expect("zstd gets memory"),
        secrets().1.epoch,
    ));
}

fn hostile_body(sealed: &[u8]) {
    BODIES.with_borrow_mut(|(_, opener, epoch)| assert!(opener.open(epoch, CORE, sealed).is_err()));
}

/// A body opens to what was sealed; changed in one place it does not open.
fn own_body(bytes: &[u8]) {
    let Some((at, plain)) = bytes.split_first_chunk::<2>() else { return };
    BODIES.with_borrow_mut(|(sealer, opener, epoch)| {
        let mut sealed = sealer.seal(epoch, CORE, plain).expect("a short body is sealed");
        assert!(opener.open(epoch, CORE, &sealed).is_ok_and(|opened| opened == plain), "another body");
        let at = usize::from(u16::from_be_bytes(*at)) % sealed.len();
        sealed[at] ^= 1;
        assert!(opener.open(epoch, CORE, &sealed).is_err(), "a changed body opens");
    });
}

fn hostile_chunk(bytes: &[u8]) {
    let mut decoder = minicbor::Decoder::new(bytes);
    let Ok(reference) = decoder.decode::<ChunkReference>() else { return };
    let again = minicbor::to_vec(reference).expect("a reference is encoded");
    assert_eq!(minicbor::decode::<ChunkReference>(&again).ok(), Some(reference));
    let sealed = bytes.get(decoder.position()..).unwrap_or_default();
    let chunks = secrets().1.space.chunk_secret();
    assert!(chunks.open(&reference, sealed.to_vec()).is_err());
}

/// A chunk opens to what was sealed, under its own reference and no other.
fn own_chunk(bytes: &[u8]) {
    let mut script = Script(bytes);
    let padding = if script.byte() % 2 == 0 { Padding::Exact } else { Padding::Padme };
    let (place, flips) = (script.number(), script.byte());
    let plain = script.0.to_vec();
    let chunks = secrets().1.space.chunk_secret();
    let sealed = chunks.seal(plain.clone(), padding).expect("a short chunk is sealed");
    assert_eq!(sealed.reference.object, ObjectId::from_bytes(*hash::plain(&sealed.bytes).as_bytes()));
    assert!(chunks.open(&sealed.reference, sealed.bytes.clone()).is_ok_and(|opened| opened == plain));
    let longer = ChunkReference { length: sealed.reference.length.wrapping_add(1), ..sealed.reference };
    assert!(chunks.open(&longer, sealed.bytes.clone()).is_err());
    let mut changed = sealed.bytes;
    let place = place % changed.len();
    changed[place] ^= flips;
    assert_eq!(chunks.open(&sealed.reference, changed).is_ok(), flips == 0);
}

fn hostile_copy(bytes: &[u8]) {
    check::record::<CopyRecord>(bytes);
    let (record, _) = secrets();
    let copy = CopyRecord { epoch: record.id(), recipient: kem().public().hash(), sealed: bytes.to_vec() };
    assert!(open_copy(&kem(), &space(), &record, &copy).is_err());
}

/// A copy opens as it was sealed, and not otherwise.
fn spoiled_copy(bytes: &[u8]) {
    let mut script = Script(bytes);
    let (record, secrets) = secrets();
    let mut copy = copy_for(kem().public(), &space(), &record, &secrets, &[5; 32]).expect("a copy is sealed");
    let place = script.number() % copy.sealed.len();
    let flips = script.byte();
    copy.sealed[place] ^= flips;
    let opened = open_copy(&kem(), &space(), &record, &copy);
    assert_eq!(opened.is_ok(), flips == 0);
    copy.recipient = Hash::from_bytes([script.byte(); 32]);
    assert!(open_copy(&kem(), &space(), &record, &copy).is_err());
}

/// A key keeps its bytes.
fn kem_key(bytes: &[u8]) {
    if let Ok(key) = KemPublic::from_bytes(bytes) {
        assert_eq!(key.to_bytes(), bytes);
    }
}
