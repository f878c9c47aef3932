//! Two devices on a network in memory share a space directly, by ticket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cosmic_common::{
    heads::Head,
    id::{EntryId, Hash, Incarnation, LogId, OperatorId, SpaceId},
    protocol::{OBJECT, SPACE},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{Held, Level, Promise, Receipt, Standing};
use cosmic_identity::key::SecretKey;
use cosmic_net::{MemoryNetwork, RefuseAll};
use cosmic_ring::{Atlas, Label, Site};
use cosmic_runtime::{clock::Clock, tasks::Tasks};
use cosmic_space::rights::Role;
use futures::{TryStreamExt as _, stream};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{broadcast, watch};

mod meeting;

use crate::{
    core::{Context, Core},
    database::Database,
    device::Device,
    documents::store::{Change, Place},
    error::Error,
    event::{BACKLOG, Event},
    files::{cache::Cache, transfer},
    metrics::Metrics,
    network::{gateways::Gateways, meeting::Meetings, objects, serve, sessions, sharing},
    node::{Node, Rooms, Sessions},
    safety::{self, Safety},
    spaces::{Invitation, Seeds},
    uplinks::Uplinks,
};

const PATIENCE: Duration = Duration::from_secs(20);

struct OnNetwork {
    node: Node,
    tasks: Tasks,
    _directory: TempDir,
}

fn start(network: &MemoryNetwork, number: u8) -> OnNetwork {
    start_by(Clock::system(), network, number)
}

fn start_by(clock: Clock, network: &MemoryNetwork, number: u8) -> OnNetwork {
    drop(tracing_subscriber::fmt().with_env_filter("cosmic=debug").with_test_writer().try_init());
    let directory = tempfile::tempdir().unwrap();
    let key = SecretKey::from_seed(&[number; 32]);
    let net = network.join(key.peer_id(), &[SPACE, OBJECT], Arc::new(RefuseAll));
    let (events, _) = broadcast::channel(BACKLOG);
    let context = Arc::new(Context {
        device: Device::new(key, Incarnation::from_bytes([number; 16])),
        clock,
        uplinks: Uplinks::default(),
        events,
    });
    let core = Core::new(Arc::clone(&context)).unwrap();
    let (database, _writer) = Database::open(&directory.path().join("node.db"), core).unwrap();
    let node = Node::from(Rooms {
        database,
        context,
        safety: Safety::default(),
        cache: Cache::open(directory.path().join("chunks")).unwrap(),
        net,
        gateways: Gateways::default(),
        meetings: Meetings::default(),
        metrics: Metrics::default(),
        online: watch::Sender::new(true),
        sessions: Sessions::default(),
    });
    let tasks = Tasks::new(Clock::system());
    let (incoming, chunks) = (node.net.accept(SPACE).unwrap(), node.net.accept(OBJECT).unwrap());
    let (serving, keeping, shared) = (node.clone(), node.clone(), node.clone());
    let (inward, outward) = (tasks.group("inward", 64), tasks.group("outward", 64));
    let streams = tasks.group("streams", sharing::STREAMS_MAX);
    tasks.spawn("share", move |shutdown| sharing::serve(shared, chunks, streams, shutdown));
    tasks.spawn("serve", move |shutdown| serve::serve(serving, incoming, inward, shutdown));
    tasks.spawn("sessions", move |shutdown| sessions::keep_all(keeping, outward, shutdown));
    OnNetwork { node, tasks, _directory: directory }
}

impl OnNetwork {
    async fn put(&self, space: SpaceId, id: &'static str, value: Value) {
        self.node
            .write(move |core, connection| {
                let place = Place { space: &space, collection: "notes", document: id };
                core.change_document(connection, place, &Change::Patch(value), None)
            })
            .await
            .unwrap();
    }

    async fn wait_for(&self, space: SpaceId, id: &'static str, wanted: Value) {
        let text = wanted.to_string();
        let waited = tokio::time::timeout(PATIENCE, async {
            let mut events = self.node.context.events.subscribe();
            loop {
                let text = text.clone();
                let found = self
                    .node
                    .read(move |connection| {
                        let count: i64 = connection.query_row(
                            "SELECT count(*) FROM documents WHERE space = ?1 AND document = ?2 AND json = ?3",
                            rusqlite::params![space.as_bytes(), id, text],
                            |row| row.get(0),
                        )?;
                        Ok::<_, Error>(count > 0)
                    })
                    .await
                    .unwrap();
                if found {
                    return;
                }
                events.recv().await.unwrap();
            }
        })
        .await;
        assert!(waited.is_ok(), "document {id} never became {wanted}");
    }

    async fn create_space(&self) -> SpaceId {
        let create =
            |core: &mut Core, connection: &_| core.create_space(connection, "Test", &Seeds::random());
        self.node.write(create).await.unwrap()
    }

