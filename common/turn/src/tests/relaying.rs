//! Allocations from end to end, and everything that is refused.

use std::time::Duration;

use cosmic_common::time::Timestamp;

use super::client::{Asker, START, at, credential, issuer, relay, rules};
use crate::{
    Credential, Input, Limits, Output, Relay, Rules,
    attribute::{
        CHANNEL_NUMBER, DATA, EVEN_PORT, NONCE, REALM, REQUESTED_TRANSPORT, XOR_MAPPED_ADDRESS,
        XOR_PEER_ADDRESS, method,
    },
    frame::channel_data,
    message::{Class, Message, Writer},
};

/// A peer of the public internet.
const PEER: &str = "1.2.3.4:5000";

fn later(secs: u64) -> Timestamp {
    START.after(Duration::from_secs(secs))
}

/// What a client is told: who sent, and what.
fn told(output: &Output) -> (std::net::SocketAddr, Vec<u8>) {
    let Output::Client { bytes, .. } = output else { panic!("{output:?} is not for a client") };
    let message = Message::decode(bytes).unwrap();
    assert_eq!((message.class, message.method), (Class::Indication, method::DATA));
    let peer = crate::address::decode(message.get(XOR_PEER_ADDRESS).unwrap(), message.transaction).unwrap();
    (peer, message.get(DATA).unwrap().to_vec())
}

#[test]
fn everybody_learns_his_own_address() {
    let mut asker = Asker::new("198.51.100.1:4000", credential(1, 60));
    let bytes = Writer::new(Class::Request, method::BINDING, asker.transaction()).finish(None);
    let answer = asker.say(&mut relay(), &bytes);
    let message = answer.message();
    let mapped = crate::address::decode(message.get(XOR_MAPPED_ADDRESS).unwrap(), message.transaction);
    assert_eq!(mapped, Some(at("198.51.100.1:4000")));
    assert!(
        answer.bytes.len() < 3 * bytes.len(),
        "an answer that is much longer than the question serves attackers"
    );
}

#[test]
fn data_go_to_a_permitted_peer_and_come_back() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    let relayed = asker.relayed(&mut relay);
    assert_eq!(relayed.ip(), rules().external);
    assert!(rules().ports.contains(&relayed.port()));
    assert_eq!(asker.send(&mut relay, PEER, b"too soon"), []);
    assert_eq!(asker.permit(&mut relay, PEER).error(), None);
    let sent = asker.send(&mut relay, PEER, b"there");
    assert_eq!(sent, [Output::Peer { port: relayed.port(), peer: at(PEER), bytes: b"there".to_vec() }]);
    let back = |relay: &mut Relay, peer: &str, now| {
        relay.handle(Input::Peer { port: relayed.port(), peer: at(peer), bytes: b"back" }, now)
    };
    // The permission is for the address, whatever the port.
    assert_eq!(told(&back(&mut relay, "1.2.3.4:6000", START)[0]), (at("1.2.3.4:6000"), b"back".to_vec()));
    assert_eq!(back(&mut relay, "1.2.3.5:5000", START), []);
    assert_eq!(back(&mut relay, PEER, later(301)), [], "a permission ends after five minutes");
    assert_eq!(relay.counts().relayed_bytes, 9);
}

#[test]
fn a_channel_carries_data_both_ways() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    let port = asker.relayed(&mut relay).port();
    assert_eq!(asker.bind(&mut relay, 0x4000, PEER).error(), None);
    let data = channel_data(0x4000, b"there", false);
    let sent = relay.handle(Input::Client { client: asker.client, bytes: &data }, START);
    assert_eq!(sent, [Output::Peer { port, peer: at(PEER), bytes: b"there".to_vec() }]);
    let back = relay.handle(Input::Peer { port, peer: at(PEER), bytes: b"back" }, START);
    let bytes = channel_data(0x4000, b"back", false);
    assert_eq!(back, [Output::Client { client: asker.client, bytes }]);
    // One number, one peer.
    assert_eq!(asker.bind(&mut relay, 0x4000, "1.2.3.4:5001").error(), Some(400));
    assert_eq!(asker.bind(&mut relay, 0x4001, PEER).error(), Some(400));
    assert_eq!(asker.bind(&mut relay, 0x8000, PEER).error(), Some(400));
    assert_eq!(asker.bind(&mut relay, 0x4000, PEER).error(), None);
    let unbound = channel_data(0x4001, b"there", false);
    assert_eq!(relay.handle(Input::Client { client: asker.client, bytes: &unbound }, START), []);
}

