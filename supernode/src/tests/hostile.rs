//! A supernode that lies: it is refused with a reason and counted, nothing of it is stored or passed on, and its connection ends.

use std::{sync::Arc, time::Duration};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, Hash, PeerId},
    limit::{ENTRY_MAX_BYTES, MESSAGE_MAX_BYTES},
    protocol,
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Held, Promise, Receipt,
    message::{
        refusal::RefusalCode,
        replica::{ReplicaAnswer, ReplicaCall, ReplicaReply, ReplicaRequest},
    },
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_log::{entry::Entry, kind::Kind};
use cosmic_net::{Event, Events, Handle, Incoming, RefuseAll, Stream};

use super::{
    device::{Device, Link},
    world::{Supernode, World, key},
};
use crate::metrics::{Reason, Why};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);
const SOON: Duration = Duration::from_secs(20);

/// A space with one entry that all three replicas keep.
async fn a_space(world: &World) -> (Device, Link, Entry) {
    let mut device = Device::founder(&world.network, 50);
    let entry = device.write(NOTES, Kind::Change, b"hello".to_vec());
    let gateway = world.replicas(&device.space)[0];
    let mut link = device.connect(&gateway.context.net).await.unwrap();
    link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    (device, link, entry)
}

async fn stream(from: &Handle, to: &Supernode) -> Stream {
    from.add_addresses(to.peer(), &to.context.net.listening()).await.unwrap();
    from.open(to.peer(), protocol::REPLICA, SOON).await.unwrap()
}

/// What `to` answers to one call.
async fn ask(from: &Handle, to: &Supernode, request: ReplicaRequest) -> ReplicaAnswer {
    let mut stream = stream(from, to).await;
    stream.send(&ReplicaCall { id: 1, request }.to_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let frame = tokio::time::timeout(SOON, stream.recv(MESSAGE_MAX_BYTES)).await.unwrap();
    ReplicaReply::from_bytes(&frame.unwrap().unwrap()).unwrap().answer
}

fn refused(supernode: &Supernode, why: Why) -> u64 {
    supernode.context.metrics.entries_refused.get_or_create(&Reason { reason: why }).get()
}

/// Waits until the connection to `peer` has been closed; it may stand again at once, since supernodes keep in touch.
async fn parted(events: &mut Events, peer: PeerId) {
    let parting = async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Disconnected { peer: from, .. } if from == peer) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, parting).await.unwrap();
}

#[tokio::test]
async fn entries_that_cannot_stand_are_refused_and_their_bearer_is_cut_off() {
    let world = World::new(3);
    let (mut device, _link, entry) = a_space(&world).await;
    let [victim, liar, _] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    let before = victim.spaces.stored_heads(device.space).unwrap();
    let truncated = entry.as_bytes()[..entry.as_bytes().len() - 1].to_vec();
    let mut flipped = entry.as_bytes().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let forged = device.forge(NOTES, &key(99)).as_bytes().to_vec();
    for (count, lie) in (1..).zip([truncated, flipped, forged, vec![0; ENTRY_MAX_BYTES + 1], Vec::new()]) {
        let mut events = liar.context.net.events();
        let request = ReplicaRequest::Append { space: device.space, entries: vec![lie] };
        let answer = ask(&liar.context.net, victim, request).await;
        let ReplicaAnswer::Appended { receipts, stopped } = answer else { panic!("lie {count}: {answer:?}") };
        assert_eq!(stopped[0].refusal.code, RefusalCode::InvalidEntry, "lie {count}");
        for receipt in receipts {
            let head = Head { seq: entry.core().seq, entry: entry.id() };
            let log = Held::Log { space: device.space, log: entry.core().log, head };
            assert_eq!(Receipt::open(&receipt).unwrap().held, log, "it signs for what it has: lie {count}");
        }
        assert_eq!(refused(victim, Why::Invalid), count);
        parted(&mut events, victim.peer()).await;
    }
    assert_eq!(victim.spaces.stored_heads(device.space).unwrap(), before);
}

#[tokio::test]
async fn entries_out_of_order_wait_outside_and_replayed_ones_change_nothing() {
    let world = World::new(3);
    let (mut device, _link, entry) = a_space(&world).await;
    let [victim, other, _] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    let before = victim.spaces.stored_heads(device.space).unwrap();
    let stored = victim.context.metrics.entries_stored.get();
    let [next, after] = [b"next", b"last"].map(|text| device.write(NOTES, Kind::Change, text.to_vec()));
    let append = |entry: &Entry| {
        let entries = vec![entry.as_bytes().to_vec()];
        ask(&other.context.net, victim, ReplicaRequest::Append { space: device.space, entries })
    };
    let ReplicaAnswer::Appended { stopped, .. } = append(&after).await else { panic!("it is answered") };
    assert_eq!(stopped[0].refusal.code, RefusalCode::Gap);
    assert_eq!(refused(victim, Why::Gap), 1);
    for _ in 0..3 {
        let ReplicaAnswer::Appended { stopped, .. } = append(&entry).await else { panic!("it is answered") };
        assert!(stopped.is_empty(), "{stopped:?}");
    }
    assert_eq!(victim.spaces.stored_heads(device.space).unwrap(), before);
    assert_eq!(victim.context.metrics.entries_stored.get(), stored);
    for entry in [&next, &after] {
        let ReplicaAnswer::Appended { stopped, .. } = append(entry).await else { panic!("it is answered") };
        assert!(stopped.is_empty(), "in order they are welcome: {stopped:?}");
    }
}

