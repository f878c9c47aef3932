//! Covers: bodies that a snapshot replaces leave the replicas with their packs; headers stay, and everybody stays in step.

use cosmic_common::{
    id::{ChannelId, EntryId, LogId, ObjectId},
    record::Record as _,
    time::HybridTime,
};
use cosmic_custody::{Promise, message::refusal::RefusalCode, retire::Stage};
use cosmic_log::{chain::Draft, entry::Entry, kind::Kind};
use cosmic_runtime::clock::Clock;
use cosmic_space::{
    delegation::{Bearer, Caveats, Delegation},
    genesis::{Policy, membership_channel},
    record::{AcknowledgementRecord, MembershipRecord},
    rights::{Channels, Role},
};
use cosmic_store::Span;
use cosmic_sync::message::Frame;

use super::{
    accounts::walked,
    device::{Device, Link},
    scrub::{quick, rested, scrub},
    world::{Supernode, World, eventually, key},
};
use crate::{
    care,
    config::Config,
    deletion, moves, packs,
    quota::{Totals, by_space},
    spaces::Origin,
    tables::{ACKNOWLEDGED, BODIES, ENTRIES, KEPT, PACKED, PACKS, REPLACED, SNAPSHOTS, TAILS},
};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);
const EDITOR: u8 = 99;
const BODY: usize = 1000;

/// Supernodes that look every second, and keep what is replaced for `delay_secs`.
fn world(count: u8, free_after_secs: u64, delay_secs: u64) -> World {
    let packs = packs::Config {
        look_every_secs: 1,
        idle_after_secs: 0,
        idle_bytes: 1,
        free_after_secs,
        ..packs::Config::default()
    };
    let deletion =
        deletion::Config { delay_secs, look_every_secs: 1, ask_every_secs: 1, ..deletion::Config::default() };
    let care = care::Config { ping_every_secs: 1, walk_every_secs: 1, ..care::Config::default() };
    let moves = moves::Config { look_every_secs: 1, free_after_secs: 2, drain_secs: 2 };
    World::with_clock(count, &Clock::system(), &Config { packs, deletion, care, moves, ..Config::default() })
}

/// Two devices of one space, both with a session.
struct Pair {
    founder: (Device, Link),
    editor: (Device, Link),
}

impl Pair {
    async fn new(world: &World) -> Self {
        Self::with(world, Policy::default()).await
    }

    async fn with(world: &World, policy: Policy) -> Self {
        let mut founder = Device::founder_with(&world.network, 50, policy);
        let membership = membership_channel(&founder.space);
        let delegation = Delegation {
            space: founder.space,
            rights: Role::Editor.rights(),
            channels: Channels::All,
            audience: key(EDITOR).writer_id(),
            bearer: Bearer::Member,
            kem_hash: None,
            caveats: Caveats::default(),
            parent: None,
        };
        let record = MembershipRecord::Delegation(delegation).to_bytes();
        let invited = founder.write(membership, Kind::Membership, record);
        let gateway = world.replicas(&founder.space)[0];
        let mut link = founder.connect(&gateway.context.net).await.unwrap();
        link.run(&mut founder, |device| device.keepers(&invited, Promise::Keeps).len() == 3).await;
        let far = world.stranger(&founder.space);
        let mut editor = Device::member(&world.network, 51, founder.space, key(EDITOR), Some(invited.id()));
        let there = editor.connect(&far.context.net).await.unwrap();
        Self { founder: (founder, link), editor: (editor, there) }
    }
}

