//! What only the network in memory can do: cut links, heal them, and let peers crash and return.

use std::sync::Arc;

use cosmic_common::id::PeerId;

use super::{ECHO, SOON, connected, disconnected};
use crate::{Direction, Error, Handle, MemoryNetwork, RefuseAll};

fn join(network: &MemoryNetwork, byte: u8) -> Handle {
    network.join(PeerId::from_bytes([byte; 32]), &[ECHO], Arc::new(RefuseAll))
}

#[tokio::test]
async fn a_cut_ends_streams_and_refuses_dials_until_healed() {
    let network = MemoryNetwork::new();
    let (near, far) = (join(&network, 1), join(&network, 2));
    let peer = far.local_peer();
    let mut incoming = far.accept(ECHO).unwrap();
    let mut events = far.events();
    near.connect(peer, &far.listening(), SOON).await.unwrap();
    assert_eq!(connected(&mut events).await, (near.local_peer(), Direction::Inbound));
    let (mut sender, mut receiver) = near.open(peer, ECHO, SOON).await.unwrap().split();
    let mut there = incoming.next().await.unwrap();
    let waiting = async { (receiver.recv(64).await, there.recv(64).await) };
    let cutting = async { network.cut(near.local_peer(), peer) };
    let ((here, there), ()) = tokio::join!(waiting, cutting);
    assert!(matches!(here, Err(Error::Lost { .. })), "{here:?}");
    assert!(matches!(there, Err(Error::Lost { .. })), "{there:?}");
    sender.send(b"lost").await.unwrap();
    assert!(matches!(sender.flush().await, Err(Error::Lost { .. })));
    assert_eq!(disconnected(&mut events).await, near.local_peer());
    assert!(matches!(near.open(peer, ECHO, SOON).await, Err(Error::Unreachable { .. })));
    network.heal(peer, near.local_peer());
    near.open(peer, ECHO, SOON).await.unwrap();
}

#[tokio::test]
async fn a_crashed_peer_returns_at_another_address() {
    let network = MemoryNetwork::new();
    let (near, far) = (join(&network, 1), join(&network, 2));
    let (peer, old) = (far.local_peer(), far.listening());
    near.connect(peer, &old, SOON).await.unwrap();
    let mut events = far.events();
    network.leave(peer);
    assert!(matches!(far.connected().await, Err(Error::Stopped)));
    assert_eq!(disconnected(&mut events).await, near.local_peer());
    assert_eq!(events.next().await, None);
    assert_eq!(near.connected().await.unwrap(), []);
    let again = join(&network, 2);
    assert_ne!(again.listening(), old);
    assert!(matches!(near.open(peer, ECHO, SOON).await, Err(Error::Unreachable { .. })));
    near.connect(peer, &again.listening(), SOON).await.unwrap();
    near.open(peer, ECHO, SOON).await.unwrap();
}

#[tokio::test]
async fn a_queue_that_nobody_empties_is_bounded() {
    let network = MemoryNetwork::new();
    let (near, far) = (join(&network, 1), join(&network, 2));
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..300 {
        streams.push(near.open(far.local_peer(), ECHO, SOON).await.unwrap());
    }
    // The last one was dropped at the far side: its opener hears the end at once.
    assert!(matches!(streams[299].recv(64).await, Ok(None)));
    let mut incoming = far.accept(ECHO).unwrap();
    let mut taken = 0;
    while tokio::time::timeout(std::time::Duration::ZERO, incoming.next()).await.is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 256);
}
