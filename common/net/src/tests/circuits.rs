//! Being reached from outside: relays, holes, and what servers say of the own addresses, over real sockets of loopback.

use std::time::Duration;

use cosmic_common::{address::Address, id::OperatorId};

use super::{ECHO, SOON, start};
use crate::{Config, Handle, Path, Reachability, Relay, RelayPeer, Situation, Transport};

/// A relay looks after what it lost every two seconds, and a QUIC connection is given up after six.
const PATIENCE: Duration = Duration::from_secs(20);

async fn relay(seed: u8) -> Handle {
    let relay = Relay { enabled: true, ..Relay::default() };
    start(seed, Config { relay, circuits: false, directory_server: true, ..Config::loopback() }).await
}

/// Tells `peer` of `relays`, each of an operator of its own.
async fn tell(peer: &Handle, relays: &[&Handle]) {
    for relay in relays {
        peer.add_addresses(relay.local_peer(), &relay.listening()).await.unwrap();
    }
    let relays = (0..).zip(relays).map(|(number, relay)| RelayPeer {
        peer: relay.local_peer(),
        operator: OperatorId::from_bytes([number; 32]),
    });
    peer.set_relays(relays.collect()).await.unwrap();
}

async fn wait_for(peer: &Handle, wanted: impl Fn(&Situation) -> bool) -> Situation {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let situation = peer.situation().await.unwrap();
            if wanted(&situation) {
                return situation;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    match found.await {
        Ok(situation) => situation,
        Err(_late) => panic!("not within {PATIENCE:?}: {:?}", peer.situation().await),
    }
}

fn circuits(peer: &Handle) -> Vec<Address> {
    let is_circuit = |address: &Address| Transport::of(address) == Some(Transport::Relay);
    peer.listening().into_iter().filter(is_circuit).collect()
}

fn path(situation: &Situation, to: &Handle) -> Option<Path> {
    situation.paths.iter().find(|path| path.peer == to.local_peer()).cloned()
}

async fn say(from: &Handle, to: &Handle, incoming: &mut crate::Incoming) {
    let mut here = from.open(to.local_peer(), ECHO, SOON).await.unwrap();
    here.send(b"hello").await.unwrap();
    here.flush().await.unwrap();
    let mut there = incoming.next().await.unwrap();
    assert_eq!(there.recv(64).await.unwrap().unwrap(), b"hello");
}

#[tokio::test]
async fn a_peer_that_listens_nowhere_is_reached_through_a_relay() {
    let (middle, far, near) =
        (relay(3).await, start(2, Config::default()).await, start(1, Config::default()).await);
    tell(&far, &[&middle]).await;
    let situation = wait_for(&far, |situation| !situation.reservations.is_empty()).await;
    assert_eq!(situation.reservations, [middle.local_peer()]);
    near.connect(far.local_peer(), &circuits(&far), SOON).await.unwrap();
    let mut incoming = far.accept(ECHO).unwrap();
    say(&near, &far, &mut incoming).await;
    let (here, there) = (near.situation().await.unwrap(), far.situation().await.unwrap());
    assert!(path(&here, &far).unwrap().relayed, "{here:?}");
    assert!(path(&there, &near).unwrap().relayed, "{there:?}");
}

#[tokio::test]
async fn a_direct_connection_takes_over_from_the_relay() {
    let (middle, far, near) =
        (relay(3).await, start(2, Config::loopback()).await, start(1, Config::loopback()).await);
    tell(&far, &[&middle]).await;
    tell(&near, &[&middle]).await;
    for peer in [&far, &near] {
        wait_for(peer, |situation| !situation.reservations.is_empty()).await;
    }
    near.connect(far.local_peer(), &circuits(&far), SOON).await.unwrap();
    let mut incoming = far.accept(ECHO).unwrap();
    wait_for(&near, |situation| path(situation, &far).is_some_and(|path| !path.relayed)).await;
    say(&near, &far, &mut incoming).await;
    let punched = near.situation().await.unwrap().punched + far.situation().await.unwrap().punched;
    assert!(punched > 0, "a hole was punched, and counted");
}

#[tokio::test]
async fn a_relay_that_is_gone_is_replaced() {
    let relays = [relay(3).await, relay(4).await, relay(5).await];
    let far = start(2, Config::default()).await;
    tell(&far, &relays.iter().collect::<Vec<_>>()).await;
    let before = wait_for(&far, |situation| situation.reservations.len() == 2).await.reservations;
    let spare = relays.iter().find(|relay| !before.contains(&relay.local_peer())).unwrap();
    // The first one sends everybody away: as much as being gone.
    let lost = before[0];
    let gone = relays.iter().find(|relay| relay.local_peer() == lost).unwrap();
    gone.disconnect(far.local_peer()).await.unwrap();
    let after = wait_for(&far, |situation| situation.reservations.contains(&spare.local_peer())).await;
    assert!(after.reservations.len() <= 2, "{after:?}");
}

#[tokio::test]
async fn servers_say_whether_a_peer_is_reached() {
    let servers = [relay(3).await, relay(4).await, relay(5).await];
    let all: Vec<_> = servers.iter().collect();
    let open = start(2, Config::loopback()).await;
    tell(&open, &all).await;
    let situation = wait_for(&open, |situation| situation.reachability == Reachability::Public).await;
    assert!(!situation.external.is_empty(), "{situation:?}");
    for external in &situation.external {
        assert!(open.listening().contains(external), "{external} is told to others");
    }
}

#[tokio::test]
async fn nobody_has_a_stranger_dialed() {
    let server = relay(3).await;
    let near = start(1, Config::default()).await;
    near.connect(server.local_peer(), &server.listening(), SOON).await.unwrap();
    let victim = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    victim.set_nonblocking(true).unwrap();
    let address = format!("/ip4/127.0.0.2/tcp/{}", victim.local_addr().unwrap().port());
    let mut stream = near.open(server.local_peer(), cosmic_common::protocol::REACH, SOON).await.unwrap();
    stream.send(&crate::reach::message::question(&[address.parse().unwrap()])).await.unwrap();
    let answer = stream.recv(crate::reach::message::ANSWER_MAX_BYTES).await.unwrap().unwrap();
    assert_eq!(crate::reach::message::read_answer(&answer, 1).unwrap().0, [None], "not tried");
    assert_eq!(victim.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}