    async fn invite(&self, space: SpaceId) -> cosmic_space::ticket::Ticket {
        let peers = vec![(self.node.net.local_peer(), self.node.net.listening())];
        self.node
            .write(move |core, connection| {
                let invitation = Invitation { role: Role::Editor, expires: None, peers };
                core.invite(connection, &space, invitation, &Seeds::random())
            })
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_share_by_ticket_live_and_after_a_break() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, 1), start(&network, 2));
    let space = a.create_space().await;
    a.put(space, "one", json!({"from": "A"})).await;
    let ticket = a.invite(space).await;
    b.node.write(move |core, connection| core.join_space(connection, &ticket)).await.unwrap();
    b.wait_for(space, "one", json!({"from": "A"})).await;

    b.put(space, "one", json!({"and": "B"})).await;
    a.wait_for(space, "one", json!({"and": "B", "from": "A"})).await;
    a.put(space, "two", json!({"live": true})).await;
    b.wait_for(space, "two", json!({"live": true})).await;

    let (peer_a, peer_b) = (a.node.net.local_peer(), b.node.net.local_peer());
    network.cut(peer_a, peer_b);
    a.put(space, "two", json!({"apart": "A"})).await;
    b.put(space, "two", json!({"too": "B"})).await;
    network.heal(peer_a, peer_b);
    let both = json!({"apart": "A", "live": true, "too": "B"});
    a.wait_for(space, "two", both.clone()).await;
    b.wait_for(space, "two", both).await;
    a.tasks.end();
    b.tasks.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_new_members_signed_makes_safe_as_soon_as_they_are_known() {
    let a = start(&MemoryNetwork::new(), 1);
    let create = |core: &mut Core, connection: &_| core.create_space(connection, "Test", &Seeds::random());
    let space = a.node.write(create).await.unwrap();
    let find = move |connection: &Connection| {
        let head = "SELECT log, seq, head FROM logs WHERE space = ?1 AND mine = 1 LIMIT 1";
        connection.query_row(head, [space.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    };
    let found: (Vec<u8>, u64, Vec<u8>) =
        a.node.read(move |connection| Ok::<_, Error>(find(connection)?)).await.unwrap();
    let log = LogId::try_from(found.0.as_slice()).unwrap();
    let head = Head { seq: found.1, entry: EntryId::try_from(found.2.as_slice()).unwrap() };
    let keys = [11, 12, 13].map(|seed| SecretKey::from_seed(&[seed; 32]));
    for key in &keys {
        let receipt = Receipt {
            held: Held::Log { space, log, head },
            promise: Promise::Keeps,
            holder: key.peer_id(),
            incarnation: Incarnation::from_bytes([1; 16]),
            ring: Hash::from_bytes([0; 32]),
            time: Timestamp::from_unix_ms(1),
        };
        let signed = safety::Signed::open(receipt.sign(key).unwrap().to_bytes()).unwrap();
        a.node.safety.count(&signed.receipt);
        a.node.write(move |_core, connection| safety::keep_log(connection, &signed)).await.unwrap();
    }
    let level = async || {
        let node = a.node.clone();
        a.node.read(move |connection| node.safety.level(connection, &space, (&log, head.seq))).await.unwrap()
    };
    assert!(level().await < Level::Replicated, "nobody knows who they are");
    let mut events = a.node.context.events.subscribe();
    let operator = OperatorId::from_bytes([7; 32]);
    let zone = |number: usize| format!("zone-{number}").parse::<Label>().unwrap();
    let site = |(number, key): (usize, &SecretKey)| {
        let site = Site { peer: key.peer_id(), operator, zone: zone(number), weight: 1 };
        (site, "region".parse().unwrap())
    };
    let atlas = Atlas::of(keys.iter().enumerate().map(site).collect(), 4, &[]);
    let standing = Standing::new(keys.iter().map(|key| (key.peer_id(), "zone", None)));
    a.node.count_in_ring(standing, Arc::new(atlas)).await.unwrap();
    assert!(matches!(events.try_recv(), Ok(Event::Ring)), "who waits looks again");
    assert!(level().await >= Level::Replicated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_with_nothing_in_it_is_joined() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, 1), start(&network, 2));
    let space = a.create_space().await;
    let ticket = a.invite(space).await;
    // Nothing is written that would stir either side while they greet each other.
    b.node.write(move |core, connection| core.join_space(connection, &ticket)).await.unwrap();
    let mut events = b.node.context.events.subscribe();
    let joined = tokio::time::timeout(PATIENCE, async {
        loop {
            let secrets = move |core: &mut Core, connection: &_| {
                core.with_space(connection, &space, |_core, space| Ok(space.secrets.is_some()))
            };
            if b.node.write(secrets).await.unwrap() {
                return;
            }
            events.recv().await.unwrap();
        }
    });
    assert!(joined.await.is_ok(), "the secrets of the space never came");
    a.tasks.end();
    b.tasks.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_travels_from_device_to_device() {
    let network = MemoryNetwork::new();
    let (a, b, stranger) = (start(&network, 1), start(&network, 2), start(&network, 3));
    let space = a.create_space().await;
    let content: Vec<u8> = (0..6_000_000_u32).flat_map(u32::to_le_bytes).take(6_000_000).collect();
    let pieces = stream::iter(content.chunks(64 * 1024).map(|piece| Ok(Bytes::copy_from_slice(piece))));
    let body = transfer::store(&a.node, space, ("photo".to_owned(), None), pieces).await.unwrap();
    a.put(space, "one", json!({"has": "photo"})).await;
    let ticket = a.invite(space).await;
    b.node.write(move |core, connection| core.join_space(connection, &ticket)).await.unwrap();
    b.wait_for(space, "one", json!({"has": "photo"})).await;

    let read = transfer::read(&b.node, space, body.clone(), 0..body.bytes).await.unwrap();
    let read: Vec<Bytes> = read.try_collect().await.unwrap();
    assert!(read.concat() == content, "the file is not the one that was stored");
    assert_eq!(a.node.metrics.chunks_shared.get(), body.chunks.len() as u64);

    // Whoever does not hold a session on the space gets nothing, whatever number is shown.
    let object = body.chunks[0].object;
    let (device, session) = b.node.sessions.devices(&space)[0];
    assert_eq!(device, a.node.net.local_peer());
    stranger.node.sessions.met(space, device, session);
    let refused = objects::fetch(&stranger.node, &space, object).await.unwrap_err();
    assert!(matches!(refused, objects::Error::NoGateway), "{refused:?}");
    assert_eq!(a.node.metrics.chunks_shared.get(), body.chunks.len() as u64);
    for each in [&a, &b, &stranger] {
        each.tasks.end();
    }
}
