//! What a supernode says of itself as a gateway.

use std::{sync::Arc, time::Duration};

use cosmic_common::{protocol::GATEWAY, record::Record as _};
use cosmic_custody::message::refusal::RefusalCode;
use cosmic_net::RefuseAll;
use cosmic_ring::GatewayReport;

use super::{
    device::Device,
    world::{World, key},
};
use crate::session::Door;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn whoever_asks_hears_of_sessions_and_where_else_to_go() {
    let world = World::new(3);
    let asking = world.network.join(key(99).peer_id(), &[], Arc::new(RefuseAll));
    let (gateway, other) = (&world.supernodes[0], &world.supernodes[1]);
    let ask = async || {
        asking.add_addresses(gateway.peer(), &gateway.context.net.listening()).await.unwrap();
        let mut stream = asking.open(gateway.peer(), GATEWAY, SOON).await.unwrap();
        let frame = stream.recv(GatewayReport::LIMIT).await.unwrap().unwrap();
        GatewayReport::from_bytes(&frame).unwrap()
    };
    let serving = ask().await;
    assert_eq!((serving.sessions, serving.leaving, serving.alternatives.len()), (0, false, 0));
    assert_eq!(serving.sessions_max as usize, gateway.context.limits.sessions_max);
    // Of the members those that are connected with it are named, and neither itself nor whoever is no member.
    let listening = other.context.net.listening();
    gateway.context.net.add_addresses(other.peer(), &listening).await.unwrap();
    drop(gateway.context.net.open(other.peer(), GATEWAY, SOON).await.unwrap());
    gateway.context.sessions.set_door(Door::Closing { within: SOON });
    let leaving = ask().await;
    assert!(leaving.leaving && leaving.alternatives.contains(&other.peer()));
    assert!(
        !leaving.alternatives.contains(&gateway.peer()) && !leaving.alternatives.contains(&key(99).peer_id())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_sent_away_hears_why_and_the_others_stay() {
    let world = World::new(3);
    let gateway = &world.supernodes[0];
    let mut devices: Vec<Device> = (50..53).map(|n| Device::founder(&world.network, n)).collect();
    let mut links = Vec::new();
    for device in &mut devices {
        links.push(device.connect(&gateway.context.net).await.unwrap());
    }
    assert_eq!(gateway.context.sessions.len(), 3);
    gateway.context.sessions.send_away(1);
    super::world::eventually("one session to end", || async {
        (gateway.context.sessions.len() == 2).then_some(())
    })
    .await;
    let mut ended = Vec::new();
    for (link, device) in links.iter_mut().zip(&mut devices) {
        let hearing = link.run(device, |_device| false);
        // Those that stay hear nothing more.
        if tokio::time::timeout(Duration::from_millis(500), hearing).await.is_ok() {
            ended.extend(link.ended.clone().flatten());
        }
    }
    let codes: Vec<RefusalCode> = ended.iter().map(|refusal| refusal.code).collect();
    assert_eq!(codes, [RefusalCode::Busy]);
}