/// Writes an entry that all replicas keep.
async fn write((device, link): &mut (Device, Link), draft: Draft, body: Vec<u8>) -> Entry {
    let before = device.entries(&NOTES).len();
    let entry = device.write_with(NOTES, draft, body);
    if device.entries(&NOTES).len() > before + 1 {
        let opening = device.opening(&entry);
        link.pushed(device, NOTES, &opening);
    }
    link.pushed(device, NOTES, &entry);
    link.run(device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
    assert!(link.ended.is_none(), "the session goes on: {:?}, {:?}", link.ended, link.last);
    entry
}

async fn change(author: &mut (Device, Link), byte: u8) -> Entry {
    write(author, Draft::new(Kind::Change, HybridTime::default()), vec![byte; BODY]).await
}

async fn snapshot(author: &mut (Device, Link), covers: &[Entry]) -> EntryId {
    let covers = covers.iter().map(Entry::id).collect();
    let draft = Draft { covers, ..Draft::new(Kind::Snapshot, HybridTime::default()) };
    write(author, draft, b"the same in short".to_vec()).await.id()
}

async fn acknowledge(author: &mut (Device, Link), snapshot: EntryId) {
    let body = AcknowledgementRecord { snapshots: vec![snapshot] }.to_bytes();
    write(author, Draft::new(Kind::Acknowledgement, HybridTime::default()), body).await;
}

fn totals(node: &Supernode, device: &Device) -> Totals {
    by_space(&node.context.store).unwrap().remove(&device.space).unwrap_or_default()
}

/// Places of a log that lie in the table, and whether their bodies do.
fn bodies(node: &Supernode, log: LogId) -> Vec<(u64, bool)> {
    let rows = node.context.store.scan(&ENTRIES, &Span::prefix(&log), usize::MAX);
    let row = |row: Result<((LogId, u64), _), _>| {
        let ((_, seq), bytes): (_, bytes::Bytes) = row.unwrap();
        (seq, Entry::from_bytes(&bytes).unwrap().body().is_some())
    };
    rows.map(row).collect()
}

/// Waits until every replica has packed all of a log that it has.
async fn packed(world: &World, device: &Device, log: LogId) -> Vec<ObjectId> {
    let mut objects = Vec::new();
    for replica in world.replicas(&device.space) {
        eventually("the log is packed", || async {
            let store = &replica.context.store;
            store.get(&TAILS, &(device.space, log)).unwrap().is_none().then_some(())
        })
        .await;
        let rows = replica.context.store.scan(&PACKS, &Span::prefix(&(device.space, log)), usize::MAX);
        objects.extend(rows.map(|row| row.unwrap().1.1));
    }
    objects.sort_unstable();
    objects.dedup();
    objects
}

/// Waits until these packs are nowhere any more.
async fn gone_everywhere(world: &World, device: &Device, objects: &[ObjectId]) {
    for node in &world.supernodes {
        for object in objects {
            eventually("packs that nobody needs are gone everywhere", || async {
                let store = &node.context.store;
                let claimed = store.contains(&PACKED, &(device.space, *object)).unwrap();
                let left = store.scan(&KEPT, &Span::prefix(object), 1).next();
                (left.is_none() && !claimed).then_some(())
            })
            .await;
        }
    }
}

/// Waits until the counters of every supernode are what a walk finds: something may be on its way still.
async fn counters_are_exact(world: &World) {
    for node in &world.supernodes {
        eventually("the counters are what a walk finds", || async {
            let plain = |used: Totals| Totals { dropped_bodies: 0, dropped_bytes: 0, ..used };
            let counted = by_space(&node.context.store).unwrap();
            let counted = counted.into_iter().map(|(space, used)| (space, plain(used)));
            let is_used = |(_, used): &(_, Totals)| *used != Totals { spaces: 1, ..Totals::default() };
            counted.filter(is_used).eq(walked(&node.context.store)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_bodies_go_with_their_packs_and_everybody_stays_in_step() {
    let world = world(6, 0, 1);
    let mut pair = Pair::new(&world).await;
    let mut first = Vec::new();
    for byte in 0..12 {
        first.push(change(&mut pair.founder, byte).await);
    }
    let log = first[0].core().log;
    let objects = packed(&world, &pair.founder.0, log).await;
    // Another run writes what nobody but its own device says is replaced.
    pair.founder.0.restart(NOTES, 7);
    let mut second = Vec::new();
    for byte in 0..4 {
        second.push(change(&mut pair.founder, byte).await);
    }
    let kept = second[0].core().log;
    packed(&world, &pair.founder.0, kept).await;
    let lonely = snapshot(&mut pair.editor, &second).await;
    let good = snapshot(&mut pair.editor, &first).await;
    acknowledge(&mut pair.editor, lonely).await;
    acknowledge(&mut pair.founder, good).await;

    for replica in world.replicas(&pair.founder.0.space) {
        let (device, store) = (&pair.founder.0, &replica.context.store);
        eventually("the bodies go", || async {
            let dropped = totals(replica, device);
            (dropped.dropped_bodies == 12 && dropped.dropped_bytes == 12 * BODY as u64).then_some(())
        })
        .await;
        let expected: Vec<(u64, bool)> = (0..13).map(|seq| (seq, seq == 0)).collect();
        assert_eq!(bodies(replica, log), expected, "headers stay, and what opens the log");
        assert!(store.scan(&PACKS, &Span::prefix(&(device.space, log)), 1).next().is_none());
        assert!(store.scan(&REPLACED, &Span::prefix(&device.space), 1).next().is_none());
        assert!(store.get(&SNAPSHOTS, &(device.space, good)).unwrap().is_none());
        assert!(
            store.get(&SNAPSHOTS, &(device.space, lonely)).unwrap().is_some(),
            "one device's word is not enough"
        );
        let voices = store.scan(&ACKNOWLEDGED, &Span::prefix(&(device.space, lonely)), 9).count();
        assert_eq!(voices, 1, "its own");
        assert!(bodies(replica, kept).iter().all(|(_, there)| *there), "and nothing it covers goes");
        assert!(store.scan(&PACKS, &Span::prefix(&(device.space, kept)), 1).next().is_some());
        assert_eq!(totals(replica, device).dropped_bodies, 12);
    }
    gone_everywhere(&world, &pair.founder.0, &objects).await;
    counters_are_exact(&world).await;

    // Who comes later gets headers for what was replaced, and is in step.
    let space = pair.founder.0.space;
    let mut late = Device::member(&world.network, 52, space, key(50 ^ 0x80), None);
    let mut link = late.connect(&world.replicas(&space)[1].context.net).await.unwrap();
    let count = pair.founder.0.count(&NOTES).max(pair.editor.0.count(&NOTES));
    link.run(&mut late, |late| late.count(&NOTES) >= count && late.equal > 0).await;
    let there = late.entries(&NOTES);
    let find = |id: EntryId| there.iter().find(|entry| entry.id() == id).unwrap();
    assert!(first.iter().all(|entry| find(entry.id()).body().is_none()));
    assert!(second.iter().all(|entry| find(entry.id()).body().is_some()));
    assert!(find(good).body().is_some());

    // Who has the bodies still brings none of them back, and is in step too.
    let equal = pair.founder.0.equal;
    let more = change(&mut pair.founder, 77).await;
    let (device, link) = &mut pair.founder;
    link.run(device, |device| device.equal > equal).await;
    assert!(device.entries(&NOTES).iter().any(|entry| entry.id() == more.id()));
    for replica in world.replicas(&space) {
        assert!(bodies(replica, log).iter().all(|(seq, there)| *there == (*seq == 0)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_stays_whole_as_long_as_something_in_it_is_needed() {
    let world = world(6, 3600, 0);
    let mut pair = Pair::new(&world).await;
    let mut written = Vec::new();
    for byte in 0..6 {
        written.push(change(&mut pair.founder, byte).await);
    }
    let log = written[0].core().log;
    let needed = written.pop().unwrap();
    packed(&world, &pair.founder.0, log).await;
    let good = snapshot(&mut pair.editor, &written).await;
    acknowledge(&mut pair.founder, good).await;
    let replicas = world.replicas(&pair.founder.0.space);
    for replica in &replicas {
        let store = &replica.context.store;
        eventually("the snapshot counts", || async {
            store.get(&SNAPSHOTS, &(pair.founder.0.space, good)).unwrap().is_none().then_some(())
        })
        .await;
    }
    // The rest is replaced too: now they go, and not before.
    let rest = snapshot(&mut pair.editor, &[needed]).await;
    for replica in &replicas {
        assert_eq!(totals(replica, &pair.founder.0).dropped_bodies, 0);
    }
    acknowledge(&mut pair.founder, rest).await;
    for replica in &replicas {
        let device = &pair.founder.0;
        eventually("all bodies go", || async { (totals(replica, device).dropped_bodies == 6).then_some(()) })
            .await;
        // The entries were not freed yet: what the table held of them shrank in the same batch.
        let plain = Totals { dropped_bodies: 0, dropped_bytes: 0, ..totals(replica, device) };
        let found = walked(&replica.context.store).remove(&device.space).unwrap();
        assert_eq!((plain.entries, plain.entry_bytes), (found.entries, found.entry_bytes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_replica_takes_the_headers_and_who_leaves_keeps_nothing() {
    let world = world(7, 0, 0);
    let mut pair = Pair::new(&world).await;
    let mut written = Vec::new();
    for byte in 0..6 {
        written.push(change(&mut pair.founder, byte).await);
    }
    let (space, log) = (pair.founder.0.space, written[0].core().log);
    let objects = packed(&world, &pair.founder.0, log).await;
    let good = snapshot(&mut pair.editor, &written).await;
    acknowledge(&mut pair.founder, good).await;
    let before = world.replicas(&space);
    for replica in &before {
        let device = &pair.founder.0;
        eventually("the bodies go", || async { (totals(replica, device).dropped_bodies == 6).then_some(()) })
            .await;
    }
    gone_everywhere(&world, &pair.founder.0, &objects).await;
    let leaving = before[2];
    let place = world.supernodes.iter().position(|node| node.peer() == leaving.peer()).unwrap();
    world.retire(u8::try_from(place).unwrap() + 1);
    let stays = |peer| before.iter().any(|node| node.peer() == peer);
    let new = world.replicas(&space).into_iter().find(|node| !stays(node.peer())).unwrap();
    eventually("the new replica has the headers, and the snapshot", || async {
        let there = bodies(new, log);
        let is_right = there.len() >= 7 && there.iter().take(7).all(|(seq, body)| *body == (*seq == 0));
        let has = new.context.store.contains(&SNAPSHOTS, &(space, good)).unwrap();
        let voices = new.context.store.scan(&ACKNOWLEDGED, &Span::prefix(&(space, good)), 9).count();
        (is_right && has && voices == 1).then_some(())
    })
    .await;
    eventually("nothing is left where it was", || async {
        matches!(leaving.services.leaving.stage(), Stage::Empty { .. }).then_some(())
    })
    .await;
    let store = &leaving.context.store;
    let left = [
        store.scan(&BODIES, &Span::all(), 9).count(),
        store.scan(&SNAPSHOTS, &Span::all(), 9).count(),
        store.scan(&ACKNOWLEDGED, &Span::all(), 9).count(),
        store.scan(&REPLACED, &Span::all(), 9).count(),
        store.scan(&ENTRIES, &Span::all(), 9).count(),
    ];
    assert_eq!(left, [0; 5]);
    assert_eq!(totals(leaving, &pair.founder.0), Totals { spaces: 1, ..Totals::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_body_is_no_damage_and_headers_are_healed_as_headers() {
    let world = world(6, 0, 0);
    let mut pair = Pair::new(&world).await;
    let mut written = Vec::new();
    for byte in 0..6 {
        written.push(change(&mut pair.founder, byte).await);
    }
    let log = written[0].core().log;
    let objects = packed(&world, &pair.founder.0, log).await;
    let good = snapshot(&mut pair.editor, &written).await;
    acknowledge(&mut pair.founder, good).await;
    gone_everywhere(&world, &pair.founder.0, &objects).await;
    let replica = world.replicas(&pair.founder.0.space)[1];
    let store = &replica.context.store;
    let before = bodies(replica, log);
    assert!(before.iter().take(7).all(|(seq, body)| *body == (*seq == 0)));
    let mut batch = store.batch();
    let mut wrong = store.get(&ENTRIES, &(log, 2)).unwrap().unwrap().to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    batch.put_slice(&ENTRIES, &(log, 2), &wrong);
    batch.delete(&ENTRIES, &(log, 3));
    store.commit(batch).await.unwrap();
    let status = rested(&scrub(replica, quick())).await;
    assert_eq!((status.found, status.healed), (2, 2), "what was damaged, and no other: {:?}", status.open);
    assert_eq!(bodies(replica, log), before);
    counters_are_exact(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_retention_of_the_space_keeps_what_is_replaced() {
    const RETENTION_SECS: u64 = 3600;
    let world = world(6, 0, 0);
    let policy = Policy { retention_secs: Some(RETENTION_SECS), ..Policy::default() };
    let mut pair = Pair::with(&world, policy).await;
    let written = [change(&mut pair.founder, 1).await, change(&mut pair.founder, 2).await];
    let good = snapshot(&mut pair.editor, &written).await;
    acknowledge(&mut pair.founder, good).await;
    let space = pair.founder.0.space;
    for replica in world.replicas(&space) {
        let store = &replica.context.store;
        let (since, next) = eventually("the snapshot counts, and waits", || async {
            let row = store.get(&SNAPSHOTS, &(space, good)).unwrap().unwrap();
            row.since.map(|since| (since, row.next))
        })
        .await;
        assert_eq!(next, since.after(std::time::Duration::from_secs(RETENTION_SECS)));
        assert!(store.scan(&REPLACED, &Span::prefix(&space), 1).next().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_cannot_leave_a_body_out() {
    let world = world(6, 3600, 3600);
    let mut pair = Pair::new(&world).await;
    let entry = change(&mut pair.founder, 1).await;
    for node in [world.replicas(&pair.founder.0.space)[0], world.stranger(&pair.founder.0.space)] {
        let space = node.spaces.get(pair.founder.0.space).unwrap();
        let next = pair.founder.0.write(NOTES, Kind::Change, vec![2; BODY]);
        let bare = Frame::from(next.clone().without_body().as_bytes());
        for origin in [Origin::Session(1), Origin::Supernode(key(77).peer_id())] {
            let appended = space.append(vec![bare.clone().into()], origin).await.unwrap();
            let code = appended.stopped[0].1.code;
            assert_eq!(code, RefusalCode::Gap);
            assert!(appended.invalid.is_none(), "the session may go on");
        }
        // Whoever has the body may bring it.
        let (device, link) = &mut pair.founder;
        link.pushed(device, NOTES, &next);
        link.run(device, |device| device.keepers(&next, Promise::Keeps).len() == 3).await;
    }
    for replica in world.replicas(&pair.founder.0.space) {
        assert!(bodies(replica, entry.core().log).iter().all(|(_, there)| *there));
    }
}
