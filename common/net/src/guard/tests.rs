//! The guard over sockets of loopback, whose addresses stand for those of the internet.

use std::{sync::Arc, time::Duration};

use cosmic_common::address::Address;
use cosmic_identity::key::SecretKey;
use prometheus_client::registry::Registry;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{Config, Limits, Offence, Standing};
use crate::{
    Config as NetConfig, Error, Handle, Metrics, Options, RefuseAll, Transport,
    tests::{BULK_ECHO, ECHO, SOON, launch},
};

/// Loopback is held to what the internet is, or to less.
fn strict(nearby: Limits) -> NetConfig {
    NetConfig { guard: Config { nearby, ..Config::default() }, ..NetConfig::loopback() }
}

async fn served(seed: u8, config: NetConfig) -> (Handle, Registry) {
    let (key, validator, metrics) =
        (SecretKey::from_seed(&[seed; 32]), Arc::new(RefuseAll), Metrics::default());
    let mut registry = Registry::with_prefix("cosmic_net");
    metrics.register(&mut registry);
    (launch(Options { key: &key, config, protocols: &[ECHO, BULK_ECHO], validator, metrics }).await, registry)
}

async fn dialer(seed: u8, transport: Option<Transport>, to: &Handle) -> Handle {
    let (near, _registry) = served(seed, NetConfig::default()).await;
    let usable = |address: &&Address| transport.is_none_or(|wanted| Transport::of(address) == Some(wanted));
    let addresses: Vec<Address> = to.listening().iter().filter(usable).cloned().collect();
    near.add_addresses(to.local_peer(), &addresses).await.unwrap();
    near
}

fn value(registry: &Registry, name: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(of).unwrap_or_else(|| panic!("{name} is not told"))
}

/// Waits until a metric stands at `least` or above.
async fn reaches(registry: &Registry, name: &str, least: u64) {
    let mut poll = tokio::time::interval(Duration::from_millis(10));
    let seen = async {
        while value(registry, name) < least {
            poll.tick().await;
        }
    };
    tokio::time::timeout(SOON, seen).await.unwrap_or_else(|_| panic!("{name} does not reach {least}"));
}

fn refused(reason: &str) -> String {
    format!("cosmic_net_refused_total{{reason=\"{reason}\"}}")
}

fn offences(kind: &str) -> String {
    format!("cosmic_net_offences_total{{kind=\"{kind}\"}}")
}

#[tokio::test]
async fn an_address_gets_its_connections_and_no_more_over_both_transports() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let config = strict(Limits { connections_per_address: 2, ..Limits::NEARBY });
        let (far, registry) = served(1, config).await;
        let mut near = Vec::new();
        for seed in 2..4 {
            near.push(dialer(seed, Some(transport), &far).await);
            drop(near.last().unwrap().open(far.local_peer(), ECHO, SOON).await.unwrap());
        }
        let third = dialer(4, Some(transport), &far).await;
        assert!(third.open(far.local_peer(), ECHO, SOON).await.is_err());
        reaches(&registry, &refused("Address"), 1).await;
        // Who goes makes room.
        near[0].disconnect(far.local_peer()).await.unwrap();
        let mut poll = tokio::time::interval(Duration::from_millis(10));
        while value(&registry, "cosmic_net_connections") > 1 {
            poll.tick().await;
        }
        third.open(far.local_peer(), ECHO, SOON).await.unwrap();
    }
}