#[tokio::test]
async fn calls_that_make_no_sense_end_the_connection_and_strangers_are_told_no() {
    let world = World::new(3);
    let victim = &world.supernodes[0];
    let liar = &world.supernodes[1];
    let whole = ReplicaCall {
        id: 1,
        request: ReplicaRequest::Append { space: key_space(), entries: vec![vec![7; 100]] },
    }
    .to_bytes();
    for (count, lie) in (1..).zip([&whole[..whole.len() - 1], b"", &[0xff; 64]]) {
        let mut events = liar.context.net.events();
        let mut stream = stream(&liar.context.net, victim).await;
        stream.send(lie).await.unwrap();
        stream.flush().await.unwrap();
        let ended = tokio::time::timeout(SOON, stream.recv(MESSAGE_MAX_BYTES)).await.unwrap();
        assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
        parted(&mut events, victim.peer()).await;
        let reason = Reason { reason: Why::Invalid };
        assert_eq!(victim.context.metrics.sessions_refused.get_or_create(&reason).get(), count);
    }
    let stranger = world.network.join(key(99).peer_id(), &[], Arc::new(RefuseAll));
    let answer = ask(&stranger, victim, ReplicaRequest::Heads { space: key_space(), after: None }).await;
    let ReplicaAnswer::Refused(refusal) = answer else { panic!("{answer:?}") };
    assert_eq!(refusal.code, RefusalCode::NotInRing);
}

const fn key_space() -> cosmic_common::id::SpaceId {
    cosmic_common::id::SpaceId::from_bytes([3; 32])
}

/// A replica that keeps nothing, and says of every entry that it and all others do.
async fn sign_for_everything(mut incoming: Incoming, receipts: impl Fn(&Entry) -> Vec<Vec<u8>>) {
    while let Some(mut stream) = incoming.next().await {
        while let Ok(Some(frame)) = stream.recv(MESSAGE_MAX_BYTES).await {
            let ReplicaCall { id, request } = ReplicaCall::from_bytes(&frame).unwrap();
            let answer = match request {
                ReplicaRequest::Append { entries, .. } => {
                    let entries = entries.into_iter().map(|entry| Entry::from_vec(entry).unwrap());
                    let receipts = entries.flat_map(|entry| receipts(&entry)).collect();
                    ReplicaAnswer::Appended { receipts, stopped: Vec::new() }
                }
                _ => ReplicaAnswer::Receipts(Vec::new()),
            };
            stream.send(&ReplicaReply { id, answer }.to_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
    }
}

#[tokio::test]
async fn forged_receipts_are_not_passed_on() {
    let world = World::new(3);
    let (mut device, mut link, _) = a_space(&world).await;
    let [gateway, near, far] = world.replicas(&device.space)[..] else { panic!("three replicas") };
    let liar = world.network.join(far.peer(), &[protocol::REPLICA], Arc::new(RefuseAll));
    gateway.context.net.add_addresses(far.peer(), &liar.listening()).await.unwrap();
    device.receipts.clear();
    let (space, answered) = (device.space, tokio::sync::watch::Sender::new(0));
    let (far_key, forger) = (far.context.key.clone(), key(99));
    let receipts = |entry: &Entry| {
        answered.send_modify(|count| *count += 1);
        let head = Head { seq: entry.core().seq, entry: entry.id() };
        let log = Held::Log { space, log: entry.core().log, head };
        let elsewhere = Held::Log { space: key_space(), log: entry.core().log, head };
        let object = Held::Object { object: cosmic_common::id::ObjectId::from_bytes([1; 32]) };
        vec![
            b"no receipt".to_vec(),
            receipt(log, far.peer(), &forger),
            receipt(log, near.peer(), &far_key),
            receipt(elsewhere, far.peer(), &far_key),
            receipt(object, far.peer(), &far_key),
        ]
    };
    let lying = sign_for_everything(liar.accept(protocol::REPLICA).unwrap(), receipts);
    let writing = async {
        let entry = device.write(NOTES, Kind::Change, b"more".to_vec());
        link.pushed(&mut device, NOTES, &entry);
        link.run(&mut device, |device| device.keepers(&entry, Promise::Keeps).len() == 2).await;
        answered.subscribe().wait_for(|count| *count > 0).await.unwrap();
        // What comes after the forged receipts came after them.
        let last = device.write(NOTES, Kind::Change, b"last".to_vec());
        link.pushed(&mut device, NOTES, &last);
        link.run(&mut device, |device| device.keepers(&last, Promise::Keeps).len() == 2).await;
    };
    tokio::select! {
        () = lying => panic!("the network has stopped"),
        () = writing => {}
    }
    let holders = [gateway.peer(), near.peer()];
    assert!(device.receipts.iter().all(|receipt| holders.contains(&receipt.holder)), "{:?}", device.receipts);
}

fn receipt(held: Held, holder: PeerId, signer: &SecretKey) -> Vec<u8> {
    let receipt = Receipt {
        held,
        promise: Promise::Keeps,
        holder,
        incarnation: cosmic_common::id::Incarnation::from_bytes([1; 16]),
        ring: Hash::from_bytes([0; 32]),
        time: Timestamp::from_unix_ms(1),
    };
    Signed::sign(receipt, signer).to_bytes()
}
