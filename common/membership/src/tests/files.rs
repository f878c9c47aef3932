//! The network file and the state file, good and bad.

use std::fs;

use cosmic_common::{address::Address, record::Record};

use super::{World, configuration, supernode};
use crate::{Error, NetworkFile, presentable, state::State};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn state(network: cosmic_common::id::NetworkId) -> State {
    let door = cosmic_ring::Door { peer: supernode(7).peer_id(), addresses: vec![address("/memory/7")] };
    let config = super::signed(configuration(1, &[0]));
    State {
        network,
        config: Some(config.to_bytes().into()),
        members: vec![super::member(0).to_bytes().into()],
        endpoints: Vec::new(),
        doors: vec![door],
        vouches: Vec::new(),
    }
}

#[test]
fn a_network_file_is_read_as_it_was_written_and_nothing_else_is() {
    let world = World::new();
    let path = world.path().join("network.json");
    let network = configuration(1, &[]).network();
    let peer = supernode(0).peer_id();
    let text = format!(
        r#"{{"network": "{network}", "bootstrap": [{{"peer": "{peer}", "addresses": ["/ip4/192.0.2.7/tcp/7400"]}}]}}"#
    );
    fs::write(&path, &text).unwrap();
    let file = NetworkFile::read(&path).unwrap();
    assert_eq!(file.network, network);
    assert_eq!(serde_json::from_slice::<NetworkFile>(&serde_json::to_vec(&file).unwrap()).unwrap(), file);
    fs::write(&path, text.replace("peer", "friend")).unwrap();
    assert!(matches!(NetworkFile::read(&path), Err(Error::NetworkFileForeign { .. })));
    let many: Vec<String> = (0..17).map(|_| format!(r#"{{"peer": "{peer}", "addresses": []}}"#)).collect();
    fs::write(&path, format!(r#"{{"network": "{network}", "bootstrap": [{}]}}"#, many.join(","))).unwrap();
    assert!(matches!(NetworkFile::read(&path), Err(Error::NetworkFileBounds { .. })));
    assert!(matches!(NetworkFile::read(&world.path().join("none")), Err(Error::NetworkFile { .. })));
}

#[tokio::test]
async fn a_state_file_that_is_damaged_or_of_another_network_is_refused() {
    let world = World::new();
    let key = supernode(0);
    let path = world.state_file(key.peer_id());
    let mut other = *configuration(1, &[]).network().as_bytes();
    other[0] ^= 1;
    state(cosmic_common::id::NetworkId::from_bytes(other)).write(&path).unwrap();
    let started = world.try_start(&key, None, true, &[]);
    assert!(matches!(started.err(), Some(Error::StateOfOtherNetwork { .. })));
    fs::write(&path, b"not a state").unwrap();
    assert!(matches!(world.try_start(&key, None, true, &[]).err(), Some(Error::StateDamaged { .. })));
    state(configuration(1, &[]).network()).write(&path).unwrap();
    assert_eq!(world.start(&key, None, true, &[]).handle.ring().unwrap().atlas.everybody().len(), 1);
}

/// `golden/state.v1.hex` are the bytes of a state file of version 1: later versions read them.
#[test]
fn the_bytes_of_a_state_stay_as_they_are() {
    let state = state(configuration(1, &[]).network());
    let hex: String = state.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = include_str!("../../golden/state.v1.hex");
    assert_eq!(hex, golden.trim());
    let bytes: Vec<u8> = (0..golden.trim().len() / 2)
        .map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    assert_eq!(State::from_bytes(&bytes).unwrap(), state);
}

#[test]
fn loopback_is_told_only_when_there_is_nothing_else() {
    let (home, lan) = (address("/ip4/127.0.0.1/tcp/7400"), address("/ip4/192.0.2.7/udp/7400/quic-v1"));
    assert_eq!(presentable(vec![home.clone(), lan.clone()]), vec![lan]);
    assert_eq!(presentable(vec![home.clone()]), vec![home]);
}
