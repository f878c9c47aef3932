//! A network with two doors: the second needs no key, learns everything from the first, and can stand alone.

use std::{fs, time::Duration};

use cosmic_membership::{BootstrapPeer, NetworkFile, RingView};
use cosmic_ring::Admission;
use tempfile::TempDir;

use super::{loopback, operator};
use crate::{
    change::{Change, apply},
    config::Config,
    home::{self, Error, Home},
    start::{self, Running, start},
};

/// Nothing here takes long; a test that reaches this has hung.
const SOON: Duration = Duration::from_secs(30);

async fn sees(node: &Running, good: impl Fn(&RingView) -> bool) {
    let mut views = node.membership().view();
    let waited = tokio::time::timeout(SOON, views.wait_for(|view| view.as_deref().is_some_and(&good)));
    waited.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_door_learns_the_network_from_the_first_and_then_stands_alone() {
    let world = TempDir::new().unwrap();
    let (one, other) = (world.path().join("one"), world.path().join("other"));
    let network = Home::open(&one).unwrap().create_network(Admission::AllowList).unwrap();
    let first = start(loopback(), &one).await.unwrap();
    let file = world.path().join("network.json");
    let bootstrap = vec![BootstrapPeer { peer: first.peer(), addresses: first.addresses() }];
    fs::write(&file, serde_json::to_vec(&NetworkFile { network, bootstrap }).unwrap()).unwrap();

    let second = start(Config { network: Some(file), ..loopback() }, &other).await.unwrap();
    let version = second.membership().joined().await.members.config().version;
    assert_eq!(version, 2, "the first named itself in the configuration");

    let key = home::network_key(&one, None).unwrap();
    let config = first.membership().joined().await.members.config().clone();
    let next = apply(&config, Change::Admit(vec![operator(2)]), &key).unwrap().unwrap();
    first.membership().apply_config(next).unwrap();
    sees(&second, |view| view.members.config().admits(&operator(2))).await;
    first.stop().await.unwrap();
    second.stop().await.unwrap();

    let kept = home::configuration(&other).unwrap();
    assert!(kept.unverified().admits(&operator(2)), "kept where the command line looks for it");
    let alone = start(loopback(), &other).await.unwrap();
    assert!(alone.membership().joined().await.members.config().admits(&operator(2)));
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_without_network_or_of_another_one_is_refused() {
    let world = TempDir::new().unwrap();
    let (none, some) = (world.path().join("none"), world.path().join("some"));
    let refused = start(loopback(), &none).await;
    assert!(matches!(refused.err(), Some(start::Error::Home(Error::NoNetwork { .. }))));
    let home = Home::open(&some).unwrap();
    home.create_network(Admission::Open).unwrap();
    assert!(matches!(home.create_network(Admission::Open), Err(Error::NetworkExists { .. })));
    let other = Home::open(&none).unwrap().create_network(Admission::Open).unwrap();
    let file = world.path().join("network.json");
    let other = NetworkFile { network: other, bootstrap: Vec::new() };
    fs::write(&file, serde_json::to_vec(&other).unwrap()).unwrap();
    assert!(matches!(home.network(Some(&file)), Err(Error::OtherNetwork { .. })));
}
