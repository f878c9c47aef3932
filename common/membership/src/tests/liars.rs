//! Forged and foreign configurations, and peers that do not keep to the protocol.

use std::sync::Arc;

use cosmic_common::{protocol, record::Record};
use cosmic_identity::signed::Signed;
use cosmic_net::RefuseAll;
use cosmic_ring::{NetworkAnswer, NetworkConfig, NetworkRequest, RingMessage};

use super::{Ended, SOON, World, configuration, key, knows, signed};
use crate::{BootstrapPeer, Config, Metrics, NetworkFile, PROTOCOLS, start};
use cosmic_runtime::{clock::Clock, tasks::Tasks};

#[tokio::test]
async fn a_forged_configuration_is_refused_and_its_sender_left() {
    let world = World::new();
    let forger = key(7, 0).peer_id();
    let liar = world.memory.join(forger, &PROTOCOLS, Arc::new(RefuseAll));
    let mut asked = liar.accept(protocol::NETWORK).unwrap();
    let network = configuration(1, &[]).network();
    let bootstrap = vec![BootstrapPeer { peer: forger, addresses: liar.listening() }];
    let (clock, metrics) = (Clock::system(), Metrics::default());
    let tasks = Tasks::new(clock.clone());
    let net = world.memory.join(key(9, 0).peer_id(), &[], Arc::new(RefuseAll));
    let config = Config {
        network: NetworkFile { network, bootstrap },
        state_file: world.path().join("state"),
        member: None,
        serve: false,
        advertise: Vec::new(),
        listings: Arc::default(),
    };
    let handle = start(config, net.clone(), key(9, 0), clock, metrics.clone(), &tasks).unwrap();
    let mut stream = asked.next().await.unwrap();
    let request = stream.recv(NetworkRequest::LIMIT).await.unwrap().unwrap();
    assert_eq!(NetworkRequest::from_bytes(&request).unwrap().network, network);
    // It names the right network key, but holds another one.
    let config = Signed::sign(configuration(9, &[]), &key(7, 7)).to_bytes();
    stream.send(&NetworkAnswer::Network { config, members: Vec::new() }.to_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    assert!(matches!(stream.recv(1024).await, Ok(None) | Err(_)), "the joiner leaves");
    let refused = async {
        while metrics.count(Ended::Refused) == 0 || !net.connected().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    assert!(handle.ring().is_none());
    tasks.stop(SOON).await.unwrap();
}

#[tokio::test]
async fn a_bootstrap_node_of_another_network_is_of_no_use_and_no_harm() {
    let world = World::new();
    let foreign_key = key(1, 1);
    let foreign = NetworkConfig::new(&foreign_key);
    let (clock, tasks) = (Clock::system(), Tasks::new(Clock::system()));
    let net = world.memory.join(key(4, 1).peer_id(), &PROTOCOLS, Arc::new(RefuseAll));
    let config = Config {
        network: NetworkFile { network: foreign.network(), bootstrap: Vec::new() },
        state_file: world.path().join("foreign"),
        member: None,
        serve: true,
        advertise: Vec::new(),
        listings: Arc::default(),
    };
    let stranger = start(config, net.clone(), key(4, 1), clock, Metrics::default(), &tasks).unwrap();
    stranger.apply_config(Signed::sign(foreign, &foreign_key)).unwrap();
    let stranger = super::Process { handle: stranger, net, metrics: Metrics::default(), tasks };

    let lost = world.supernode(0, &[&stranger]);
    lost.counts(Ended::Failed).await;
    assert!(lost.handle.ring().is_none());
    assert_eq!(lost.metrics.count(Ended::Refused), 0, "an honest mistake in a file");
    world.stop(lost).await;

    let door = world.door(&[0]);
    let found = world.supernode(0, &[&stranger, &door]);
    found.sees(|view| knows(view, &[&found])).await;
    assert!(stranger.handle.ring().unwrap().atlas.everybody().is_empty());
}

#[tokio::test]
async fn who_talks_nonsense_is_disconnected_and_left_alone() {
    let world = World::new();
    let door = world.door(&[]);
    let liar = world.memory.join(key(7, 1).peer_id(), &[], Arc::new(RefuseAll));
    liar.connect(door.peer(), &door.listening(), SOON).await.unwrap();
    let mut stream = liar.open(door.peer(), protocol::RING, SOON).await.unwrap();
    stream.send(&RingMessage::Sent.to_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    while let Ok(Some(_greeting)) = stream.recv(RingMessage::LIMIT).await {}
    door.counts(Ended::Refused).await;
    let mut again = liar.open(door.peer(), protocol::RING, SOON).await.unwrap();
    assert!(matches!(again.recv(RingMessage::LIMIT).await, Ok(None) | Err(_)), "no greeting any more");
}

#[tokio::test]
async fn a_configuration_by_another_key_is_refused_at_the_door() {
    let world = World::new();
    let door = world.door(&[]);
    let forged = Signed::sign(configuration(2, &[0]), &key(7, 7));
    assert!(door.handle.apply_config(forged).is_err());
    let foreign = NetworkConfig { version: 3, ..NetworkConfig::new(&key(1, 1)) };
    let foreign = Signed::sign(foreign, &key(1, 1));
    assert!(door.handle.apply_config(foreign).is_err());
    assert!(door.handle.apply_config(signed(configuration(2, &[0]))).unwrap());
}
