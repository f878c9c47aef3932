//! Objects through the front door: a device puts and gets, supernodes die, lie, and have no room.

use std::{collections::BTreeSet, sync::Arc};

use cosmic_common::{
    hash,
    id::{ObjectId, PeerId, SpaceId},
    limit::{MESSAGE_MAX_BYTES, OBJECT_MAX_BYTES},
    protocol::OBJECT,
    record::Record as _,
};
use cosmic_custody::{
    Level, ObjectCustody, Quota, Receipt, Standing,
    message::{
        bulk::BulkLength,
        object::{ObjectAnswer, ObjectRequest, Whereabouts},
        refusal::{Refusal, RefusalCode},
        space::SessionId,
    },
};
use cosmic_erasure::{Coder, Manifest};
use cosmic_net::{Handle, RefuseAll, Stream};
use cosmic_space::{
    delegation::{Bearer, Caveats},
    rights::{Channels, Right, Rights},
    session::Session,
};

use super::world::{Supernode, World, eventually, key};
use crate::{
    session::SessionGuard,
    tables::{KEPT, MANIFESTS, PLACEMENTS, SHARDS},
};

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);

/// A device with a session at one gateway.
struct Device {
    stream: Stream,
    session: SessionId,
    _open: SessionGuard,
    _net: Handle,
}

impl Device {
    async fn new(world: &World, n: u8, gateway: &Supernode, rights: Rights) -> Self {
        let key = key(n);
        let net = world.network.join(key.peer_id(), &[], Arc::new(RefuseAll));
        net.add_addresses(gateway.peer(), &gateway.context.net.listening()).await.unwrap();
        let session = Session {
            space: SPACE,
            key: key.writer_id(),
            delegation: None,
            bearer: Bearer::Member,
            rights,
            channels: Channels::All,
            caveats: Caveats::default(),
        };
        let open = gateway.context.sessions.open(key.peer_id(), session);
        let stream = net.open(gateway.peer(), OBJECT, std::time::Duration::from_secs(5)).await.unwrap();
        Self { stream, session: open.id(), _open: open, _net: net }
    }

