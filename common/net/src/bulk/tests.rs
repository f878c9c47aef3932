//! What only the plane can show: what it carries, whom it refuses, and what travels by the swarm instead.

use std::{net::UdpSocket, sync::Arc, time::Duration};

use cosmic_common::limit::OBJECT_MAX_BYTES;
use cosmic_identity::key::SecretKey;
use prometheus_client::registry::Registry;
use quinn::ConnectionError;
use tokio::sync::oneshot;

use super::*;
use crate::{
    Handle, Options, RefuseAll,
    tests::{BULK_ECHO, ECHO, SOON, launch, sockets::counted},
};

/// A peer that serves streams of both kinds, and its counters.
async fn peer(seed: u8, config: Config) -> (Handle, Registry) {
    served(seed, config, &[ECHO, BULK_ECHO]).await
}

async fn served(seed: u8, config: Config, protocols: &[Protocol]) -> (Handle, Registry) {
    let mut registry = Registry::with_prefix("cosmic_net");
    let metrics = Metrics::default();
    metrics.register(&mut registry);
    let (key, validator) = (SecretKey::from_seed(&[seed; 32]), Arc::new(RefuseAll));
    (launch(Options { key: &key, config, protocols, validator, metrics }).await, registry)
}

/// A peer without a plane that tells the port of somebody else when it is asked for its own.
async fn liar(seed: u8) -> (Handle, Incoming) {
    let config = Config { bulk: false, ..Config::loopback() };
    let (liar, _registry) = served(seed, config, &[BULK, BULK_ECHO]).await;
    let introductions = liar.accept(BULK).unwrap();
    (liar, introductions)
}

async fn tell(introductions: &mut Incoming, port: u16) -> Stream {
    let mut leash = introductions.next().await.unwrap();
    leash.send(&hello::port(port)).await.unwrap();
    leash.flush().await.unwrap();
    leash
}

/// A stream and its other end, which say a word to each other.
async fn talk(near: &Handle, far: &Handle, incoming: &mut Incoming) -> (Stream, Stream) {
    let mut here = near.open(far.local_peer(), BULK_ECHO, SOON).await.unwrap();
    here.send(b"a word").await.unwrap();
    here.flush().await.unwrap();
    let mut there = tokio::time::timeout(SOON, incoming.next()).await.unwrap().unwrap();
    assert_eq!((there.peer(), here.peer()), (near.local_peer(), far.local_peer()));
    assert_eq!(there.recv(64).await.unwrap().unwrap(), b"a word");
    (here, there)
}

async fn until(registry: &Registry, line: &str) {
    let mut poll = tokio::time::interval(Duration::from_millis(10));
    let seen = async {
        while !counted(registry, line) {
            poll.tick().await;
        }
    };
    tokio::time::timeout(SOON, seen).await.unwrap();
}

/// A connection of its own making, by the peer of `seed`, to wherever `far` listens for bulk.
async fn raw(seed: u8, far: &Handle) -> quinn::Connection {
    let identity = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let crypto = Tls::new(&identity).unwrap().client(far.local_peer()).unwrap();
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(endpoint::transport());
    let endpoint = endpoint::bind(None, None).unwrap();
    let address = far.bulk_address().unwrap();
    endpoint.connect_with(config, address, tls::SERVER_NAME).unwrap().await.unwrap()
}