#[test]
fn two_clients_of_one_relay_meet_in_it() {
    let mut relay = relay();
    let mut ann = Asker::new("198.51.100.1:4000", credential(1, 3600));
    let mut ben = Asker::new("192.0.2.1:4000", credential(2, 3600));
    let (at_ann, at_ben) = (ann.relayed(&mut relay).to_string(), ben.relayed(&mut relay).to_string());
    assert_ne!(at_ann, at_ben);
    assert_eq!(ann.permit(&mut relay, &at_ben).error(), None);
    assert_eq!(ann.send(&mut relay, &at_ben, b"hello"), [], "Ben has not allowed it yet");
    assert_eq!(ben.permit(&mut relay, &at_ann).error(), None);
    assert_eq!(told(&ann.send(&mut relay, &at_ben, b"hello")[0]), (at(&at_ann), b"hello".to_vec()));
    // Whatever else listens at the relay's address is reached by nobody.
    assert_eq!(ann.send(&mut relay, "203.0.113.9:7410", b"hello"), []);
}

#[test]
fn private_peers_are_refused_unless_they_are_named() {
    let (mut asker, mut relay) = (Asker::new("198.51.100.1:4000", credential(1, 3600)), relay());
    asker.relayed(&mut relay);
    for peer in ["10.0.0.1:53", "127.0.0.1:7412", "169.254.169.254:80", "192.168.1.1:53"] {
        assert_eq!(asker.permit(&mut relay, peer).error(), Some(403), "{peer}");
        assert_eq!(asker.bind(&mut relay, 0x4000, peer).error(), Some(403), "{peer}");
        assert_eq!(asker.send(&mut relay, peer, b"hello"), []);
    }
    assert_eq!(asker.permit(&mut relay, "[2606:4700::1111]:53").error(), Some(443));
    assert_eq!(relay.counts().forbidden, 8);
    let mut rules = rules();
    rules.peers = vec!["10.0.0.0/8".parse().unwrap()];
    let mut relay = Relay::new(rules, issuer(), START);
    asker.relayed(&mut relay);
    assert_eq!(asker.permit(&mut relay, "10.0.0.1:53").error(), None);
    assert_eq!(asker.send(&mut relay, "10.0.0.1:53", b"hello").len(), 1);
    assert_eq!(asker.permit(&mut relay, "192.168.1.1:53").error(), Some(403));
}

#[test]
fn only_credentials_of_this_relay_count() {
    let mut relay = relay();
    let bare = Writer::new(Class::Request, method::ALLOCATE, crate::message::Transaction([1; 12]));
    let bare = bare.with(REQUESTED_TRANSPORT, &[17, 0, 0, 0]).finish(None);
    let asker = Asker::new("198.51.100.1:4000", credential(1, 3600));
    let first = asker.say(&mut relay, &bare);
    assert_eq!(first.error(), Some(401));
    assert!(first.message().get(NONCE).is_some() && first.message().text(REALM) == Some("relay"));
    assert_eq!(relay.counts().unauthorized, 0, "everybody begins like that");

    let good = credential(1, 3600);
    let other = Credential { password: credential(2, 3600).password, ..good.clone() };
    let longer = Credential { username: good.username.replace("1700003600", "1800003600"), ..good.clone() };
    let odd = Credential { username: "admin".to_owned(), password: "admin".to_owned() };
    let refused = [other, longer, odd, credential(1, 0)];
    for (number, wrong) in refused.into_iter().enumerate() {
        let mut asker = Asker::new(&format!("198.51.100.1:{}", 4001 + number), wrong);
        assert_eq!(asker.allocate(&mut relay).error(), Some(401));
    }
    assert_eq!((relay.allocations(), relay.counts().unauthorized), (0, 4));
}

