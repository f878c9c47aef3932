//! What strangers try: proofs that are forged or replayed, sessions while there is too much to do, bytes that are no object.

use std::time::Duration;

use cosmic_common::{id::PeerId, protocol};
use cosmic_custody::message::{
    refusal::{Refusal, RefusalCode},
    space::SpaceFrame,
};
use cosmic_net::{FRAME_MAX_BYTES, Handle, Standing};

use super::{
    device::{Answer, Device},
    world::{Supernode, World, eventually, key},
};

fn bans(gateway: &Supernode) -> Vec<String> {
    gateway.context.net.watch().bans.into_iter().map(|ban| ban.who).collect()
}

async fn banned(gateway: &Supernode, peer: PeerId) {
    let named = async || (bans(gateway) == [peer.to_string()]).then_some(());
    eventually("the ban", named).await;
}

async fn refusal(device: &Device, gateway: &Handle, answer: Answer) -> Refusal {
    match device.knock(gateway, &device.writer, answer).await.1 {
        Some(SpaceFrame::Refused(refusal)) => refusal,
        other => panic!("unexpected {other:?}"),
    }
}

#[tokio::test]
async fn whoever_brings_forged_proofs_is_kept_out_and_others_are_served() {
    let world = World::new(3);
    let gateway = &world.supernodes[0];
    let (thief, mut other) = (Device::founder(&world.network, 50), Device::founder(&world.network, 51));
    for _ in 0..2 {
        let (_stream, answer) = thief.knock(&gateway.context.net, &key(99), Answer::Honest).await;
        let Some(SpaceFrame::Refused(refusal)) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code, RefusalCode::InvalidEntry);
    }
    banned(gateway, thief.key.peer_id()).await;
    // Not even with a proof that holds.
    let mut stream = thief.net.open(gateway.peer(), protocol::SPACE, Duration::from_secs(5)).await.unwrap();
    assert!(!matches!(stream.recv(FRAME_MAX_BYTES).await, Ok(Some(_))));
    other.connect(&gateway.context.net).await.unwrap();
    assert!(gateway.context.net.pardon(&thief.key.peer_id().to_string()));
    let mut thief = thief;
    thief.connect(&gateway.context.net).await.unwrap();
}

#[tokio::test]
async fn frames_that_nobody_honest_sends_are_offences_and_a_stream_that_ends_early_is_none() {
    let world = World::new(3);
    let gateway = &world.supernodes[0];
    let device = Device::founder(&world.network, 50);
    let open = async || {
        let to = &gateway.context.net;
        device.net.add_addresses(to.local_peer(), &to.listening()).await.unwrap();
        let mut stream =
            device.net.open(gateway.peer(), protocol::SPACE, Duration::from_secs(5)).await.unwrap();
        stream.recv(FRAME_MAX_BYTES).await.unwrap().unwrap();
        stream
    };
    for _ in 0..8 {
        let mut stream = open().await;
        stream.close().await.unwrap();
        assert!(stream.recv(FRAME_MAX_BYTES).await.unwrap().is_some(), "it hears why");
    }
    assert_eq!(bans(gateway), [""; 0]);
    for _ in 0..4 {
        let mut stream = open().await;
        stream.send(b"garbage").await.unwrap();
        assert!(stream.recv(FRAME_MAX_BYTES).await.unwrap().is_some(), "it hears why");
    }
    banned(gateway, device.key.peer_id()).await;
}

#[tokio::test]
async fn a_busy_gateway_wants_work_of_strangers_and_none_of_members() {
    let world = World::new(3);
    let gateway = &world.supernodes[0];
    let net = &gateway.context.net;
    let (mut device, lazy) = (Device::founder(&world.network, 50), Device::founder(&world.network, 51));
    world.network.press(gateway.peer());
    let bits = net.work_bits(&device.key.peer_id()).unwrap();
    assert!((10..=17).contains(&bits), "{bits}");
    for answer in [Answer::None, Answer::Wrong] {
        assert_eq!(refusal(&lazy, net, answer).await.code, RefusalCode::Busy);
    }
    assert_eq!(gateway.context.metrics.work_missing.get(), 2);
    assert_eq!(bans(gateway), [""; 0], "to be lazy is no offence");
    let link = device.connect(net).await.unwrap();
    assert_eq!(net.standing(&device.key.peer_id()), Standing::Member);
    assert_eq!(net.work_bits(&device.key.peer_id()), None);
    drop(link);
    // Once it has proven something it is known for an hour.
    let (_stream, answer) = device.knock(net, &device.writer, Answer::None).await;
    assert!(matches!(answer, Some(SpaceFrame::Opened { .. })), "{answer:?}");
}
