//! Every format: golden bytes, round trips, hostile bytes.

use std::{fmt::Debug, fs, path::Path};

use cosmic_common::{id::Incarnation, record::Record};
use cosmic_identity::signed::Signed;
use data_encoding::HEXLOWER;
use proptest::{collection::vec, prelude::*};

use super::{
    config, endpoint, member, members, network, network_key, open_config, operator, presence, signed,
    supernode, vouched_config, vouches,
};
use crate::{
    ClassStep, Door, Exchange, GatewayReport, Listing, Member, NetworkAnswer, NetworkConfig, NetworkRequest,
    RingMessage, State, Vouches,
    remembered::{Kept, Remembered},
};

fn configs() -> Vec<Signed<NetworkConfig>> {
    let door =
        Door { peer: supernode(9).peer_id(), addresses: vec!["/ip4/192.0.2.9/tcp/7400".parse().unwrap()] };
    let classes = vec![ClassStep { members: 6, k: 4, n: 6 }, ClassStep { members: 20, k: 10, n: 20 }];
    [open_config(), NetworkConfig { version: 7, doors: vec![door], classes, ..config(&[1, 2]) }]
        .map(|config| Signed::sign(config, &network_key()))
        .into()
}

fn records() -> Vec<Signed<Member>> {
    let incarnation = Some(Incarnation::from_bytes([6; 16]));
    [
        member(1, 1),
        Member {
            sequence: 300,
            state: State::Lost,
            weight: 64,
            incarnation,
            addresses: vec![],
            ..member(2, 2)
        },
    ]
    .into_iter()
    .zip([1, 2])
    .map(|(member, of)| signed(member, of))
    .collect()
}

fn messages() -> Vec<RingMessage> {
    let mut known = members(config(&[1, 2]));
    for record in records() {
        known.insert(record).unwrap();
    }
    known.insert_endpoint(endpoint(1, 5)).unwrap();
    vec![
        Exchange::open(&known).1,
        RingMessage::Config(vec![1, 2]),
        RingMessage::Inventory(known.inventory(), known.editions(), known.vouches_editions()),
        RingMessage::Records(vec![vec![1], vec![2, 3]]),
        RingMessage::Endpoints(vec![vec![4, 5]]),
        RingMessage::Sent,
    ]
}

/// What is said in a vouched network only.
fn vouched_messages() -> Vec<RingMessage> {
    let mut known = members(vouched_config(&[1]));
    known.vouch(vec![vouches(1, 5, &[2])]).unwrap();
    vec![
        Exchange::open(&known).1,
        RingMessage::Inventory(known.inventory(), known.editions(), known.vouches_editions()),
        RingMessage::Vouches(vec![vec![1], vec![2, 3]]),
    ]
}

fn reports() -> Vec<GatewayReport> {
    let alternatives = (1..4).map(|number| supernode(number).peer_id()).collect();
    vec![
        GatewayReport { sessions: 7, sessions_max: 4096, leaving: false, alternatives: vec![] },
        GatewayReport { sessions: u32::MAX, sessions_max: u32::MAX, leaving: true, alternatives },
    ]
}

fn listings() -> Vec<Listing> {
    let listed = [presence(1, 5), presence(2, 6)].map(|presence| presence.to_bytes().into());
    vec![Listing { presences: vec![] }, Listing { presences: listed.into() }]
}

fn remembered() -> Remembered {
    let kept = Kept { key: vec![1].into(), value: vec![2, 3].into(), until_ms: 1_790_000_000_000 };
    let addresses = vec!["/ip4/192.0.2.9/tcp/7400".parse().unwrap()];
    Remembered { records: vec![kept], servers: vec![Door { peer: supernode(9).peer_id(), addresses }] }
}

fn answers() -> Vec<NetworkAnswer> {
    vec![
        NetworkAnswer::OtherNetwork,
        NetworkAnswer::Network { config: vec![1], members: vec![vec![2], vec![3]] },
    ]
}

/// Compares with the golden file, one sample per line, in both directions.
fn golden<T: Record + PartialEq + Debug>(file: &str, samples: &[T]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let lines: String = samples.iter().map(|sample| HEXLOWER.encode(&sample.to_bytes()) + "\n").collect();
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(lines, golden, "the bytes of version 1 never change: {}", path.display());
    for (line, sample) in golden.lines().zip(samples) {
        assert_eq!(&T::from_bytes(&HEXLOWER.decode(line.as_bytes()).unwrap()).unwrap(), sample);
    }
}

