//! The directory between three servers: records are found, forged ones are neither kept nor believed.

use std::sync::Arc;

use cosmic_identity::key::SecretKey;

use super::{SOON, launch};
use crate::{Config, Error, Handle, MemoryNetwork, Metrics, Options, VALUE_MAX_BYTES, Validator};

/// Accepts values that start with their key; a longer value supersedes.
struct Prefix;

impl Validator for Prefix {
    fn judge(&self, key: &[u8], known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        let longer = known.filter(|known| known.len() > value.len()).unwrap_or(value);
        value.starts_with(key).then(|| longer.to_vec())
    }
}

/// Believes everything, as a liar's own process would.
struct Anything;

impl Validator for Anything {
    fn judge(&self, _key: &[u8], _known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        Some(value.to_vec())
    }
}

/// As [`Prefix`], with more signatures in a record than a stranger may have judged.
struct Dear;

impl Validator for Dear {
    fn judge(&self, key: &[u8], known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        Prefix.judge(key, known, value)
    }

    fn signatures(&self, _value: &[u8]) -> usize {
        10_000_000
    }
}

async fn server(seed: u8, validator: Arc<dyn Validator>, known: Option<&Handle>) -> Handle {
    let key = SecretKey::from_seed(&[seed; 32]);
    let config = Config { directory_server: true, ..Config::loopback() };
    let handle =
        launch(Options { key: &key, config, protocols: &[], validator, metrics: Metrics::default() }).await;
    if let Some(known) = known {
        let mut events = handle.events();
        handle.connect(known.local_peer(), &known.listening(), SOON).await.unwrap();
        // Introduced: from now on the directory knows the other server.
        while !matches!(super::next(&mut events).await, crate::Event::AddressesTold { .. }) {}
        handle.bootstrap(SOON).await.unwrap();
    }
    handle
}

#[tokio::test]
async fn records_are_found_and_newer_ones_supersede() {
    let first = server(1, Arc::new(Prefix), None).await;
    let second = server(2, Arc::new(Prefix), Some(&first)).await;
    let third = server(3, Arc::new(Prefix), Some(&first)).await;
    second.publish(b"key", b"key 1", SOON).await.unwrap();
    assert_eq!(third.find(b"key", SOON).await.unwrap().unwrap(), b"key 1");
    third.publish(b"key", b"key 2 is longer", SOON).await.unwrap();
    assert_eq!(first.find(b"key", SOON).await.unwrap().unwrap(), b"key 2 is longer");
    second.publish(b"key", b"key", SOON).await.unwrap_or_default();
    assert_eq!(
        first.find(b"key", SOON).await.unwrap().unwrap(),
        b"key 2 is longer",
        "an old one does not win"
    );
    assert_eq!(third.find(b"nothing", SOON).await.unwrap(), None);
}

#[tokio::test]
async fn forged_records_are_neither_kept_nor_believed() {
    let honest = server(1, Arc::new(Prefix), None).await;
    let liar = server(2, Arc::new(Anything), Some(&honest)).await;
    let asker = server(3, Arc::new(Prefix), Some(&honest)).await;
    assert!(matches!(asker.publish(b"key", b"forged", SOON).await, Err(Error::RecordRefused)));
    liar.publish(b"key", b"forged", SOON).await.unwrap_or_default();
    assert_eq!(honest.find(b"key", SOON).await.unwrap(), None);
    assert_eq!(asker.find(b"key", SOON).await.unwrap(), None);
    asker.publish(b"key", b"key is true", SOON).await.unwrap();
    assert_eq!(honest.find(b"key", SOON).await.unwrap().unwrap(), b"key is true");
}

#[tokio::test]
async fn who_brings_records_pays_for_the_signatures_in_them() {
    let keeper = server(1, Arc::new(Dear), None).await;
    let other = server(2, Arc::new(Prefix), Some(&keeper)).await;
    other.publish(b"key", b"key 1", SOON).await.unwrap();
    let refused = other.publish(b"next", b"next 1", SOON).await;
    assert!(matches!(refused, Err(Error::Directory { .. })), "{refused:?}");
}

#[tokio::test]
async fn without_servers_the_directory_says_so() {
    let lonely = server(1, Arc::new(Prefix), None).await;
    assert!(matches!(lonely.bootstrap(SOON).await, Err(Error::Directory { .. })));
    assert!(matches!(lonely.publish(b"key", b"key", SOON).await, Err(Error::Directory { .. })));
    assert_eq!(lonely.find(b"other", SOON).await.unwrap(), None);
    let long = vec![0; VALUE_MAX_BYTES + 1];
    assert!(matches!(lonely.publish(b"key", &long, SOON).await, Err(Error::RecordTooLong { .. })));
}

#[tokio::test]
async fn the_memory_network_has_a_directory_too() {
    let network = MemoryNetwork::new();
    let peer = |seed: u8| SecretKey::from_seed(&[seed; 32]).peer_id();
    let (one, other) =
        (network.join(peer(1), &[], Arc::new(Prefix)), network.join(peer(2), &[], Arc::new(Prefix)));
    one.publish(b"key", b"key 1", SOON).await.unwrap();
    assert_eq!(other.find(b"key", SOON).await.unwrap().unwrap(), b"key 1");
    assert!(matches!(other.publish(b"key", b"forged", SOON).await, Err(Error::RecordRefused)));
}

#[tokio::test]
async fn who_starts_anew_asks_the_servers_it_remembers_and_judges_what_it_kept() {
    let first = server(1, Arc::new(Prefix), None).await;
    let second = server(2, Arc::new(Prefix), Some(&first)).await;
    second.publish(b"key", b"key 1", SOON).await.unwrap();
    let mut kept = second.directory().await.unwrap();
    assert_eq!(kept.servers.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [first.local_peer()]);
    assert_eq!(kept.records.len(), 1);
    let mut forged = kept.records[0].clone();
    forged.key = b"other".to_vec();
    kept.records.push(forged);
    // A device that was never told of anybody.
    let key = SecretKey::from_seed(&[9; 32]);
    let (validator, metrics) = (Arc::new(Prefix), Metrics::default());
    let device = Options { key: &key, config: Config::default(), protocols: &[], validator, metrics };
    let device = launch(device).await;
    let records = std::mem::take(&mut kept.records);
    device.remember(kept).await.unwrap();
    assert_eq!(device.find(b"key", SOON).await.unwrap().unwrap(), b"key 1");
    let health = device.situation().await.unwrap().directory;
    assert!(health.servers > 0 && health.remembered == 1);
    assert!(health.search.unwrap().copies > 0);
    let again = server(3, Arc::new(Prefix), None).await;
    again.remember(crate::Snapshot { records, servers: Vec::new() }).await.unwrap();
    assert_eq!(again.find(b"key", SOON).await.unwrap().unwrap(), b"key 1");
    assert_eq!(again.find(b"other", SOON).await.unwrap(), None);
    assert_eq!(again.situation().await.unwrap().directory.records, 1);
}
