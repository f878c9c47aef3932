//! The network at its own door: who counts, what is exchanged, where things belong.

mod atlas;
mod formats;
mod gateways;
mod listings;
mod people;
mod tables;
mod trust;

use std::collections::BTreeSet;

use cosmic_common::id::{NetworkId, PeerId};
use cosmic_identity::{key::SecretKey, signed::Signed};

use crate::{
    Admission, Consent, Endpoint, Label, Member, Members, NetworkConfig, Presence, Site, State, Vouches,
};

fn key(kind: u8, number: u16) -> SecretKey {
    let mut seed = [kind; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(&seed)
}

fn network_key() -> SecretKey {
    key(1, 0)
}

fn network() -> NetworkId {
    config(&[]).network()
}

fn operator(number: u16) -> SecretKey {
    key(2, number)
}

fn supernode(number: u16) -> SecretKey {
    key(3, number)
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn config(operators: &[u16]) -> NetworkConfig {
    let operators: BTreeSet<_> = operators.iter().map(|number| operator(*number).operator_id()).collect();
    NetworkConfig { operators, partition_bits: 6, ..NetworkConfig::new(&network_key()) }
}

fn open_config() -> NetworkConfig {
    NetworkConfig { admission: Admission::Open, ..config(&[]) }
}

/// The same operators as roots.
fn vouched_config(roots: &[u16]) -> NetworkConfig {
    NetworkConfig { admission: Admission::Vouched, ..config(roots) }
}

/// Operator `of` vouches for these, in its list number `sequence`.
fn vouches(of: u16, sequence: u64, operators: &[u16]) -> Signed<Vouches> {
    let operators = operators.iter().map(|number| operator(*number).operator_id()).collect();
    let list = Vouches { network: network(), operator: operator(of).operator_id(), sequence, operators };
    Signed::sign(list, &operator(of))
}

fn members(config: NetworkConfig) -> Members {
    Members::new(Signed::sign(config, &network_key()), network()).unwrap()
}

/// The first record of supernode `number`, run by operator `of`.
fn member(number: u16, of: u16) -> Member {
    let operator = operator(of).operator_id();
    Member {
        network: network(),
        operator,
        peer: supernode(number).peer_id(),
        consent: Consent::give(&supernode(number), network(), operator, 1),
        sequence: 1,
        state: State::Active,
        weight: 1,
        zone: label(&format!("zone-{}", number % 3)),
        region: label("here"),
        addresses: vec![format!("/ip4/192.0.2.{}/udp/7410/quic-v1", number % 256).parse().unwrap()],
        incarnation: None,
    }
}

fn signed(member: Member, of: u16) -> Signed<Member> {
    Signed::sign(member, &operator(of))
}

/// What supernode `number` says about where it is.
fn endpoint(number: u16, sequence: u64) -> Signed<Endpoint> {
    let addresses = vec![format!("/ip4/198.51.100.{number}/tcp/{}", 7000 + sequence).parse().unwrap()];
    let endpoint = Endpoint { network: network(), peer: supernode(number).peer_id(), sequence, addresses };
    Signed::sign(endpoint, &supernode(number))
}

/// Supernode `number` says at `said_ms` that it is there.
fn presence(number: u16, said_ms: u64) -> Signed<Presence> {
    let addresses = vec![format!("/ip4/198.51.100.{number}/tcp/7410").parse().unwrap()];
    let presence = Presence { network: network(), peer: supernode(number).peer_id(), said_ms, addresses };
    Signed::sign(presence, &supernode(number))
}

/// A site whose peer id looks like a key: the hash of its number.
fn site(number: u32, zone: u32, operator: u32, weight: u16) -> Site {
    let id = |kind: u8, number: u32| {
        *blake3::hash(&[&[kind], number.to_be_bytes().as_slice()].concat()).as_bytes()
    };
    Site {
        peer: PeerId::from_bytes(id(0, number)),
        operator: cosmic_common::id::OperatorId::from_bytes(id(1, operator)),
        zone: label(&format!("zone-{zone}")),
        weight,
    }
}