#[test]
fn an_allocation_ends_with_its_credential() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 700)));
    let port = asker.relayed(&mut relay).port();
    asker.now = later(500);
    let answer = asker.refresh(&mut relay, 3600);
    assert_eq!((answer.error(), answer.lifetime()), (None, 200));
    assert_eq!(relay.handle(Input::Tick, later(699)), []);
    asker.now = later(700);
    assert_eq!(asker.refresh(&mut relay, 3600).error(), Some(401));
    assert_eq!(relay.handle(Input::Tick, later(700)), [Output::Close(port)]);
    assert_eq!((relay.allocations(), relay.users()), (0, 0));
}

#[test]
fn an_allocation_ends_when_it_is_given_back_or_forgotten() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 7200)));
    let port = asker.relayed(&mut relay).port();
    assert_eq!(asker.refresh(&mut relay, 0).rest, [Output::Close(port)]);
    assert_eq!(asker.refresh(&mut relay, 600).error(), Some(437));
    let port = asker.relayed(&mut relay).port();
    assert_eq!(relay.handle(Input::Tick, later(600)), [Output::Close(port)]);
    let port = asker.relayed(&mut relay).port();
    assert_eq!(relay.handle(Input::Gone(asker.client), START), [Output::Close(port)]);
}

#[test]
fn the_same_request_again_gets_the_same_answer() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    let transport = [(REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
    asker.ask(&mut relay, method::REFRESH, &[]);
    let request = asker.request(method::ALLOCATE, &transport);
    let first = asker.say(&mut relay, &request);
    let again = asker.say(&mut relay, &request);
    assert_eq!((first.error(), &first.bytes), (None, &again.bytes));
    assert_eq!(asker.allocate(&mut relay).error(), Some(437), "another request for a second port");
    assert_eq!(relay.counts().allocated, 1);
}

#[test]
fn nobody_uses_anothers_allocation() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    asker.relayed(&mut relay);
    asker.credential = credential(2, 3600);
    assert_eq!(asker.permit(&mut relay, PEER).error(), Some(441));
    assert_eq!(asker.refresh(&mut relay, 0).error(), Some(441));
}

#[test]
fn a_nonce_is_for_one_client_and_ten_minutes() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    asker.relayed(&mut relay);
    asker.now = later(599);
    let request = asker.request(method::REFRESH, &[]);
    assert_eq!(asker.say(&mut relay, &request).error(), None);
    asker.client.address = at("198.51.100.2:4000");
    assert_eq!(asker.say(&mut relay, &request).error(), Some(438));
    asker.client.address = at("198.51.100.1:4000");
    asker.now = later(601);
    assert_eq!(asker.say(&mut relay, &request).error(), Some(438));
}

#[test]
fn what_is_not_understood_or_not_offered_is_refused() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    let udp = (REQUESTED_TRANSPORT, vec![17, 0, 0, 0]);
    let mut refused =
        |attributes: &[(u16, Vec<u8>)]| asker.ask(&mut relay, method::ALLOCATE, attributes).error();
    assert_eq!(refused(&[]), Some(400));
    assert_eq!(refused(&[(REQUESTED_TRANSPORT, vec![6, 0, 0, 0])]), Some(442));
    assert_eq!(refused(&[udp.clone(), (0x0017, vec![2, 0, 0, 0])]), Some(440));
    // DONT-FRAGMENT, RESERVATION-TOKEN, and an even port with the one after it.
    assert_eq!(refused(&[udp.clone(), (0x001A, vec![])]), Some(420));
    assert_eq!(refused(&[udp.clone(), (0x0022, vec![0; 8])]), Some(420));
    assert_eq!(refused(&[udp.clone(), (EVEN_PORT, vec![0x80])]), Some(508));
    assert_eq!(refused(&[udp, (0x8022, b"an optional one".to_vec())]), None);
    let channel = (CHANNEL_NUMBER, vec![0x40, 0, 0, 0]);
    assert_eq!(asker.ask(&mut relay, method::CHANNEL_BIND, &[channel]).error(), Some(400));
    assert_eq!(asker.ask(&mut relay, method::CREATE_PERMISSION, &[]).error(), Some(400));
}

