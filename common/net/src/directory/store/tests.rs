//! The records: judged, merged, bounded, and shared among those who bring them.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use libp2p::{
    Multiaddr, PeerId,
    kad::{Record, RecordKey, store::RecordStore as _},
    multiaddr::Protocol as Part,
};

use super::{KEPT_FOR, OF_ONE_PEER_MAX, OF_ONE_SUBNET_MAX, Refusal, Source, Store};
use crate::{
    KEY_MAX_BYTES, VALUE_MAX_BYTES, Validator, clock,
    directory::{store::BYTES_MAX, table::subnet},
};

/// A record is a set of letters.
struct Letters;

impl Validator for Letters {
    fn judge(&self, _key: &[u8], known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        let mut all: Vec<u8> = known.unwrap_or_default().iter().chain(value).copied().collect();
        all.sort_unstable();
        all.dedup();
        value.is_ascii().then_some(all)
    }
}

/// Keeps values as they are.
struct Whole;

impl Validator for Whole {
    fn judge(&self, _key: &[u8], _known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        Some(value.to_vec())
    }
}

fn store(records_max: usize) -> Store {
    Store::new(PeerId::random(), Arc::new(Letters), records_max)
}

fn record(key: usize, value: &[u8]) -> Record {
    Record::new(key.to_be_bytes().to_vec(), value.to_vec())
}

fn key(key: usize) -> RecordKey {
    RecordKey::new(&key.to_be_bytes())
}

fn name(bytes: [u8; 32]) -> cosmic_common::id::PeerId {
    cosmic_common::id::PeerId::from_bytes(bytes)
}

/// Somebody at this address of this subnet.
fn from(subnet_number: usize) -> Source {
    let subnet_number = u8::try_from(subnet_number % 256).unwrap();
    let address = Multiaddr::empty().with(Part::Ip4(Ipv4Addr::new(198, 51, subnet_number, 7)));
    Source { peer: Some(name(cosmic_runtime::random::bytes())), subnet: subnet(&address) }
}

#[test]
fn what_counts_of_a_record_is_merged_with_what_was_there() {
    let (mut store, now) = (store(8), clock::now());
    store.take(record(1, b"ca"), from(1), now).unwrap();
    store.take(record(1, b"ab"), from(2), now).unwrap();
    assert_eq!(store.get(&key(1)).unwrap().value, b"abc");
    assert_eq!(store.take(record(1, &[0xff]), from(3), now), Err(Refusal::NotValid));
    assert_eq!(store.take(record(2, &[0xff]), from(3), now), Err(Refusal::NotValid));
    assert_eq!((store.len(), store.get(&key(1)).unwrap().value.as_slice()), (1, &b"abc"[..]));
}

#[test]
fn long_keys_and_values_are_refused() {
    let (mut store, now) = (store(8), clock::now());
    let long_key = Record::new(vec![0; KEY_MAX_BYTES + 1], vec![]);
    assert_eq!(store.take(long_key, from(1), now), Err(Refusal::TooLong));
    assert_eq!(store.take(record(1, &vec![b'a'; VALUE_MAX_BYTES + 1]), from(1), now), Err(Refusal::TooLong));
    assert!(
        store.take(Record::new(vec![0; KEY_MAX_BYTES], vec![b'a'; VALUE_MAX_BYTES]), from(1), now).is_ok()
    );
}

#[test]
fn nobody_brings_more_than_a_share() {
    let (mut store, now) = (store(1024), clock::now());
    let one = from(1);
    for number in 0..OF_ONE_PEER_MAX {
        store.take(record(number, b"a"), one, now).unwrap();
    }
    assert_eq!(store.take(record(1000, b"a"), one, now), Err(Refusal::Quota));
    assert!(store.take(record(0, b"b"), one, now).is_ok(), "what is there already is no new one");
    // Others of its subnet go on until that is full, and others elsewhere even then.
    let others = (OF_ONE_PEER_MAX..).map_while(|number| store.take(record(number, b"a"), from(1), now).ok());
    assert_eq!(others.count(), OF_ONE_SUBNET_MAX - OF_ONE_PEER_MAX);
    assert!(store.take(record(2000, b"a"), from(2), now).is_ok());
    assert!(store.take(record(2001, b"a"), Source::default(), now).is_ok());
}

#[test]
fn of_too_many_the_closest_are_kept() {
    let (mut store, now) = (store(10), clock::now());
    for number in 0..100 {
        store.take(record(number, b"a"), from(number), now).unwrap_or_else(|refusal| {
            assert_eq!(refusal, Refusal::Full);
        });
    }
    let mut closest: Vec<_> = (0..100).map(key).collect();
    closest.sort_by_key(|key| store.distance(key));
    assert_eq!(store.len(), 10);
    assert!(closest[..10].iter().all(|key| store.get(key).is_some()));
}

#[test]
fn all_together_stay_within_their_bytes() {
    let mut store = Store::new(PeerId::random(), Arc::new(Whole), usize::MAX);
    let now = clock::now();
    for number in 0..2 * BYTES_MAX / VALUE_MAX_BYTES {
        store.take(record(number, &[7; VALUE_MAX_BYTES]), from(number), now).unwrap_or_default();
        assert!(store.bytes <= BYTES_MAX);
    }
    assert_eq!(store.len(), BYTES_MAX / VALUE_MAX_BYTES);
    assert_eq!(store.bytes, store.records().map(|record| record.value.len()).sum::<usize>());
}

#[test]
fn records_end_unless_they_are_brought_again() {
    let (mut store, begin) = (store(2), clock::now());
    let later = begin + KEPT_FOR + Duration::from_secs(1);
    let forever = Record { expires: None, ..record(1, b"a") };
    store.take(forever, from(1), begin).unwrap();
    store.take(record(2, b"a"), from(2), begin).unwrap();
    assert!(store.get(&key(1)).unwrap().is_expired(later), "nothing is kept for ever");
    assert_eq!(store.kept(begin).len(), 2);
    assert!(store.kept(begin)[0].left <= KEPT_FOR);
    store.take(record(2, b"b"), from(2), begin + KEPT_FOR).unwrap();
    store.take(record(3, b"a"), from(3), later).unwrap();
    assert!(store.get(&key(1)).is_none() && store.get(&key(2)).is_some(), "the one that ended made room");
}

#[test]
fn nobody_provides_anything() {
    let mut store = store(8);
    let provider = libp2p::kad::ProviderRecord::new(key(1), PeerId::random(), Vec::new());
    assert!(store.add_provider(provider).is_err());
    assert!(store.providers(&key(1)).is_empty() && store.provided().next().is_none());
}
