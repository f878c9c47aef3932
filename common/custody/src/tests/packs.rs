//! Packs: their bytes, what hostile bytes meet, and when tails are packed.

use std::{collections::BTreeSet, time::Duration};

use cosmic_common::{id::ObjectId, time::Timestamp};
use proptest::prelude::*;

use super::samples::{LOG, peer};
use crate::pack::{
    Packed,
    bytes::{HEADER_BYTES, NotAPack, PACK_MAX_BYTES, Pack, encode, length, object},
    packers,
    tail::{Rules, Tail},
};

fn ms(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

#[test]
fn the_bytes_of_a_pack_are_golden() {
    let pack = encode(LOG, 7, [&[1_u8, 2][..], &[], &[3]]).unwrap();
    let log = "03".repeat(32);
    let golden = format!("01{log}00000000000000070000000300000002010200000000{}", "0000000103");
    assert_eq!(pack.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), golden);
    assert_eq!(length(3, 3), pack.len() as u64);
}

#[test]
fn a_pack_is_full_at_its_limit_and_never_empty() {
    let most = vec![0_u8; PACK_MAX_BYTES - HEADER_BYTES - 4];
    let pack = encode(LOG, 0, [&most[..]]).unwrap();
    assert_eq!(pack.len(), PACK_MAX_BYTES);
    assert_eq!(Pack::read(pack).unwrap().count(), 1);
    assert!(encode(LOG, 0, [&most[..], &[]]).is_none());
    assert!(encode(LOG, 0, []).is_none());
    assert_eq!(
        Pack::read(vec![1; PACK_MAX_BYTES + 1]).unwrap_err(),
        NotAPack::TooLong { found: PACK_MAX_BYTES + 1 }
    );
    assert_eq!(Pack::read(vec![2; 60]).unwrap_err(), NotAPack::Version { found: 2 });
    let behind_the_last = encode(LOG, u64::MAX, [&[1_u8][..], &[2]]).unwrap();
    assert_eq!(Pack::read(behind_the_last).unwrap_err(), NotAPack::Malformed);
}

#[test]
fn who_has_the_entries_needs_no_word_for_a_pack() {
    let entries = [vec![1_u8; 10], vec![2; 20]];
    let pack = encode(LOG, 3, entries.iter().map(Vec::as_slice)).unwrap();
    let packed = Packed { log: LOG, from: 3, to: 4, object: object(&pack) };
    assert!(packed.is_made_of(&entries));
    assert!(packed.contains(3) && packed.contains(4) && !packed.contains(5) && !packed.contains(2));
    assert!(!packed.is_made_of(&entries[..1]), "an entry is missing");
    assert!(!Packed { to: 3, ..packed }.is_made_of(&entries), "it says that it ends before");
    assert!(!Packed { object: ObjectId::from_bytes([0; 32]), ..packed }.is_made_of(&entries));
    let none: [Vec<u8>; 0] = [];
    assert!(!Packed { from: 1, to: 0, ..packed }.is_made_of(&none));
}

#[test]
fn a_tail_is_packed_when_it_is_full_idle_or_old() {
    let rules = Rules {
        full_bytes: 1000,
        idle_bytes: 100,
        idle_after: Duration::from_secs(60),
        age: Duration::from_secs(3600),
    };
    let mut tail = Tail::new(5, ms(0));
    tail.grow(10, ms(1000));
    assert_eq!(tail.due(&rules, ms(3_599_999)), None, "too small to be packed for being idle");
    assert_eq!(tail.due(&rules, ms(3_600_000)), Some(ms(3_600_000)));
    tail.grow(100, ms(2000));
    assert_eq!(tail.due(&rules, ms(61_999)), None);
    assert_eq!(tail.due(&rules, ms(62_000)), Some(ms(62_000)));
    tail.grow(2000, ms(3000));
    assert_eq!(tail.due(&rules, ms(3000)), Some(ms(3000)), "full at once");
    let left = tail.behind(2, 110).unwrap();
    assert_eq!(left, Tail { from: 7, entries: 1, bytes: 2000, since: ms(3000), grown: ms(3000) });
    assert_eq!(left.behind(1, 2000), None);
}

#[test]
fn everybody_finds_the_same_packer() {
    let replicas = [peer(1), peer(2), peer(3)];
    let order = packers(&LOG, replicas);
    assert_eq!(order, packers(&LOG, [peer(3), peer(1), peer(2)]));
    assert_eq!(order.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(replicas));
}

proptest! {
    #[test]
    fn what_was_packed_comes_back(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40),
        from in 0_u64..1_000_000, skipped in 0_usize..50,
    ) {
        let pack = encode(LOG, from, entries.iter().map(Vec::as_slice)).unwrap();
        let bytes: usize = entries.iter().map(Vec::len).sum();
        prop_assert_eq!(pack.len() as u64, length(entries.len() as u64, bytes as u64));
        let read = Pack::read(pack).unwrap();
        prop_assert_eq!((read.log(), read.from(), read.count()), (LOG, from, entries.len()));
        let rest: Vec<_> = read.entries_from(from + skipped as u64).collect();
        prop_assert_eq!(rest, entries.iter().skip(skipped).map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert!(from == 0 || read.entries_from(from - 1).next().is_none());
    }

    #[test]
    fn hostile_bytes_are_no_pack_or_one_that_adds_up(
        at in 0_usize..200, value: u8, cut in 0_usize..200, more in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = encode(LOG, 7, [&[1_u8; 30][..], &[2; 60]]).unwrap();
        let length = bytes.len();
        bytes[at % length] = value;
        bytes.truncate(length - cut % length);
        bytes.extend(more);
        if let Ok(pack) = Pack::read(bytes.clone()) {
            let again = encode(pack.log(), pack.from(), pack.entries_from(pack.from()));
            prop_assert_eq!(again, Some(bytes));
        }
    }
}