#[test]
fn golden_bytes_of_version_1() {
    golden("network-config.v1.hex", &configs());
    golden("member.v1.hex", &records());
    golden("endpoint.v1.hex", &[endpoint(1, 5)]);
    golden("vouches.v1.hex", &[vouches(1, 5, &[2, 3]), vouches(2, 300, &[])]);
    let banned = [operator(3).operator_id()].into();
    let vouched = NetworkConfig { version: 8, banned, ..vouched_config(&[1, 2]) };
    golden("network-config-vouched.v1.hex", &[Signed::sign(vouched, &network_key())]);
    golden("ring-message-vouched.v1.hex", &vouched_messages());
    let requests = [None, Some("eu-west".parse().unwrap())];
    golden("network-request.v1.hex", &requests.map(|region| NetworkRequest { network: network(), region }));
    golden("network-answer.v1.hex", &answers());
    golden("ring-message.v1.hex", &messages());
    golden("gateway-report.v1.hex", &reports());
    golden("presence.v1.hex", &[presence(1, 5), presence(2, 1_790_000_000_000)]);
    golden("listing.v1.hex", &listings());
    golden("directory-file.v1.hex", &[Remembered::default(), remembered()]);
}

#[test]
fn the_largest_of_each_fit_their_limits() {
    let address = format!("/dns4/{}/tcp/7410", "a".repeat(240)).parse().unwrap();
    let widest = Member {
        addresses: vec![address; 16],
        zone: "z".repeat(32).parse().unwrap(),
        region: "r".repeat(32).parse().unwrap(),
        sequence: u64::MAX,
        weight: 64,
        incarnation: Some(Incarnation::from_bytes([6; 16])),
        ..member(1, 1)
    };
    let door = Door { peer: widest.peer, addresses: widest.addresses.clone() };
    let fullest = NetworkConfig {
        operators: (0..1024).map(|number| operator(number).operator_id()).collect(),
        banned: (1024..2048).map(|number| operator(number).operator_id()).collect(),
        doors: vec![door; 16],
        version: u64::MAX,
        ..config(&[])
    };
    assert!(widest.to_bytes().len() <= Member::LIMIT);
    assert!(fullest.to_bytes().len() <= NetworkConfig::LIMIT);
    fullest.check().unwrap();
    let trusting = vouches(1, u64::MAX, &(2..18).collect::<Vec<_>>());
    assert!(trusting.to_bytes().len() <= Signed::<Vouches>::LIMIT);
    trusting.unverified().check().unwrap();
    assert!(reports().iter().all(|report| report.to_bytes().len() <= GatewayReport::LIMIT));
    let hash = cosmic_common::hash::plain(b"");
    let version = crate::Version { term: u64::MAX, sequence: u64::MAX, hash };
    let edition = crate::Edition { sequence: u64::MAX, hash };
    let peer =
        |number: u32| cosmic_common::id::PeerId::from_bytes(*blake3::hash(&number.to_be_bytes()).as_bytes());
    let versions = (0..4096).map(|number| (peer(number), version)).collect();
    let editions = (0..4096 + 16).map(|number| (peer(number), edition)).collect();
    let operator = |number: u32| cosmic_common::id::OperatorId::from_bytes(*peer(number).as_bytes());
    let lists = (0..1024).map(|number| (operator(number), edition)).collect();
    let inventory = RingMessage::Inventory(versions, editions, lists);
    assert!(inventory.to_bytes().len() <= RingMessage::LIMIT);
}

proptest! {
    #[test]
    fn hostile_bytes_are_errors(bytes in vec(any::<u8>(), 0..300), which in 0_usize..13, at: prop::sample::Index, flip in 1_u8..) {
        prop_assert!(Signed::<Member>::from_bytes(&bytes).is_err());
        prop_assert!(Signed::<NetworkConfig>::from_bytes(&bytes).is_err());
        prop_assert!(Signed::<crate::Endpoint>::from_bytes(&bytes).is_err());
        prop_assert!(Signed::<Vouches>::from_bytes(&bytes).is_err());
        prop_assert!(GatewayReport::from_bytes(&bytes).is_ok_and(|report| report.to_bytes() == bytes) || GatewayReport::from_bytes(&bytes).is_err());
        let message = RingMessage::from_bytes(&bytes).map(|read| read.to_bytes().len());
        let answer = NetworkAnswer::from_bytes(&bytes).map(|read| read.to_bytes().len());
        prop_assert!([message, answer].into_iter().flatten().all(|length| length <= bytes.len()));
        let samples: Vec<Vec<u8>> = configs().iter().map(Record::to_bytes)
            .chain(records().iter().map(Record::to_bytes))
            .chain(messages().iter().map(Record::to_bytes))
            .chain(vouched_messages().iter().map(Record::to_bytes))
            .collect();
        let mut bent = samples[which].clone();
        let at = at.index(bent.len());
        bent[at] ^= flip;
        // What still decodes is signed no more.
        if let Ok(record) = Signed::<Member>::from_bytes(&bent) {
            prop_assert!(members(open_config()).insert(record).is_err());
        }
        if let Ok(config) = Signed::<NetworkConfig>::from_bytes(&bent) {
            prop_assert!(crate::Members::new(config, network()).is_err());
        }
        prop_assert!(RingMessage::from_bytes(&samples[4][..at.min(samples[4].len() - 1)]).is_err());
    }
}
