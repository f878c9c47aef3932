//! Summaries at their own door: sketches, numbers of liars, who merges, what is believed, and bytes.

mod believing;
mod formats;
mod sketches;

use cosmic_common::{
    id::{NetworkId, PeerId},
    time::Timestamp,
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_ring::{Admission, Atlas, Consent, Label, Member, Members, NetworkConfig, State};

use crate::{DeviceSketch, Figures, LatencySketch, MemberState, MemberSummary, Pseudonym};

/// Ten minutes after an hour began.
const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_600_000);

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

fn peer(number: u8) -> PeerId {
    key(number).peer_id()
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn network() -> NetworkId {
    NetworkConfig::new(&key(200)).network()
}

/// A network of members 1, 2, … in these regions; each is in a zone with the next, and of weight 1.
fn members(regions: &[&str]) -> Members {
    let config =
        NetworkConfig { admission: Admission::Open, partition_bits: 6, ..NetworkConfig::new(&key(200)) };
    let mut members = Members::new(Signed::sign(config, &key(200)), network()).unwrap();
    for (number, region) in (1..).zip(regions) {
        members.insert(member(number, region, State::Active, 1)).unwrap();
    }
    members
}

fn member(number: u8, region: &str, state: State, sequence: u64) -> Signed<Member> {
    let operator = key(201);
    let member = Member {
        network: network(),
        operator: operator.operator_id(),
        peer: peer(number),
        consent: Consent::give(&key(number), network(), operator.operator_id(), 1),
        sequence,
        state,
        weight: 1,
        zone: label(&format!("zone-{}", number / 2)),
        region: label(region),
        addresses: Vec::new(),
        incarnation: None,
    };
    Signed::sign(member, &operator)
}

fn ring(members: &Members, of: u8) -> std::sync::Arc<cosmic_ring::Table> {
    Atlas::build(members).ring_of(&peer(of))
}

/// So many devices, from a number on.
fn devices(from: u64, count: u64) -> DeviceSketch {
    let mut sketch = DeviceSketch::new();
    for number in from..from + count {
        sketch.insert(Pseudonym::of(&PeerId::from_bytes([7; 32]), &network(), number));
    }
    sketch
}

/// What member `number` says, with devices from 1,000 times its number on.
fn word(number: u8, figures: Figures, time: Timestamp) -> MemberSummary {
    MemberSummary {
        network: network(),
        peer: peer(number),
        time,
        state: MemberState::Well,
        devices: devices(u64::from(number) * 1000, figures.devices),
        figures,
        latency: LatencySketch::new(),
    }
}

fn signed(word: MemberSummary, by: u8) -> Signed<MemberSummary> {
    Signed::sign(word, &key(by))
}