/// The code the other side closed a connection with.
async fn closed_with(connection: &quinn::Connection) -> u64 {
    match tokio::time::timeout(SOON, connection.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(close) => close.error_code.into(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn bulk_travels_by_the_plane_there_and_back() {
    let (far, far_counts) = peer(2, Config::loopback()).await;
    let (near, near_counts) = peer(1, Config::default()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut incoming = far.accept(BULK_ECHO).unwrap();
    let object: Vec<u8> = (0..251_u8).cycle().take(OBJECT_MAX_BYTES).collect();
    let asking = async {
        let mut here = near.open(far.local_peer(), BULK_ECHO, SOON).await.unwrap();
        let mut back = Vec::new();
        for _ in 0..16 {
            here.send_bulk(&object).await.unwrap();
            back.clear();
            here.recv_bulk(&mut back, object.len()).await.unwrap();
            assert!(back == object, "other bytes came back");
        }
        here.close().await.unwrap();
    };
    let answering = async {
        let mut there = incoming.next().await.unwrap();
        let mut bytes = Vec::new();
        for _ in 0..16 {
            bytes.clear();
            there.recv_bulk(&mut bytes, OBJECT_MAX_BYTES).await.unwrap();
            there.send_bulk(&bytes).await.unwrap();
        }
        assert_eq!(there.recv(64).await.unwrap(), None);
    };
    tokio::join!(asking, answering);
    for counts in [&near_counts, &far_counts] {
        for direction in ["Sent", "Received"] {
            let line =
                format!(r#"cosmic_net_stream_bytes_total{{direction="{direction}",plane="Bulk"}} 67108864"#);
            assert!(counted(counts, &line), "{line}");
        }
        assert!(counted(counts, "cosmic_net_bulk_connections 1"));
    }
    // The swarm carried the two bytes of the port and their length.
    assert!(counted(&far_counts, r#"cosmic_net_stream_bytes_total{direction="Sent",plane="Swarm"} 6"#));
    assert!(counted(&far_counts, r#"cosmic_net_stream_bytes_total{direction="Received",plane="Swarm"} 0"#));
}

#[tokio::test]
async fn the_side_that_was_dialed_uses_the_same_connection() {
    let (far, _) = peer(2, Config::loopback()).await;
    let (near, near_counts) = peer(1, Config::loopback()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let (mut near_incoming, mut far_incoming) =
        (near.accept(BULK_ECHO).unwrap(), far.accept(BULK_ECHO).unwrap());
    let _there = talk(&near, &far, &mut far_incoming).await;
    let _back = talk(&far, &near, &mut near_incoming).await;
    assert!(counted(&near_counts, "cosmic_net_bulk_connections 1"));
}

#[tokio::test]
async fn both_may_dial_at_once() {
    let ((near, _), (far, _)) = (peer(1, Config::loopback()).await, peer(2, Config::loopback()).await);
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    far.add_addresses(near.local_peer(), &near.listening()).await.unwrap();
    let (mut near_incoming, mut far_incoming) =
        (near.accept(BULK_ECHO).unwrap(), far.accept(BULK_ECHO).unwrap());
    for _ in 0..3 {
        tokio::join!(talk(&near, &far, &mut far_incoming), talk(&far, &near, &mut near_incoming));
    }
}

#[tokio::test]
async fn a_peer_without_a_plane_is_served_by_the_swarm() {
    let (far, far_counts) = peer(2, Config { bulk: false, ..Config::loopback() }).await;
    let (near, near_counts) = peer(1, Config::default()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut incoming = far.accept(BULK_ECHO).unwrap();
    for _ in 0..2 {
        talk(&near, &far, &mut incoming).await;
    }
    assert!(counted(&near_counts, r#"cosmic_net_bulk_fallbacks_total{reason="Unsupported"} 2"#));
    assert!(counted(&far_counts, r#"cosmic_net_stream_bytes_total{direction="Received",plane="Swarm"} 20"#));
    assert_eq!(far.bulk_address(), None);
}

#[tokio::test]
async fn a_port_that_does_not_answer_is_tried_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (far, mut introductions) = liar(2).await;
    let (near, near_counts) = peer(1, Config::default()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut incoming = far.accept(BULK_ECHO).unwrap();
    let telling = tell(&mut introductions, silent.local_addr().unwrap().port());
    let (mut leash, _ends) = tokio::join!(telling, talk(&near, &far, &mut incoming));
    assert!(matches!(leash.recv(0).await, Ok(None) | Err(Error::Lost { .. })), "the dial is over");
    // Nobody answers a second question for the port now.
    talk(&near, &far, &mut incoming).await;
    assert!(counted(&near_counts, r#"cosmic_net_bulk_fallbacks_total{reason="Unreachable"} 2"#));
    assert!(counted(&near_counts, "cosmic_net_bulk_connections 0"));
}

#[tokio::test]
async fn somebody_else_at_the_port_gets_nothing() {
    let (other, other_counts) = peer(3, Config::loopback()).await;
    let (far, mut introductions) = liar(2).await;
    let (near, near_counts) = peer(1, Config::default()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut incoming = far.accept(BULK_ECHO).unwrap();
    let telling = tell(&mut introductions, other.bulk_address().unwrap().port());
    let (_leash, _ends) = tokio::join!(telling, talk(&near, &far, &mut incoming));
    assert!(counted(&near_counts, r#"cosmic_net_bulk_fallbacks_total{reason="Unreachable"} 1"#));
    assert!(counted(&other_counts, "cosmic_net_bulk_connections 0"));
    assert!(counted(&other_counts, r#"cosmic_net_stream_bytes_total{direction="Received",plane="Bulk"} 0"#));
}

#[tokio::test]
async fn a_peer_that_was_not_told_the_port_is_refused() {
    let (far, far_counts) = peer(2, Config::loopback()).await;
    assert_eq!(closed_with(&raw(1, &far).await).await, 1);
    assert!(counted(&far_counts, "cosmic_net_bulk_connections 0"));
}

#[tokio::test]
async fn a_broken_opening_closes_the_connection_and_the_end_of_the_leash_every_one() {
    let (far, far_counts) = peer(2, Config::loopback()).await;
    let (near, _) = peer(1, Config { bulk: false, ..Config::default() }).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut leash = near.open(far.local_peer(), BULK, SOON).await.unwrap();
    let port = hello::read_port(&leash.recv(hello::PORT_BYTES).await.unwrap().unwrap());
    assert_eq!(port, Some(far.bulk_address().unwrap().port()));
    for broken in [&b"\0"[..], b"\xff/cosmic"] {
        let connection = raw(1, &far).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(broken).await.unwrap();
        assert_eq!(closed_with(&connection).await, 2);
    }
    until(&far_counts, "cosmic_net_bulk_connections 0").await;
    let mut connections = Vec::new();
    for count in 1..=4 {
        connections.push(raw(1, &far).await);
        until(&far_counts, &format!("cosmic_net_bulk_connections {count}")).await;
    }
    assert_eq!(closed_with(&raw(1, &far).await).await, 1, "a fifth of one peer is refused");
    drop(leash);
    for connection in &connections {
        assert_eq!(closed_with(connection).await, 0);
    }
}

#[tokio::test]
async fn only_bulk_protocols_are_served() {
    let (far, _) = peer(2, Config::loopback()).await;
    let (near, _) = peer(1, Config { bulk: false, ..Config::default() }).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut leash = near.open(far.local_peer(), BULK, SOON).await.unwrap();
    leash.recv(hello::PORT_BYTES).await.unwrap().unwrap();
    let link = Link::new(far.local_peer(), Direction::Outbound, raw(1, &far).await);
    let refused = link.open(ECHO, &Metrics::default()).await;
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    link.open(BULK_ECHO, &Metrics::default()).await.unwrap();
}

#[tokio::test]
async fn who_wants_too_many_streams_waits() {
    let (far, _) = peer(2, Config::loopback()).await;
    let (near, counts) = peer(1, Config::default()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let most = usize::try_from(endpoint::STREAMS_MAX).unwrap();
    let opening = (0..most).map(|_| near.open(far.local_peer(), BULK_ECHO, SOON));
    let streams = futures::future::try_join_all(opening).await.unwrap();
    assert!(counted(&counts, "cosmic_net_bulk_connections 1"));
    let mut incoming = far.accept(BULK_ECHO).unwrap();
    let brief = Duration::from_millis(100);
    let result = near.open(far.local_peer(), BULK_ECHO, brief).await;
    assert!(matches!(result, Err(Error::Deadline { .. })), "{result:?}");
    drop(streams);
    for _ in 0..most {
        drop(incoming.next().await);
    }
    near.open(far.local_peer(), BULK_ECHO, SOON).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_made_again() {
    let (far, far_counts) = peer(2, Config::loopback()).await;
    let (near, near_counts) = peer(1, Config { idle_timeout_secs: 1, ..Config::default() }).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut incoming = far.accept(BULK_ECHO).unwrap();
    for _ in 0..2 {
        drop(talk(&near, &far, &mut incoming).await);
        until(&near_counts, "cosmic_net_bulk_connections 0").await;
        until(&far_counts, "cosmic_net_bulk_connections 0").await;
    }
}

#[tokio::test]
async fn stopping_ends_the_streams_and_frees_the_port() {
    let (key, validator) = (SecretKey::from_seed(&[2; 32]), Arc::new(RefuseAll));
    let (config, metrics) = (Config::loopback(), Metrics::default());
    let options = Options { key: &key, config, protocols: &[BULK_ECHO], validator, metrics };
    let (far, actor) = crate::bind(options).await.unwrap();
    let (near, _) = peer(1, Config::default()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut incoming = far.accept(BULK_ECHO).unwrap();
    let life = async {
        let (mut here, mut there) = talk(&near, &far, &mut incoming).await;
        stop.send(()).unwrap();
        assert!(matches!(here.recv(64).await, Err(Error::Lost { .. })));
        assert!(matches!(there.recv(64).await, Err(Error::Lost { .. })));
    };
    tokio::join!(life, actor.run(async { stopped.await.unwrap() }));
    let address = far.bulk_address().unwrap();
    let mut poll = tokio::time::interval(Duration::from_millis(10));
    let free = async {
        while UdpSocket::bind(address).is_err() {
            poll.tick().await;
        }
    };
    tokio::time::timeout(SOON, free).await.unwrap();
    assert!(matches!(far.open(near.local_peer(), BULK_ECHO, SOON).await, Err(Error::Stopped)));
}

#[tokio::test]
async fn a_taken_port_is_told_at_start() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = Config { bulk_listen: Some(taken.local_addr().unwrap()), ..Config::default() };
    let (key, validator) = (SecretKey::from_seed(&[1; 32]), Arc::new(RefuseAll));
    let options = Options { key: &key, config, protocols: &[], validator, metrics: Metrics::default() };
    assert!(matches!(crate::bind(options).await, Err(Error::Listen { .. })));
}

#[test]
fn who_was_avoided_is_forgiven() {
    let (links, peer) = (Links::new(&Config::default()), PeerId::from_bytes([1; 32]));
    assert!(links.avoid(peer, Fallback::Unreachable));
    assert_eq!(links.avoided(&peer), Some(Fallback::Unreachable));
    links.forgive(&peer);
    assert_eq!(links.avoided(&peer), None);
}
