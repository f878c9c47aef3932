//! Network configurations, member records, endpoints, vouches, and exchanges with a peer that sends anything.

use std::collections::BTreeSet;

use cosmic_common::{
    id::{NetworkId, PeerId, SpaceId},
    record::Record,
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_ring::{
    Admission, Atlas, Consent, Door, Endpoint, Exchange, GatewayReport, Label, Listing, Member, Members,
    NetworkAnswer, NetworkConfig, NetworkKey, NetworkRequest, Presence, Regions, RingMessage, Vouches,
    endpoint::verify_endpoint,
    listing::{Judge, LISTED_MAX, places},
    member::verify_member,
    remembered::Remembered,
    vouches::verify_vouches,
};

use crate::{
    Room,
    check::{self, Script},
    decoder, sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "ring",
    decoders: &[
        decoder("network-config", check::signed::<NetworkConfig>),
        decoder("member", check::signed::<Member>),
        decoder("endpoint", check::signed::<Endpoint>),
        decoder("vouches", check::signed::<Vouches>),
        decoder("presence", check::signed::<Presence>),
        decoder("listing", check::only_record::<Listing>),
        sampled(|| vec![listing()], listed),
        decoder("directory-file", check::only_record::<Remembered>),
        decoder("gateway-report", check::only_record::<GatewayReport>),
        decoder("network-request", check::only_record::<NetworkRequest>),
        decoder("network-answer", network_answer),
        decoder("ring-message", check::only_record::<RingMessage>),
        sampled(|| vec![b"zone-1".to_vec()], check::text::<Label>),
        sampled(exchange_samples, exchange),
    ],
};

/// The time at which listings are judged.
const NOW_MS: u64 = 1_790_000_000_000;

/// A listing of one supernode of the ring.
fn listing() -> Vec<u8> {
    let addresses = vec!["/ip4/192.0.2.1/udp/4001/quic-v1".parse().expect("an address")];
    let presence = Presence { network: network(), peer: key(4).peer_id(), said_ms: NOW_MS, addresses };
    Listing { presences: vec![Signed::sign(presence, &key(4)).to_bytes().into()] }.to_bytes()
}

/// Whatever comes, what is kept of it counts by itself, and once more changes nothing.
fn listed(bytes: &[u8]) {
    let members = members();
    for members in [None, Some(&members)] {
        let judge = Judge { network: network(), now_ms: NOW_MS, members };
        for place in places(network(), None) {
            let Some(kept) = judge.judge(&place, Some(&listing()), bytes) else { continue };
            assert_eq!(judge.judge(&place, None, &kept).as_ref(), Some(&kept));
            assert_eq!(judge.judge(&place, Some(&kept), bytes).as_ref(), Some(&kept));
            assert!((1..=LISTED_MAX).contains(&judge.present(&place, &kept).len()));
        }
    }
}

/// What an answer makes known is valid in the network that was asked for.
fn network_answer(bytes: &[u8]) {
    let Some(answer) = check::record::<NetworkAnswer>(bytes) else { return };
    let NetworkAnswer::Network { config, .. } = &answer else { return };
    let Ok(config) = Signed::<NetworkConfig>::from_bytes(config) else { return };
    let network = config.unverified().network();
    if let Ok(members) = answer.open(network) {
        check_members(&members, network);
    }
}

fn check_members(members: &Members, network: NetworkId) {
    assert!(members.config().check().is_ok());
    assert!(members.records().all(|record| verify_member(record, network).is_ok()));
    assert!(members.endpoints().all(|endpoint| verify_endpoint(endpoint, network).is_ok()));
    assert!(members.vouches().all(|vouches| verify_vouches(vouches, network).is_ok()));
    assert!(members.records().all(|record| members.admits(&record.unverified().operator)));
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

fn network() -> NetworkId {
    NetworkKey::from_bytes(key(0).public()).network()
}

/// A ring of two members with one bootstrap node.
fn members() -> Members {
    let operators = BTreeSet::from([key(1).operator_id(), key(2).operator_id()]);
    let address = "/ip4/192.0.2.1/udp/4001/quic-v1".parse().expect("an address");
    let doors = vec![Door { peer: key(9).peer_id(), addresses: vec![address] }];
    let config =
        NetworkConfig { admission: Admission::AllowList, operators, doors, ..NetworkConfig::new(&key(0)) };
    let mut members =
        Members::new(Signed::sign(config, &key(0)), network()).expect("the configuration is valid");
    for number in 1..3 {
        members.insert(member(&mut Script(&[number, 3 + number, 1, 1, 0, 4]))).expect("the record is valid");
    }
    members
}

/// A record that an operator of the network signs, valid or not.
fn member(script: &mut Script<'_>) -> Signed<Member> {
    let operator = script.byte() % 4;
    let peer = key(script.byte() % 8);
    let label = |text: &str| text.parse::<Label>().expect("a label");
    let record = Member {
        network: network(),
        operator: key(operator).operator_id(),
        peer: peer.peer_id(),
        consent: Consent::give(&peer, network(), key(operator).operator_id(), u64::from(script.byte())),
        sequence: script.place(),
        state: cosmic_ring::State::Active,
        weight: script.number() as u16,
        zone: label("zone"),
        region: label("region"),
        addresses: Vec::new(),
        incarnation: None,
    };
    Signed::sign(record, &key(operator))
}

fn endpoint(script: &mut Script<'_>) -> Signed<Endpoint> {
    let peer = key(script.byte() % 10);
    let record = Endpoint {
        network: network(),
        peer: peer.peer_id(),
        sequence: script.place(),
        addresses: Vec::new(),
    };
    Signed::sign(record, &peer)
}

/// Whom an operator vouches for, who counts or not.
fn vouches(script: &mut Script<'_>) -> Signed<Vouches> {
    let operator = key(script.byte() % 4);
    let operators = (0..script.byte() % 20).map(|_| key(script.byte() % 6).operator_id()).collect();
    let list =
        Vouches { network: network(), operator: operator.operator_id(), sequence: script.place(), operators };
    Signed::sign(list, &operator)
}

fn config(script: &mut Script<'_>) -> Signed<NetworkConfig> {
    let operators: BTreeSet<_> =
        (0..4).filter(|_| script.byte() % 2 == 0).map(|n| key(n).operator_id()).collect();
    let config = NetworkConfig {
        version: script.place(),
        admission: if script.byte() % 2 == 0 { Admission::Vouched } else { Admission::AllowList },
        operators,
        partition_bits: script.byte(),
        ..NetworkConfig::new(&key(0))
    };
    Signed::sign(config, &key(0))
}

fn exchange_samples() -> Vec<Vec<u8>> {
    vec![vec![0, 1, 2, 3, 1, 1, 0, 3, 4, 2, 2, 9, 5], vec![6, 1, 0, 0, 0, 0, 9, 8, 2, 0, 3, 1, 5, 5, 0, 0]]
}

/// An exchange with a hostile peer that has keys of operators: whatever is taken in is valid, and a table follows.
fn exchange(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut members = members();
    let (mut exchange, said) = Exchange::open(&members);
    while !script.is_over() {
        let message = message(&mut script, &members, &said);
        let Ok(step) = exchange.handle(&mut members, message) else { break };
        step.send.iter().for_each(|message| check::only_record::<RingMessage>(&message.to_bytes()));
        if step.outcome.is_some() {
            break;
        }
    }
    check_members(&members, network());
    // The finest partitions take a tenth of a second, in which other inputs find more.
    if members.config().partition_bits <= 8 {
        let space = SpaceId::from_bytes([0; 32]);
        drop(Atlas::build(&members).ring(&space, &Regions::ALL));
    }
}

fn message(script: &mut Script<'_>, members: &Members, said: &RingMessage) -> RingMessage {
    match script.byte() % 9 {
        0 => said.clone(),
        1 => RingMessage::Inventory(members.inventory(), members.editions(), members.vouches_editions()),
        2 => {
            let versions = [(PeerId::from_bytes([1; 32]), first_version(members))].into();
            RingMessage::Inventory(versions, [].into(), [].into())
        }
        3 => RingMessage::Records((0..script.byte() % 4).map(|_| member(script).to_bytes()).collect()),
        4 => RingMessage::Endpoints((0..script.byte() % 4).map(|_| endpoint(script).to_bytes()).collect()),
        5 => RingMessage::Sent,
        8 => RingMessage::Vouches((0..script.byte() % 4).map(|_| vouches(script).to_bytes()).collect()),
        6 => match said {
            RingMessage::Summary(summary) => {
                RingMessage::Summary(cosmic_ring::Summary { version: script.place(), ..*summary })
            }
            other => other.clone(),
        },
        _ => match script.byte() % 2 {
            0 => RingMessage::Config(config(script).to_bytes()),
            _ => RingMessage::from_bytes(script.piece()).unwrap_or(RingMessage::Sent),
        },
    }
}

fn first_version(members: &Members) -> cosmic_ring::Version {
    // A configuration that came may have put everybody out.
    let nothing =
        cosmic_ring::Version { term: 0, sequence: 0, hash: cosmic_common::id::Hash::from_bytes([0; 32]) };
    members.inventory().into_values().next().unwrap_or(nothing)
}