#[tokio::test]
async fn garbage_at_the_port_gets_the_address_kept_out_before_any_handshake() {
    let (far, registry) = served(1, strict(Limits { ban_score: 4, ..Limits::NEARBY })).await;
    let honest = dialer(2, Some(Transport::Tcp), &far).await;
    let mut stream = honest.open(far.local_peer(), ECHO, SOON).await.unwrap();
    let vouch = far.vouch(honest.local_peer());
    let tcp =
        far.listening().into_iter().find(|address| Transport::of(address) == Some(Transport::Tcp)).unwrap();
    let port: u16 = tcp.as_str().rsplit('/').next().unwrap().parse().unwrap();
    for count in 1..=5 {
        let mut garbage = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // Whoever is refused meanwhile cannot write.
        drop(garbage.write_all(&[0xff; 4096]).await);
        drop(garbage.shutdown().await);
        reaches(&registry, &offences("Handshake"), count).await;
    }
    reaches(&registry, "cosmic_net_bans_total", 1).await;
    let late = dialer(3, Some(Transport::Tcp), &far).await;
    assert!(late.open(far.local_peer(), ECHO, SOON).await.is_err());
    reaches(&registry, &refused("Banned"), 1).await;
    let late = dialer(4, Some(Transport::Quic), &far).await;
    assert!(late.open(far.local_peer(), ECHO, Duration::from_secs(2)).await.is_err());
    // A member that was there before goes on.
    let mut incoming = far.accept(ECHO).unwrap();
    stream.send(b"still here").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(incoming.next().await.unwrap().recv(64).await.unwrap().unwrap(), b"still here");
    drop(vouch);
    // And the operator may let the address in again.
    let bans = far.watch().bans;
    assert_eq!(bans.iter().map(|ban| ban.who.as_str()).collect::<Vec<_>>(), ["127.0.0.1/32"]);
    assert!(far.pardon("127.0.0.1/32"));
    assert!(!far.pardon("127.0.0.1/32"));
    dialer(5, Some(Transport::Tcp), &far).await.open(far.local_peer(), ECHO, SOON).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_lies_twice_is_cut_off_and_others_are_not() {
    let (far, registry) = served(1, NetConfig::loopback()).await;
    let (liar, other) = (dialer(2, None, &far).await, dialer(3, None, &far).await);
    for near in [&liar, &other] {
        drop(near.open(far.local_peer(), ECHO, SOON).await.unwrap());
    }
    let mut events = liar.events();
    for _ in 0..2 {
        far.offence(liar.local_peer(), Offence::BadSignature);
    }
    crate::tests::disconnected(&mut events).await;
    reaches(&registry, "cosmic_net_bans_total", 1).await;
    assert!(liar.open(far.local_peer(), ECHO, SOON).await.is_err());
    other.open(far.local_peer(), ECHO, SOON).await.unwrap();
    assert!(far.pardon(&liar.local_peer().to_string()));
    liar.open(far.local_peer(), ECHO, SOON).await.unwrap();
}

#[tokio::test]
async fn frames_that_are_too_long_are_offences_and_the_rings_operators_answer_for_theirs() {
    let (far, registry) = served(1, NetConfig::loopback()).await;
    let near = dialer(2, None, &far).await;
    let mut incoming = far.accept(ECHO).unwrap();
    for count in 1..=4 {
        if count == 4 {
            far.set_ring([near.local_peer()].into());
            assert_eq!(far.standing(&near.local_peer()), Standing::Ring);
        }
        let mut stream = near.open(far.local_peer(), ECHO, SOON).await.unwrap();
        stream.send(&[0; 100]).await.unwrap();
        stream.flush().await.unwrap();
        let received = incoming.next().await.unwrap().recv(10).await;
        assert!(matches!(received, Err(Error::FrameTooLong { length: 100, limit: 10 })));
        reaches(&registry, &offences("OversizedFrame"), count).await;
    }
    assert_eq!(far.watch().bans, []);
    far.set_ring([].into());
    far.offence(near.local_peer(), Offence::OversizedFrame);
    reaches(&registry, "cosmic_net_bans_total", 1).await;
}

#[tokio::test]
async fn a_stranger_that_spent_its_purse_is_refused_streams_and_a_member_is_not() {
    // Ten seconds' worth is one stream, and the next would be paid in ten seconds more.
    let guard = Config { stranger_us_per_sec: 10, ..Config::default() };
    let (far, registry) = served(1, NetConfig { guard, ..NetConfig::loopback() }).await;
    let near = dialer(2, None, &far).await;
    let mut incoming = far.accept(ECHO).unwrap();
    drop(near.open(far.local_peer(), ECHO, SOON).await.unwrap());
    incoming.next().await.unwrap();
    drop(near.open(far.local_peer(), ECHO, SOON).await.unwrap());
    reaches(&registry, &refused("Budget"), 1).await;
    let vouch = far.vouch(near.local_peer());
    assert_eq!(far.standing(&near.local_peer()), Standing::Member);
    drop(near.open(far.local_peer(), ECHO, SOON).await.unwrap());
    incoming.next().await.unwrap();
    drop(vouch);
}

#[tokio::test]
async fn what_a_stranger_sends_beyond_its_purse_is_read_as_slowly_as_it_may() {
    // A megabyte a second, ten of them at once.
    let guard = Config { stranger_us_per_sec: 1000, ..Config::default() };
    let (far, registry) = served(1, NetConfig { guard, ..NetConfig::loopback() }).await;
    let near = dialer(2, None, &far).await;
    let mut incoming = far.accept(ECHO).unwrap();
    let mut here = near.open(far.local_peer(), ECHO, SOON).await.unwrap();
    let mut there = incoming.next().await.unwrap();
    let sending = async {
        for _ in 0..44 {
            here.send(&[7; 250_000]).await.unwrap();
            here.flush().await.unwrap();
        }
    };
    let receiving = async {
        for _ in 0..44 {
            assert_eq!(there.recv(250_000).await.unwrap().unwrap().len(), 250_000);
        }
    };
    tokio::join!(sending, receiving);
    assert!(value(&registry, "cosmic_net_throttled_total") > 0, "eleven megabytes are more than ten");
}

#[tokio::test]
async fn the_bulk_plane_does_not_answer_an_address_that_is_kept_out() {
    let (far, registry) = served(1, strict(Limits { ban_score: 50, ..Limits::NEARBY })).await;
    let near = dialer(2, None, &far).await;
    drop(near.open(far.local_peer(), ECHO, SOON).await.unwrap());
    // The swarm's connection of the member stays, the address is kept out.
    let vouch = far.vouch(near.local_peer());
    far.offence(near.local_peer(), Offence::WrongBytes);
    reaches(&registry, "cosmic_net_bans_total", 1).await;
    // Half of the time goes by before the swarm carries it instead.
    let stream = near.open(far.local_peer(), BULK_ECHO, Duration::from_secs(6)).await.unwrap();
    assert_eq!(value(&registry, "cosmic_net_bulk_connections"), 0);
    drop((stream, vouch));
}

#[tokio::test]
async fn a_pressed_process_refuses_strangers_and_keeps_members() {
    let config = NetConfig { connections_in_max: 10, ..NetConfig::loopback() };
    let (far, registry) = served(1, config).await;
    let mut near = Vec::new();
    let mut vouches = Vec::new();
    for seed in 2..11 {
        let one = dialer(seed, Some(Transport::Tcp), &far).await;
        drop(one.open(far.local_peer(), ECHO, SOON).await.unwrap());
        vouches.push(far.vouch(one.local_peer()));
        near.push(one);
    }
    reaches(&registry, "cosmic_net_pressure", 2).await;
    let stranger = dialer(20, Some(Transport::Tcp), &far).await;
    assert!(stranger.open(far.local_peer(), ECHO, SOON).await.is_err());
    reaches(&registry, &refused("Overload"), 1).await;
    let known = dialer(21, Some(Transport::Tcp), &far).await;
    vouches.push(far.vouch(known.local_peer()));
    known.open(far.local_peer(), ECHO, SOON).await.unwrap();
}
