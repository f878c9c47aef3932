//! Dialing, limits and parting over real sockets of loopback.

use std::sync::Arc;

use cosmic_common::address::Address;
use cosmic_identity::key::SecretKey;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use super::{ECHO, SOON, connected, disconnected, launch, next, start};
use crate::{Config, Error, Event, Handle, Metrics, Options, RefuseAll, Transport, bind};

fn only(addresses: &[Address], transport: Transport) -> Vec<Address> {
    addresses.iter().filter(|address| Transport::of(address) == Some(transport)).cloned().collect()
}

/// A peer that only dials, and its counters.
async fn dialer(seed: u8, config: Config) -> (Handle, Registry) {
    let key = SecretKey::from_seed(&[seed; 32]);
    let mut registry = Registry::with_prefix("cosmic_net");
    let metrics = Metrics::default();
    metrics.register(&mut registry);
    let validator = Arc::new(RefuseAll);
    (launch(Options { key: &key, config, protocols: &[], validator, metrics }).await, registry)
}

pub(crate) fn counted(registry: &Registry, line: &str) -> bool {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text.lines().any(|found| found == line)
}

#[tokio::test]
async fn callers_share_one_dial() {
    let far = start(2, Config::loopback()).await;
    let (near, registry) = dialer(1, Config::default()).await;
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let opening = (0..10).map(|_| near.open(far.local_peer(), ECHO, SOON));
    let streams = futures::future::try_join_all(opening).await.unwrap();
    assert_eq!(streams.len(), 10);
    assert!(counted(&registry, r#"cosmic_net_dials_total{outcome="Connected"} 1"#));
    assert!(counted(&registry, r#"cosmic_net_streams_total{outcome="Opened"} 10"#));
    assert!(counted(&registry, "cosmic_net_connections 1"));
}

#[tokio::test]
async fn the_preferred_transport_is_dialed_first() {
    for prefer in [Transport::Quic, Transport::Tcp] {
        let far = start(2, Config::loopback()).await;
        let near = start(1, Config { prefer, ..Config::default() }).await;
        let mut events = near.events();
        near.connect(far.local_peer(), &far.listening(), SOON).await.unwrap();
        let Event::Connected { address, .. } = next(&mut events).await else { panic!("connected first") };
        assert_eq!(Transport::of(&address), Some(prefer));
    }
}

#[tokio::test]
async fn tcp_serves_where_quic_does_not_answer() {
    let far = start(2, Config::loopback()).await;
    // A UDP socket that answers nothing, as behind a firewall: only the head start is lost.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = format!("/ip4/127.0.0.1/udp/{}/quic-v1", silent.local_addr().unwrap().port());
    let mut addresses = only(&far.listening(), Transport::Tcp);
    addresses.push(silent.parse().unwrap());
    let near = start(1, Config::default()).await;
    let mut events = near.events();
    near.connect(far.local_peer(), &addresses, SOON).await.unwrap();
    let Event::Connected { address, .. } = next(&mut events).await else { panic!("connected first") };
    assert_eq!(Transport::of(&address), Some(Transport::Tcp));
}

#[tokio::test]
async fn a_peer_whose_port_is_refused_is_not_waited_for() {
    let dead = SecretKey::from_seed(&[2; 32]).peer_id();
    // Nobody listens at a port that was just given back; the UDP socket answers nothing, as a dead QUIC port does.
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = [
        format!("/ip4/127.0.0.1/tcp/{refused}"),
        format!("/ip4/127.0.0.1/udp/{}/quic-v1", silent.local_addr().unwrap().port()),
    ]
    .map(|address| address.parse().unwrap());
    for prefer in [Transport::Quic, Transport::Tcp] {
        let near = start(1, Config { prefer, ..Config::default() }).await;
        // QUIC alone would take five seconds.
        let patience = std::time::Duration::from_secs(4);
        for _ in 0..2 {
            let error = near.connect(dead, &addresses, patience).await.unwrap_err();
            assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn one_connection_is_left_when_both_dial() {
    let (near, far) = (start(1, Config::loopback()).await, start(2, Config::loopback()).await);
    let (near_addresses, far_addresses) = (near.listening(), far.listening());
    let (there, back) = tokio::join!(
        near.connect(far.local_peer(), &far_addresses, SOON),
        far.connect(near.local_peer(), &near_addresses, SOON),
    );
    there.unwrap();
    back.unwrap();
    let mut incoming = far.accept(ECHO).unwrap();
    for _ in 0..3 {
        let mut here = near.open(far.local_peer(), ECHO, SOON).await.unwrap();
        here.send(b"still here").await.unwrap();
        here.flush().await.unwrap();
        let mut there = incoming.next().await.unwrap();
        assert_eq!(there.recv(64).await.unwrap().unwrap(), b"still here");
    }
    assert_eq!(near.connected().await.unwrap(), [far.local_peer()]);
}

#[tokio::test]
async fn the_lower_peer_closes_a_surplus_connection() {
    let (one, registry) = dialer(1, Config::loopback()).await;
    let other = start(2, Config { prefer: Transport::Tcp, ..Config::loopback() }).await;
    let (lower, higher) = if one.local_peer() < other.local_peer() { (&one, &other) } else { (&other, &one) };
    let (lower_addresses, higher_addresses) = (lower.listening(), higher.listening());
    let quic = only(&higher_addresses, Transport::Quic);
    let tcp = only(&lower_addresses, Transport::Tcp);
    let (there, back) = tokio::join!(
        lower.connect(higher.local_peer(), &quic, SOON),
        higher.connect(lower.local_peer(), &tcp, SOON),
    );
    there.unwrap();
    back.unwrap();
    let mut poll = tokio::time::interval(std::time::Duration::from_millis(10));
    let one_left = async {
        while !counted(&registry, "cosmic_net_connections 1") {
            poll.tick().await;
        }
    };
    tokio::time::timeout(SOON, one_left).await.unwrap();
    assert_eq!(one.connected().await.unwrap(), [other.local_peer()]);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_opened_again() {
    let far = start(2, Config::loopback()).await;
    let near = start(1, Config { idle_timeout_secs: 1, ..Config::default() }).await;
    let mut events = near.events();
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    drop(near.open(far.local_peer(), ECHO, SOON).await.unwrap());
    assert_eq!(disconnected(&mut events).await, far.local_peer());
    near.open(far.local_peer(), ECHO, SOON).await.unwrap();
}

#[tokio::test]
async fn somebody_else_at_the_address_is_unreachable() {
    let (far, other) = (start(2, Config::loopback()).await, start(3, Config::loopback()).await);
    let near = start(1, Config::default()).await;
    let result = near.connect(far.local_peer(), &other.listening(), SOON).await;
    assert!(matches!(result, Err(Error::Unreachable { .. })), "{result:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable_and_a_deadline_ends_waiting() {
    let far = SecretKey::from_seed(&[2; 32]).peer_id();
    let near = start(1, Config::default()).await;
    // Bound but not listening: connecting is refused at once.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address: Address = format!("/ip4/127.0.0.1/tcp/{closed}").parse().unwrap();
    let result = near.connect(far, std::slice::from_ref(&address), SOON).await;
    assert!(matches!(result, Err(Error::Unreachable { .. })), "{result:?}");
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = format!("/ip4/127.0.0.1/udp/{}/quic-v1", silent.local_addr().unwrap().port());
    let brief = std::time::Duration::from_millis(50);
    let other = SecretKey::from_seed(&[3; 32]).peer_id();
    let result = near.connect(other, &[silent.parse().unwrap()], brief).await;
    assert!(matches!(result, Err(Error::Deadline { .. })), "{result:?}");
}

#[tokio::test]
async fn a_taken_port_is_told_at_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let config = Config { listen: vec![address.parse().unwrap()], ..Config::default() };
    let key = SecretKey::from_seed(&[1; 32]);
    let validator = Arc::new(RefuseAll);
    let result = bind(Options { key: &key, config, protocols: &[], validator, metrics: Metrics::default() });
    assert!(matches!(result.await, Err(Error::Listen { .. })));
}

#[tokio::test]
async fn connections_over_the_ceiling_are_refused() {
    let config = Config { connections_in_max: 1, ..Config::loopback() };
    let far = start(2, config).await;
    let first = start(1, Config::default()).await;
    first.connect(far.local_peer(), &far.listening(), SOON).await.unwrap();
    let mut events = far.events();
    let second = start(3, Config::default()).await;
    // The handshake succeeds on the dialer's side before the refusal arrives, so ask the other side.
    let opened = second.add_addresses(far.local_peer(), &far.listening()).await;
    opened.unwrap();
    assert!(second.open(far.local_peer(), ECHO, SOON).await.is_err());
    assert_eq!(far.connected().await.unwrap(), [first.local_peer()]);
    first.disconnect(far.local_peer()).await.unwrap();
    assert_eq!(disconnected(&mut events).await, first.local_peer());
    second.open(far.local_peer(), ECHO, SOON).await.unwrap();
}

#[tokio::test]
async fn shutting_down_tells_the_peers_and_ends_the_handle() {
    let key = SecretKey::from_seed(&[2; 32]);
    let validator = Arc::new(RefuseAll);
    let options = Options {
        key: &key,
        config: Config::loopback(),
        protocols: &[ECHO],
        validator,
        metrics: Metrics::default(),
    };
    let (far, actor) = bind(options).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let near = start(1, Config::default()).await;
    let (mut near_events, mut far_events) = (near.events(), far.events());
    let mut incoming = far.accept(ECHO).unwrap();
    let life = async {
        near.connect(far.local_peer(), &far.listening(), SOON).await.unwrap();
        connected(&mut near_events).await;
        stop.send(()).unwrap();
        disconnected(&mut near_events).await;
    };
    let shutdown = async { stopped.await.unwrap() };
    tokio::join!(life, actor.run(shutdown));
    assert!(matches!(far.connected().await, Err(Error::Stopped)));
    while far_events.next().await.is_some() {}
    assert!(incoming.next().await.is_none());
    assert_eq!(far.events().next().await, None);
}

#[tokio::test]
async fn a_served_address_is_told_to_those_who_connect() {
    let config = Config { directory_server: true, ..Config::loopback() };
    let far = start(2, config).await;
    let near = start(1, Config::default()).await;
    let mut events = near.events();
    near.connect(far.local_peer(), &only(&far.listening(), Transport::Tcp), SOON).await.unwrap();
    loop {
        if let Event::AddressesTold { peer, addresses } = next(&mut events).await {
            assert_eq!(peer, far.local_peer());
            let mut told = addresses.clone();
            told.sort();
            let mut listening = far.listening();
            listening.sort();
            assert_eq!(told, listening);
            break;
        }
    }
}
