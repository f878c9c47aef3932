//! Entries: from a device through its gateway to the replicas, receipts on the way back, live to other devices.

use cosmic_common::id::ChannelId;
use cosmic_custody::Promise;
use cosmic_log::kind::Kind;

use super::{
    device::Device,
    world::{World, eventually},
};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);

#[tokio::test]
async fn an_entry_pushed_to_a_replica_is_signed_for_by_all_three() {
    let world = World::new(3);
    let mut device = Device::founder(&world.network, 50);
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let gateway = &world.replicas(&device.space)[0].context.net;
    let mut link = device.connect(gateway).await.unwrap();
    assert_eq!(link.source, gateway.local_peer());
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3 && device.equal > 0).await;
    assert!(link.ended.is_none(), "{:?}", link.ended);
    let live = device.write(NOTES, Kind::Change, b"live".to_vec());
    link.pushed(&mut device, NOTES, &live);
    link.run(&mut device, |device| device.keepers(&live, Promise::Keeps).len() >= 2).await;
    for supernode in world.replicas(&device.space) {
        let space = supernode.spaces.get(device.space).unwrap();
        eventually("the replica has the entry", || async {
            let heads = space.heads().await.unwrap();
            (heads.get(&NOTES)?.values().next()?.entry == live.id()).then_some(())
        })
        .await;
    }
}