#[test]
fn who_asks_for_an_even_port_gets_one() {
    let mut relay = Relay::new(
        Rules { limits: Limits { allocations: 30, allocations_per_user: 30, ..rules().limits }, ..rules() },
        issuer(),
        START,
    );
    for number in 1..=30 {
        let mut asker = Asker::new(&format!("198.51.100.1:{number}"), credential(1, 3600));
        let wish = [(REQUESTED_TRANSPORT, vec![17, 0, 0, 0]), (EVEN_PORT, vec![0])];
        let answer = asker.ask(&mut relay, method::ALLOCATE, &wish);
        assert!(answer.relayed().port().is_multiple_of(2));
    }
}

#[test]
fn limits_hold_for_one_and_for_all() {
    let mut relay = relay();
    let mut of = |device: u8, port: u16| {
        Asker::new(&format!("198.51.100.{device}:{port}"), credential(device, 3600))
            .allocate(&mut relay)
            .error()
    };
    assert_eq!([of(1, 1), of(1, 2), of(1, 3)], [None, None, Some(486)]);
    assert_eq!([of(2, 1), of(3, 1), of(4, 1)], [None, None, Some(508)]);
    assert_eq!(relay.counts().exhausted, 2);
}

#[test]
fn bytes_beyond_the_rate_are_dropped() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    asker.relayed(&mut relay);
    asker.permit(&mut relay, PEER);
    let sent = |asker: &mut Asker, relay: &mut Relay| {
        (0..20).filter(|_| !asker.send(relay, PEER, &[0; 1000]).is_empty()).count()
    };
    assert_eq!(sent(&mut asker, &mut relay), 10);
    asker.now = START.after(Duration::from_millis(500));
    assert_eq!(sent(&mut asker, &mut relay), 5);
    assert_eq!((relay.counts().relayed_bytes, relay.counts().dropped_bytes), (15_000, 25_000));
}

#[test]
fn strangers_that_ask_too_often_are_not_answered() {
    let mut relay = relay();
    let bytes =
        Writer::new(Class::Request, method::BINDING, crate::message::Transaction([1; 12])).finish(None);
    let mut answered = |subnet: u8, now| {
        let ask = |host: u8| {
            let client = Asker::new(&format!("198.51.{subnet}.{host}:4000"), credential(1, 60)).client;
            relay.handle(Input::Client { client, bytes: &bytes }, now).len()
        };
        (0..200).map(ask).sum::<usize>()
    };
    assert_eq!(answered(100, START), 100);
    assert_eq!(answered(100, START), 0);
    assert_eq!(answered(101, START), 100);
    assert_eq!(answered(100, later(1)), 100);
    assert_eq!(relay.counts().ignored, 500);
}

#[test]
fn a_port_that_cannot_be_opened_is_tried_elsewhere_and_at_last_refused() {
    let (mut relay, mut asker) = (relay(), Asker::new("198.51.100.1:4000", credential(1, 3600)));
    asker.ask(&mut relay, method::REFRESH, &[]);
    let request = asker.request(method::ALLOCATE, &[(REQUESTED_TRANSPORT, vec![17, 0, 0, 0])]);
    let mut outputs = relay.handle(Input::Client { client: asker.client, bytes: &request }, START);
    let mut tried = Vec::new();
    while let [Output::Open(port)] = outputs.as_slice() {
        tried.push(*port);
        outputs = relay.handle(Input::Unopened(*port), START);
    }
    assert_eq!(tried.len(), 8);
    let [Output::Client { bytes, .. }] = outputs.as_slice() else { panic!("nobody was told") };
    let message = Message::decode(bytes).unwrap();
    assert!(message.is_signed_with(&asker.key()) && message.class == Class::Error);
    assert_eq!((relay.allocations(), relay.users()), (0, 0));
}
