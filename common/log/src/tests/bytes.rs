//! The bytes of entries: one form each, nothing beside it, nothing unsigned.

use cosmic_common::{
    heads::Head,
    id::{EntryId, EpochId, LogId, ObjectId},
    limit::{BODY_SEALED_MAX_BYTES, CLEAR_FIELD_MAX, DEPENDENCIES_MAX, ENTRY_MAX_BYTES},
    record::{Record as _, RecordError},
};
use proptest::prelude::*;

use super::{chain, change, key, next, open, opened, time};
use crate::{
    chain::{Draft, LogState},
    entry::{Core, Entry, Error},
    fork::ForkProof,
    kind::{Kind, Priority},
    open::Open,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a golden file, whose lines may break anywhere.
fn golden(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

#[test]
fn golden_entries_stay_what_they_are() {
    let entry = chain(1, b'a').pop().unwrap();
    for (golden_text, entry) in [
        (include_str!("../../golden/entry.v1.hex"), entry.clone()),
        (include_str!("../../golden/entry-dropped.v1.hex"), entry.clone().without_body()),
    ] {
        assert_eq!(hex(entry.as_bytes()), hex(&golden(golden_text)));
        let read = Entry::from_bytes(&golden(golden_text)).unwrap();
        assert_eq!(read, entry);
        read.verify_signature(&open().writer).unwrap();
    }
    assert_eq!(hex(entry.id().as_bytes()), include_str!("../../golden/entry-id.v1.hex").trim());
}

#[test]
fn golden_open_records_and_fork_proofs_stay_what_they_are() {
    let bytes = golden(include_str!("../../golden/open.v1.hex"));
    assert_eq!(hex(&open().to_bytes()), hex(&bytes));
    assert_eq!(Open::from_bytes(&bytes).unwrap(), open());
    let log = include_str!("../../golden/log-id.v1.hex").trim();
    assert_eq!(hex(open().log_id().as_bytes()), log);

    let proof = ForkProof::between(&chain(1, b'a')[1], &chain(1, b'b')[1]).unwrap();
    let bytes = golden(include_str!("../../golden/fork-proof.v1.hex"));
    assert_eq!(hex(&proof.to_bytes()), hex(&bytes));
    assert_eq!(ForkProof::from_bytes(&bytes).unwrap(), proof);
}

#[test]
fn an_entry_with_one_dependency_costs_less_than_240_bytes() {
    // The aim is 260. Sealing the body adds its own, which `seal` measures.
    let (mut state, _first) = opened();
    for n in 1..300 {
        let entry = next(&state, change(n), &[0; 300]);
        let overhead = entry.as_bytes().len() - 300;
        assert!(overhead <= 237, "entry {n}: {overhead} bytes");
        state.extend(&entry);
    }
    let late = LogState::restore(open(), Head { seq: u64::from(u32::MAX), ..state.head() });
    let entry = next(&late, change(1), &[0; 70_000]);
    assert!(entry.as_bytes().len() - 70_000 <= 245, "after four thousand million entries");
}

#[test]
fn a_dropped_body_leaves_id_and_signature() {
    let entry = chain(1, b'a').pop().unwrap();
    let dropped = entry.clone().without_body();
    let read = Entry::from_vec(dropped.to_bytes()).unwrap();
    assert_eq!((read.id(), read.body(), read.body_bytes()), (entry.id(), None, 2));
    assert_eq!((read.core_bytes(), read.body_hash()), (entry.core_bytes(), entry.body_hash()));
    read.verify_signature(&open().writer).unwrap();
    assert_eq!(read.clone().without_body(), read);
}

/// The bytes of an entry around any core, well-formed or not.
fn around(core: &[u8]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(4).unwrap().u8(0).unwrap().u8(1).unwrap().u8(1).unwrap().bytes(core).unwrap();
    e.u8(2).unwrap().bytes(&[9; 64]).unwrap().u8(3).unwrap().bytes(b"body").unwrap();
    e.into_writer()
}

fn is_not_canonical(result: Result<Entry, Error>) -> bool {
    matches!(result, Err(Error::Record(RecordError::NotCanonical { .. })))
}

#[test]
fn cores_have_one_form() {
    let core = chain(1, b'a')[1].core_bytes().to_vec();
    assert!(Entry::from_vec(around(&core)).is_ok());

    let seq = 36; // after the head of the map, a key, the head of the log id and the log id
    assert_eq!(core[seq..seq + 2], [2, 1]);
    let wide_seq = [&core[..=seq], &[0x18, 1], &core[seq + 2..]].concat();
    let wide_head = [&[0xb8, core[0] - 0xa0], &core[1..]].concat();
    let trailing = [&core, &[0][..]].concat();
    let endless = [&[0xbf], &core[1..], &[0xff]].concat();
    let swapped = [&core[..1], &[2, 1], &core[1..seq], &core[seq + 2..]].concat();
    let empty_list = [&[core[0] + 1], &core[1..], &[9, 0x80]].concat();
    let unknown = [&[core[0] + 1], &core[1..], &[0x18, 63, 0]].concat();
    for (what, core) in [
        ("a wide number", wide_seq),
        ("a wide head", wide_head),
        ("trailing bytes", trailing),
        ("an indefinite map", endless),
        ("swapped keys", swapped),
        ("an empty list", empty_list),
        ("an unknown mandatory field", unknown),
    ] {
        assert!(is_not_canonical(Entry::from_vec(around(&core))), "{what}");
    }
    let later = [&[core[0] + 1], &core[1..], &[0x18, 64, 0]].concat();
    let read = Entry::from_vec(around(&later)).unwrap();
    assert_eq!(read.core_bytes(), later, "a field of a later version is kept and hashed");
}

#[test]
fn nothing_can_be_added_outside_the_signature() {
    let bytes = chain(1, b'a')[1].to_bytes();
    let added = [&[bytes[0] + 1], &bytes[1..], &[0x18, 64, 0]].concat();
    assert!(Entry::from_vec(added).is_err());
    let added = [&bytes[..], &[0]].concat();
    assert!(is_not_canonical(Entry::from_vec(added)));
    let mut newer = bytes;
    newer[2] = 2;
    let refused = Entry::from_vec(newer);
    assert!(matches!(refused, Err(Error::Record(RecordError::Version { found: 2, .. }))));
    let refused = Entry::from_bytes(&vec![0; ENTRY_MAX_BYTES + 1]);
    assert!(matches!(refused, Err(Error::Record(RecordError::TooLong { .. }))));
}

fn core(kind: Kind) -> Core {
    Core {
        log: LogId::from_bytes([1; 32]),
        seq: 1,
        previous: Some(EntryId::from_bytes([2; 32])),
        dependencies: Vec::new(),
        time: time(1),
        priority: Priority::Normal,
        kind,
        epoch: kind.is_sealed().then_some(EpochId::from_bytes([3; 32])),
        objects: Vec::new(),
        covers: Vec::new(),
        targets: Vec::new(),
    }
}

fn ids<T>(count: usize, id: fn([u8; 32]) -> T) -> Vec<T> {
    (0..count)
        .map(|n| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            id(bytes)
        })
        .collect()
}

#[test]
fn a_core_that_breaks_a_rule_is_refused_by_name_when_made_and_when_read() {
    let entry_ids = |count| ids(count, EntryId::from_bytes);
    let twice = vec![EntryId::from_bytes([9; 32]); 2];
    let broken = [
        (Core { seq: 0, previous: None, ..core(Kind::Change) }, "must be its open entry"),
        (core(Kind::Open), "must not be its open entry"),
        (Core { previous: None, ..core(Kind::Epoch) }, "must name a previous entry"),
        (Core { epoch: None, ..core(Kind::Change) }, "must name a key epoch"),
        (Core { epoch: core(Kind::File).epoch, ..core(Kind::Copy) }, "must not name a key epoch"),
        (Core { dependencies: entry_ids(DEPENDENCIES_MAX + 1), ..core(Kind::Change) }, "dependencies"),
        (Core { covers: entry_ids(CLEAR_FIELD_MAX + 1), ..core(Kind::Snapshot) }, "covered entries"),
        (Core { covers: entry_ids(1), ..core(Kind::Change) }, "names no covered entries"),
        (Core { targets: entry_ids(1), ..core(Kind::Change) }, "names no targets"),
        (Core { objects: ids(1, ObjectId::from_bytes), ..core(Kind::Copy) }, "names no objects"),
        (Core { dependencies: twice, ..core(Kind::Change) }, "must ascend"),
        (Core { dependencies: vec![EntryId::from_bytes([2; 32])], ..core(Kind::Change) }, "must ascend"),
    ];
    for (core, sentence) in broken {
        let read = Entry::from_vec(around(&core.to_bytes()));
        let made = Entry::create(core, Vec::new(), &key());
        let made = made.unwrap_err().to_string();
        assert!(made.contains(sentence), "made: {made}, expected: {sentence}");
        // Too long a list is not even read, so that its error is another one.
        let read = read.unwrap_err().to_string();
        assert!(read.contains(sentence) || read.contains("malformed"), "read: {read}");
    }
}

#[test]
fn headers_and_bodies_are_bounded() {
    let large = Core {
        covers: ids(CLEAR_FIELD_MAX, EntryId::from_bytes),
        objects: ids(CLEAR_FIELD_MAX, ObjectId::from_bytes),
        ..core(Kind::Snapshot)
    };
    let refused = Entry::create(large, Vec::new(), &key());
    assert!(matches!(refused, Err(Error::HeaderTooLong(_))));
    let long = vec![0; BODY_SEALED_MAX_BYTES + 1];
    assert!(matches!(Entry::create(core(Kind::Change), long, &key()), Err(Error::BodyTooLong(_))));
    let largest = Core { objects: ids(CLEAR_FIELD_MAX, ObjectId::from_bytes), ..core(Kind::Change) };
    let largest = Entry::create(largest, vec![0; BODY_SEALED_MAX_BYTES], &key()).unwrap();
    assert_eq!(Entry::from_bytes(largest.as_bytes()).unwrap(), largest);
}

#[test]
fn drafts_may_name_ids_in_any_order() {
    let (state, first) = opened();
    let [a, b] = [EntryId::from_bytes([1; 32]), EntryId::from_bytes([2; 32])];
    let draft = Draft { dependencies: vec![b, first.id(), a, b], ..change(1) };
    assert_eq!(next(&state, draft, b"").core().dependencies, [a, b]);
}

fn any_core() -> impl Strategy<Value = Core> {
    let ids = || prop::collection::btree_set(any::<[u8; 32]>(), 0..4);
    (any::<[u8; 32]>(), 1_u64.., any::<[u8; 32]>(), any::<u64>(), 0_u64..5, 1_u64..9, [ids(), ids(), ids()])
        .prop_map(|(log, seq, id, bits, priority, kind, [dependencies, objects, others])| {
            let kind = Kind::from_number(kind).unwrap();
            let others: Vec<_> = others.into_iter().map(EntryId::from_bytes).collect();
            Core {
                log: LogId::from_bytes(log),
                seq,
                previous: Some(EntryId::from_bytes(id)),
                dependencies: dependencies.into_iter().map(EntryId::from_bytes).collect(),
                time: cosmic_common::time::HybridTime::from_bits(bits),
                priority: Priority::from_number(priority).unwrap(),
                objects: objects.into_iter().filter(|_| kind.is_sealed()).map(ObjectId::from_bytes).collect(),
                covers: if kind == Kind::Snapshot { others.clone() } else { Vec::new() },
                targets: if kind == Kind::Tombstone { others } else { Vec::new() },
                ..core(kind)
            }
        })
}

proptest! {
    #[test]
    fn entries_round_trip(core in any_core(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let entry = Entry::create(core.clone(), body.clone(), &key()).unwrap();
        let read = Entry::from_vec(entry.to_bytes()).unwrap();
        prop_assert_eq!(&read, &entry);
        prop_assert_eq!(read.core(), &core);
        prop_assert_eq!(read.core_bytes(), core.to_bytes());
        prop_assert_eq!(read.body(), Some(body.as_slice()));
        let dropped = Entry::from_vec(read.without_body().into_bytes()).unwrap();
        prop_assert_eq!(dropped.id(), entry.id());
        prop_assert_eq!(dropped.core(), &core);
    }

    #[test]
    fn any_flipped_bit_is_noticed(core in any_core(), position: prop::sample::Index, bit in 0..8, dropped: bool) {
        let entry = Entry::create(core, b"body".to_vec(), &key()).unwrap();
        let entry = if dropped { entry.without_body() } else { entry };
        let mut bytes = entry.to_bytes();
        *position.get_mut(&mut bytes) ^= 1_u8 << bit;
        let noticed = Entry::from_vec(bytes).map_or(true, |read| read.verify_signature(&key().writer_id()).is_err());
        prop_assert!(noticed);
    }

    #[test]
    fn what_is_read_is_what_would_be_written(core in any_core(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3)) {
        let mut bytes = core.to_bytes();
        for (position, byte) in edits {
            *position.get_mut(&mut bytes) = byte;
        }
        if let Ok(read) = Entry::from_vec(around(&bytes)) {
            prop_assert_eq!(read.core().to_bytes(), bytes);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _refused = Entry::from_vec(bytes.clone());
        let _refused = Entry::from_vec(around(&bytes));
        let _refused = ForkProof::from_bytes(&bytes);
        let _refused = Open::from_bytes(&bytes);
    }
}