    async fn ask(&mut self, request: ObjectRequest) -> ObjectAnswer {
        self.stream.send(&request.to_bytes()).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> ObjectAnswer {
        let frame = self.stream.recv(MESSAGE_MAX_BYTES).await.unwrap().unwrap();
        ObjectAnswer::from_bytes(&frame).unwrap()
    }

    async fn put(&mut self, object: ObjectId, bytes: &[u8]) -> Result<Whereabouts, Refusal> {
        let length = BulkLength::new(bytes.len()).unwrap();
        let answer = match self.ask(ObjectRequest::Put { session: self.session, object, length }).await {
            ObjectAnswer::Send => {
                self.stream.send_bulk(bytes).await.unwrap();
                self.answer().await
            }
            other => other,
        };
        match answer {
            ObjectAnswer::Stored(whereabouts) => Ok(whereabouts),
            ObjectAnswer::Refused(refusal) => Err(refusal),
            other => panic!("an answer that does not belong here: {other:?}"),
        }
    }

    async fn get(&mut self, object: ObjectId) -> Result<Vec<u8>, Refusal> {
        match self.ask(ObjectRequest::Get { session: self.session, object }).await {
            ObjectAnswer::Follows { length } => {
                let mut bytes = Vec::new();
                self.stream.recv_bulk(&mut bytes, length.bytes()).await.unwrap();
                Ok(bytes)
            }
            ObjectAnswer::Refused(refusal) => Err(refusal),
            other => panic!("an answer that does not belong here: {other:?}"),
        }
    }

    async fn had(&mut self, objects: Vec<ObjectId>) -> Vec<ObjectId> {
        match self.ask(ObjectRequest::Have { session: self.session, objects }).await {
            ObjectAnswer::Had(had) => had,
            other => panic!("an answer that does not belong here: {other:?}"),
        }
    }
}

/// Bytes no compressor or accident makes equal to others.
fn chunk(seed: u8, bytes: usize) -> (ObjectId, Vec<u8>) {
    let mut chunk = vec![0; bytes];
    let mut reader = blake_stream(seed);
    chunk.chunks_mut(32).enumerate().for_each(|(number, place)| {
        let block = reader(number);
        place.copy_from_slice(&block[..place.len()]);
    });
    (ObjectId::from_bytes(*hash::plain(&chunk).as_bytes()), chunk)
}

fn blake_stream(seed: u8) -> impl FnMut(usize) -> [u8; 32] {
    move |number| hash::derive("cosmic test chunk", &[&[seed], &number.to_be_bytes()])
}

/// What a device makes of the receipts: it recomputes the manifest and believes nobody.
fn level(world: &World, bytes: &[u8], whereabouts: &Whereabouts) -> Level {
    let claimed = Manifest::from_bytes(&whereabouts.manifest).unwrap();
    let manifest = Coder::new(claimed.codec()).unwrap().manifest(bytes).unwrap();
    assert_eq!(manifest, claimed);
    let mut standing: Standing = world.holders.borrow().standing().clone();
    let mut custody = ObjectCustody::new(&manifest);
    for receipt in &whereabouts.receipts {
        let receipt = Receipt::open(receipt).unwrap();
        standing.observe(&receipt);
        custody.insert(&receipt, &standing).unwrap();
    }
    custody.verdict(&standing).level
}

async fn damage(supernode: &Supernode, object: ObjectId) -> u8 {
    let store = &supernode.context.store;
    let index = (0..6).find(|index| store.get(&KEPT, &(object, *index)).unwrap().is_some()).unwrap();
    let mut bytes = store.get(&SHARDS, &(object, index)).unwrap().unwrap().to_vec();
    bytes[100] ^= 1;
    let mut batch = store.batch();
    batch.put_slice(&SHARDS, &(object, index), &bytes);
    store.commit(batch).await.unwrap();
    index
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_survives_the_loss_of_any_three_of_six() {
    let world = World::new(6);
    let (object, bytes) = chunk(1, OBJECT_MAX_BYTES);
    let mut device = Device::new(&world, 50, &world.supernodes[0], Rights::ALL).await;
    let stored = device.put(object, &bytes).await.unwrap();
    assert_eq!(level(&world, &bytes, &stored), Level::Durable { survives: 3 });
    // The gateway itself dies as well.
    for dead in &world.supernodes[..3] {
        world.network.leave(dead.peer());
    }
    let mut other = Device::new(&world, 51, &world.supernodes[4], Rights::of(&[Right::Read])).await;
    assert!(other.get(object).await.unwrap() == bytes);
    world.network.leave(world.supernodes[3].peer());
    assert_eq!(other.get(object).await.unwrap_err().code, RefusalCode::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_shards_pass_over_the_distrusted_while_there_are_others() {
    let world = World::new(7);
    let (object, bytes) = chunk(4, 100_000);
    let gateway = &world.supernodes[0];
    let first = gateway.services.shards.plan(&SPACE, &object).unwrap().shards[0].holder;
    gateway.services.shards.set_distrusted(BTreeSet::from([first]));
    let mut device = Device::new(&world, 50, gateway, Rights::ALL).await;
    device.put(object, &bytes).await.unwrap();
    let plan = gateway.services.shards.plan(&SPACE, &object).unwrap();
    assert!(plan.shards.iter().all(|shard| shard.holder != first));
    let distrusted = world.supernodes.iter().find(|node| node.peer() == first).unwrap();
    assert_eq!(distrusted.services.shards.which(first, object).await.unwrap().receipts.len(), 0);

    let all = world.supernodes.iter().map(Supernode::peer).collect();
    gateway.services.shards.set_distrusted(all);
    assert_eq!(gateway.services.shards.plan(&SPACE, &object).unwrap().shards.len(), 6, "somebody has to");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_safe_already_is_answered_at_once() {
    let world = World::new(6);
    let (object, bytes) = chunk(2, 100_000);
    let (unknown, _) = chunk(3, 100);
    let mut device = Device::new(&world, 50, &world.supernodes[0], Rights::ALL).await;
    device.put(object, &bytes).await.unwrap();
    let device = &mut device;
    let keepers: BTreeSet<PeerId> =
        world.supernodes[0].services.shards.plan(&SPACE, &object).unwrap().keepers.into_iter().collect();
    eventually("recording who has what", || async {
        let recorded = |node: &&Supernode| node.context.store.contains(&PLACEMENTS, &object).unwrap();
        (world.supernodes.iter().filter(recorded).count() == keepers.len()).then_some(())
    })
    .await;
    let length = BulkLength::new(bytes.len()).unwrap();
    let again = device.ask(ObjectRequest::Put { session: device.session, object, length }).await;
    let ObjectAnswer::Stored(whereabouts) = again else { panic!("it was to be sent again: {again:?}") };
    assert_eq!(level(&world, &bytes, &whereabouts), Level::Durable { survives: 3 });
    assert_eq!(device.had(vec![unknown, object]).await, [object]);
    let status = device.ask(ObjectRequest::Status { session: device.session, object }).await;
    let ObjectAnswer::Stored(whereabouts) = status else { panic!("no status: {status:?}") };
    assert_eq!(whereabouts.receipts.len(), 6);
    // Nothing was charged twice.
    let shards: u64 =
        world.supernodes.iter().map(|node| node.services.quotas.usage(&SPACE).unwrap().shards).sum();
    assert_eq!(shards, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_shards_are_never_returned_and_are_replaced() {
    let world = World::new(6);
    let (object, bytes) = chunk(4, 1_000_000);
    let mut device = Device::new(&world, 50, &world.supernodes[0], Rights::ALL).await;
    device.put(object, &bytes).await.unwrap();
    let mut damaged = Vec::new();
    for supernode in &world.supernodes[..3] {
        damaged.push((supernode, damage(supernode, object).await));
    }
    for _ in 0..2 {
        assert!(device.get(object).await.unwrap() == bytes);
    }
    let metrics = world.supernodes[0].services.shards.metrics();
    assert!(metrics.shards_wrong.get() > 0);
    eventually("replacing the wrong shards", || async { (metrics.shards_mended.get() > 0).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_found_when_every_record_of_them_is_gone() {
    let world = World::new(6);
    let (object, bytes) = chunk(5, 300_000);
    let mut device = Device::new(&world, 50, &world.supernodes[0], Rights::ALL).await;
    device.put(object, &bytes).await.unwrap();
    // Each holder's shard is where the table does not look for it, and no record says so.
    let mut found = Vec::new();
    for supernode in &world.supernodes {
        let store = &supernode.context.store;
        let index = (0..6).find(|index| store.get(&KEPT, &(object, *index)).unwrap().is_some()).unwrap();
        let row = store.get(&KEPT, &(object, index)).unwrap().unwrap();
        let shard = store.get(&SHARDS, &(object, index)).unwrap().unwrap();
        found.push((index, row, shard));
    }
    found.rotate_left(1);
    for (supernode, (index, row, shard)) in world.supernodes.iter().zip(&found) {
        let store = &supernode.context.store;
        let mut batch = store.batch();
        for other in 0..6 {
            batch.delete(&KEPT, &(object, other)).delete(&SHARDS, &(object, other));
        }
        batch.put(&KEPT, &(object, *index), row).put(&SHARDS, &(object, *index), shard);
        batch.delete(&PLACEMENTS, &object);
        store.commit(batch).await.unwrap();
    }
    assert!(device.get(object).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_without_room_is_refused_with_a_sentence() {
    let world = World::new(6);
    let (object, bytes) = chunk(6, 400_000);
    let gateway = &world.supernodes[0];
    let mut device = Device::new(&world, 50, gateway, Rights::ALL).await;
    let small = Quota { shard_bytes: 200_000, ..Quota::default() };
    for supernode in &world.supernodes {
        supernode.services.quotas.set(SPACE, small).await.unwrap();
    }
    device.put(object, &bytes).await.unwrap();
    let (second, more) = chunk(7, 400_000);
    let refusal = device.put(second, &more).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::QuotaExceeded);
    assert!(refusal.to_string().contains("133334 bytes of shards here and may keep 200000"), "{refusal}");
    for supernode in &world.supernodes {
        assert!(supernode.context.store.get(&MANIFESTS, &second).unwrap().is_none());
        assert_eq!(supernode.services.quotas.usage(&SPACE).unwrap().shard_bytes, 133_334);
    }
    assert!(device.get(object).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_may_not_is_refused() {
    let world = World::new(1);
    let (object, bytes) = chunk(8, 1000);
    let gateway = &world.supernodes[0];
    let mut reader = Device::new(&world, 50, gateway, Rights::of(&[Right::Read])).await;
    assert_eq!(reader.put(object, &bytes).await.unwrap_err().code, RefusalCode::NotAuthorised);
    let mut writer = Device::new(&world, 51, gateway, Rights::of(&[Right::Write])).await;
    let (other, _) = chunk(9, 1000);
    assert_eq!(writer.put(other, &bytes).await.unwrap_err().code, RefusalCode::HashMismatch);
    let stored = writer.put(object, &bytes).await.unwrap();
    // One supernode keeps one whole copy: kept, and not called durable.
    assert_eq!(level(&world, &bytes, &stored), Level::Replicated);
    assert_eq!(writer.get(object).await.unwrap_err().code, RefusalCode::NotAuthorised);
    assert!(reader.get(object).await.unwrap() == bytes);
    reader.session = SessionId([9; 16]);
    assert_eq!(reader.get(object).await.unwrap_err().code, RefusalCode::UnknownSession);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_stopped_half_way_is_completed_without_sending_again() {
    let world = World::new(6);
    let (object, bytes) = chunk(10, 500_000);
    let mut device = Device::new(&world, 50, &world.supernodes[0], Rights::ALL).await;
    device.put(object, &bytes).await.unwrap();
    for supernode in &world.supernodes[4..] {
        let store = &supernode.context.store;
        let mut batch = store.batch();
        for index in 0..6 {
            batch.delete(&KEPT, &(object, index)).delete(&SHARDS, &(object, index));
        }
        batch.delete(&MANIFESTS, &object).delete(&PLACEMENTS, &object);
        store.commit(batch).await.unwrap();
    }
    let length = BulkLength::new(bytes.len()).unwrap();
    let again = device.ask(ObjectRequest::Put { session: device.session, object, length }).await;
    let ObjectAnswer::Stored(whereabouts) = again else { panic!("it was to be sent again: {again:?}") };
    assert_eq!(level(&world, &bytes, &whereabouts), Level::Durable { survives: 3 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_away_for_a_moment_is_waited_for() {
    let world = World::new(6);
    let (object, bytes) = chunk(11, 300_000);
    let (gateway, absent) = (&world.supernodes[0], &world.supernodes[5]);
    world.network.cut(gateway.peer(), absent.peer());
    let mut device = Device::new(&world, 50, gateway, Rights::ALL).await;
    let back = async {
        eventually("trying to reach the one that is away", || async {
            gateway.services.shards.is_away(&absent.peer()).then_some(())
        })
        .await;
        world.network.heal(gateway.peer(), absent.peer());
    };
    let (stored, ()) = tokio::join!(device.put(object, &bytes), back);
    assert_eq!(level(&world, &bytes, &stored.unwrap()), Level::Durable { survives: 3 });
}
