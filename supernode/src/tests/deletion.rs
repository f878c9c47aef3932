//! Deletion: what nobody claims any more goes everywhere and is signed for; what somebody claims stays, whoever says what.

use std::time::Duration;

use cosmic_common::{
    hash,
    id::{ChannelId, EntryId, LogId, ObjectId, PeerId, SpaceId},
    record::Record as _,
    time::{HybridTime, Timestamp},
};
use cosmic_custody::{
    Deletion as Signed, Fate, Packed, Promise, Receipt, Removal,
    message::{
        care::{CareAnswer, CareRequest, Claim},
        refusal::RefusalCode,
    },
};
use cosmic_identity::signed::Signed as Envelope;
use cosmic_log::{chain::Draft, entry::Entry, kind::Kind};
use cosmic_runtime::clock::Clock;
use cosmic_space::genesis::Policy;
use cosmic_store::Span;

use super::{
    device::{Device, Link},
    world::{Supernode, World, eventually, key},
};
use crate::{
    care,
    config::Config,
    deletion,
    tables::{
        self, CLAIMANTS, CLAIMS, DELETIONS, DOOMS, KEPT, LEASES, MANIFESTS, PLACEMENTS, REMOVALS, SHARDS,
        TOMBSTONES, UNSETTLED,
    },
};

const FILES: ChannelId = ChannelId::from_bytes([1; 32]);
const NOTES: ChannelId = ChannelId::from_bytes([2; 32]);

/// Supernodes that look every second, and keep what nobody claims for `delay_secs`.
fn world(count: u8, delay_secs: u64, lease_secs: u64) -> World {
    let deletion = deletion::Config { delay_secs, lease_secs, look_every_secs: 1, ask_every_secs: 1 };
    let care = care::Config { ping_every_secs: 1, walk_every_secs: 1, ..care::Config::default() };
    World::with_clock(count, &Clock::system(), &Config { deletion, care, ..Config::default() })
}

/// A device with a session, and what it writes.
struct Author {
    device: Device,
    link: Link,
}

impl Author {
    async fn new(world: &World) -> Self {
        Self::with(world, Policy::default()).await
    }

    async fn with(world: &World, policy: Policy) -> Self {
        let mut device = Device::founder_with(&world.network, 50, policy);
        let gateway = world.replicas(&device.space)[0];
        let link = device.connect(&gateway.context.net).await.unwrap();
        Self { device, link }
    }

    fn space(&self) -> SpaceId {
        self.device.space
    }

    /// Writes an entry that all replicas keep.
    async fn write(&mut self, channel: ChannelId, draft: Draft) -> Entry {
        let opened = self.device.count(&channel);
        let body = if draft.kind.is_sealed() { b"sealed".to_vec() } else { Vec::new() };
        let entry = self.device.write_with(channel, draft, body);
        if opened == 0 {
            let opening = self.device.opening(&entry);
            self.link.pushed(&mut self.device, channel, &opening);
        }
        self.link.pushed(&mut self.device, channel, &entry);
        self.link.run(&mut self.device, |device| device.keepers(&entry, Promise::Keeps).len() == 3).await;
        entry
    }

    async fn claim(&mut self, objects: &[ObjectId]) -> EntryId {
        let draft = Draft::new(Kind::File, HybridTime::default());
        self.write(FILES, Draft { objects: objects.to_vec(), ..draft }).await.id()
    }

    async fn remove(&mut self, channel: ChannelId, target: EntryId) {
        let draft = Draft::new(Kind::Tombstone, HybridTime::default());
        self.write(channel, Draft { targets: vec![target], ..draft }).await;
    }
}

async fn put(world: &World, space: SpaceId, seed: u8) -> ObjectId {
    let bytes = vec![seed; 50_000];
    let object = ObjectId::from_bytes(*hash::plain(&bytes).as_bytes());
    let stored = world.supernodes[0].services.objects.put(space, object, bytes).await.unwrap();
    assert!(!stored.receipts.is_empty());
    object
}

fn shards(node: &Supernode, object: &ObjectId) -> usize {
    node.context.store.scan(&KEPT, &Span::prefix(object), usize::MAX).count()
}

fn holders(world: &World, object: &ObjectId) -> Vec<PeerId> {
    let keeps = |node: &&Supernode| shards(node, object) > 0;
    world.supernodes.iter().filter(keeps).map(Supernode::peer).collect()
}

/// Nothing of any object is left, in any table.
fn is_empty(node: &Supernode) -> bool {
    let store = &node.context.store;
    let totals = node.services.quotas.totals().unwrap();
    store.scan(&KEPT, &Span::all(), 1).next().is_none()
        && store.scan(&SHARDS, &Span::all(), 1).next().is_none()
        && store.scan(&MANIFESTS, &Span::all(), 1).next().is_none()
        && store.scan(&PLACEMENTS, &Span::all(), 1).next().is_none()
        && store.scan(&DOOMS, &Span::all(), 1).next().is_none()
        && (totals.objects, totals.shards, totals.shard_bytes) == (0, 0, 0)
}

/// Nothing is known any more of who claimed what.
fn has_forgotten(node: &Supernode) -> bool {
    let store = &node.context.store;
    store.scan(&REMOVALS, &Span::all(), 1).next().is_none()
        && store.scan(&CLAIMS, &Span::all(), 1).next().is_none()
        && store.scan(&CLAIMANTS, &Span::all(), 1).next().is_none()
        && store.scan(&TOMBSTONES, &Span::all(), 1).next().is_none()
        && store.scan(&UNSETTLED, &Span::all(), 1).next().is_none()
}

fn signed(node: &Supernode, object: &ObjectId) -> Vec<Signed> {
    let rows = node.context.store.scan(&DELETIONS, &Span::prefix(object), usize::MAX);
    rows.map(|row| Signed::open(&row.unwrap().1).unwrap()).collect()
}

/// A file is removed while one of its holders is away; when he comes back he removes his part too, and nobody gets it again.
async fn removed_while_one_is_away(count: u8) {
    let world = world(count, 2, 3600);
    let mut author = Author::new(&world).await;
    let object = put(&world, author.space(), 1).await;
    let before = holders(&world, &object);
    let entry = author.claim(&[object]).await;
    let replicas: Vec<PeerId> = world.replicas(&author.space()).iter().map(|node| node.peer()).collect();
    let gateway = world.supernodes[0].peer();
    // With three supernodes everybody is a replica: then the third one is away.
    let away =
        before.iter().find(|peer| !replicas.contains(peer) && **peer != gateway).unwrap_or(&replicas[2]);
    author.remove(FILES, entry).await;
    for node in world.supernodes.iter().filter(|node| node.peer() != *away) {
        world.network.cut(*away, node.peer());
    }
    let there = || world.supernodes.iter().filter(|node| node.peer() != *away);
    eventually("those who are there delete it", || async { there().all(is_empty).then_some(()) }).await;
    let replica = there().find(|node| replicas.contains(&node.peer())).unwrap();
    let row = replica.context.store.get(&REMOVALS, &(author.space(), object)).unwrap().unwrap();
    assert_eq!(row.silent, 1, "it is not forgotten that one did not answer");
    let gone = world.supernodes.iter().find(|node| node.peer() == *away).unwrap();
    assert!(shards(gone, &object) > 0);
    for node in there() {
        world.network.heal(*away, node.peer());
    }
    eventually("it goes everywhere", || async { world.supernodes.iter().all(is_empty).then_some(()) }).await;
    for replica in world.replicas(&author.space()) {
        eventually("the replica is done", || async { has_forgotten(replica).then_some(()) }).await;
        let mut known: Vec<PeerId> = signed(replica, &object).iter().map(|signed| signed.holder).collect();
        known.sort_unstable();
        let mut before = before.clone();
        before.sort_unstable();
        assert_eq!(known, before, "everybody who had a part has signed");
        assert!(signed(replica, &object).iter().all(|signed| !signed.shards.is_empty()));
        let told = replica.services.care.deletion().receipts(object).unwrap();
        assert_eq!(told["receipts"].as_array().unwrap().len(), before.len());
    }
    assert!(world.supernodes.iter().all(is_empty), "and comes back nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_goes_everywhere_and_everybody_signs() {
    removed_while_one_is_away(7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_copy_that_was_away_does_not_come_back_to_the_others() {
    removed_while_one_is_away(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_entry_claims_stays() {
    let world = world(6, 0, 3600);
    let mut author = Author::new(&world).await;
    let space = author.space();
    let [shared, alone, other] =
        [put(&world, space, 1).await, put(&world, space, 2).await, put(&world, space, 3).await];
    let first = author.claim(&[shared, alone]).await;
    author.claim(&[shared]).await;
    let third = author.claim(&[other]).await;
    // A tombstone removes entries of its own channel only: the right to write there is all that was checked.
    author.remove(NOTES, third).await;
    author.remove(FILES, first).await;
    eventually("what nobody claims goes", || async { holders(&world, &alone).is_empty().then_some(()) })
        .await;
    assert_eq!((holders(&world, &shared).len(), holders(&world, &other).len()), (6, 6));
    for node in &world.supernodes {
        let usage = tables::usage(&node.context.store, &space).unwrap();
        assert_eq!(usage.shards, 2, "what goes is not charged any more");
    }
    let replica = world.replicas(&space)[0];
    let request = CareRequest::Claims { space, objects: vec![shared, other, alone], overdue: false };
    let answer = replica.services.care.deletion().answer(request).await.unwrap();
    let Some(CareAnswer::Claimed(claims)) = answer else { panic!("{answer:?}") };
    assert_eq!(claims[..2], [Claim::Claimed, Claim::Claimed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_came_first_and_one_of_a_stranger() {
    let world = world(6, 0, 3600);
    let mut author = Author::new(&world).await;
    let space = author.space();
    let object = put(&world, space, 1).await;
    // The entry is made, and held back until its tombstone is everywhere.
    let draft = Draft { objects: vec![object], ..Draft::new(Kind::File, HybridTime::default()) };
    let held_back = author.device.write_with(NOTES, draft, b"sealed".to_vec());
    assert!(author.device.keepers(&held_back, Promise::Keeps).is_empty());
    let mut stranger = Device::member(&world.network, 60, space, key(60), None);
    assert!(
        stranger.connect(&world.replicas(&space)[0].context.net).await.is_err(),
        "who is no member brings nothing"
    );
    let early = Draft { targets: vec![held_back.id()], ..Draft::new(Kind::Tombstone, HybridTime::default()) };
    let tombstone = author.device.write_with(NOTES, early, Vec::new());
    let opening = author.device.opening(&held_back);
    for entry in [&opening, &held_back, &tombstone] {
        author.link.pushed(&mut author.device, NOTES, entry);
    }
    author.link.run(&mut author.device, |device| device.keepers(&tombstone, Promise::Keeps).len() == 3).await;
    eventually("it goes", || async { holders(&world, &object).is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_claims_goes_when_its_lease_is_over() {
    let world = world(6, 0, 2);
    let mut author = Author::new(&world).await;
    let space = author.space();
    let (claimed, forgotten) = (put(&world, space, 1).await, put(&world, space, 2).await);
    author.claim(&[claimed]).await;
    eventually("it goes", || async { holders(&world, &forgotten).is_empty().then_some(()) }).await;
    eventually("the other needs no lease any more", || async {
        let lease = |node: &Supernode| {
            let rows = node.context.store.scan(&LEASES, &Span::all(), usize::MAX);
            rows.map(Result::unwrap).any(|((_until, object), _space)| object == claimed)
        };
        (!world.supernodes.iter().any(lease)).then_some(())
    })
    .await;
    assert_eq!(holders(&world, &claimed).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_that_keeps_what_was_removed_is_obeyed() {
    let world = world(6, 0, 3600);
    let policy = Policy { retention_secs: Some(100_000), ..Policy::default() };
    let mut author = Author::with(&world, policy).await;
    let object = put(&world, author.space(), 1).await;
    let entry = author.claim(&[object]).await;
    let before = world.supernodes[0].context.clock.now();
    author.remove(FILES, entry).await;
    for node in &world.supernodes {
        let at = eventually("it is doomed", || async {
            let doom = node.context.store.get(&DOOMS, &object).unwrap()?;
            match doom.fate(node.context.clock.now(), Duration::ZERO) {
                Fate::Doomed { at } => Some(at),
                Fate::Kept | Fate::Gone => None,
            }
        })
        .await;
        assert!(at.since(before) >= Duration::from_secs(100_000), "as long as the space says");
    }
    assert_eq!(holders(&world, &object).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_again_while_it_waits_stays() {
    let world = world(6, 3600, 3600);
    let mut author = Author::new(&world).await;
    let space = author.space();
    let object = put(&world, space, 1).await;
    let entry = author.claim(&[object]).await;
    author.remove(FILES, entry).await;
    let doomed = |node: &Supernode| node.services.shards.keeper().is_doomed(&object);
    eventually("everybody dooms it", || async { world.supernodes.iter().all(doomed).then_some(()) }).await;
    let objects = &world.supernodes[0].services.objects;
    let found = objects.whereabouts(&author.device.space, object).await.unwrap();
    let promises = found.receipts.iter().map(|receipt| Receipt::open(receipt).unwrap().promise);
    assert!(promises.into_iter().all(|promise| promise == Promise::Forwards), "nothing is promised any more");
    let placements = |node: &Supernode| node.services.shards.keeper().placement(&object).unwrap();
    assert!(world.supernodes.iter().all(|node| placements(node).is_none()), "it has to be sent again");
    author.claim(&[object]).await;
    assert!(
        objects.stored(space, object).await.unwrap().is_some(),
        "made safe from the shards that are there"
    );
    assert!(!world.supernodes.iter().any(doomed));
    for replica in world.replicas(&space) {
        eventually("the removal is withdrawn", || async {
            replica.context.store.get(&REMOVALS, &(space, object)).unwrap().is_none().then_some(())
        })
        .await;
    }
    assert_eq!(holders(&world, &object).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_removal_is_refused_and_one_replica_removes_nothing() {
    let world = world(7, 0, 3600);
    let mut author = Author::new(&world).await;
    let space = author.space();
    let object = put(&world, space, 1).await;
    author.claim(&[object]).await;
    let holder = world.supernodes.iter().find(|node| shards(node, &object) > 0).unwrap();
    let replicas = world.replicas(&space);
    let replica = replicas.iter().find(|replica| replica.peer() != holder.peer()).unwrap();
    let asking = world.supernodes.iter().find(|node| node.peer() != holder.peer()).unwrap();
    let now = || replica.context.clock.now();
    let removal = |of: &Supernode, space: SpaceId, time: Timestamp| Removal {
        space,
        object,
        replica: of.peer(),
        time,
        retained_until: time,
    };
    let ask = async |removals: Vec<Vec<u8>>| {
        asking.services.care.ask(holder.peer(), &CareRequest::Remove(removals)).await
    };
    let refused = async |bytes: Vec<u8>, code: RefusalCode| {
        let answer = ask(vec![bytes]).await;
        let Err(care::Error::Refused(refusal)) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code, code, "{refusal}");
    };
    let forged = Envelope::sign(removal(replica, space, now()), &asking.context.key).to_bytes();
    if asking.peer() != replica.peer() {
        refused(forged, RefusalCode::NotAuthorised).await;
    }
    refused(b"nonsense".to_vec(), RefusalCode::NotAuthorised).await;
    let stranger = world.stranger(&space);
    let sign = |of: &Supernode, space: SpaceId| {
        Envelope::sign(removal(of, space, now()), &of.context.key).to_bytes()
    };
    refused(sign(stranger, space), RefusalCode::NotResponsible).await;
    let other_space = (1..=u8::MAX)
        .map(|n| SpaceId::from_bytes([n; 32]))
        .find(|other| world.replicas(other).iter().any(|node| node.peer() == replica.peer()))
        .unwrap();
    refused(sign(replica, other_space), RefusalCode::NotAuthorised).await;
    let status = holder.services.care.deletion().status().unwrap();
    assert_eq!(status["refused"].as_u64(), Some(if asking.peer() == replica.peer() { 3 } else { 4 }));
    for _ in 0..3 {
        let answer = ask(vec![sign(replica, space)]).await.unwrap();
        assert_eq!(answer, CareAnswer::Removing(Vec::new()), "one replica, however often");
    }
    assert!(shards(holder, &object) > 0);
    let kept = holder.services.shards.keeper().which(&object).unwrap().receipts;
    assert!(kept.iter().all(|receipt| Receipt::open(receipt).unwrap().promise == Promise::Keeps));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_entries_from_before_there_were_claims_are_learnt() {
    let world = world(6, 3600, 3600);
    let mut author = Author::new(&world).await;
    let space = author.space();
    let object = put(&world, space, 1).await;
    let entry = author.claim(&[object]).await;
    author.remove(FILES, entry).await;
    let replica = world.replicas(&space)[0];
    let store = &replica.context.store;
    eventually("it is settled", || async {
        store.scan(&UNSETTLED, &Span::all(), 1).next().is_none().then_some(())
    })
    .await;
    let claims = || -> Vec<_> { store.scan(&CLAIMS, &Span::all(), usize::MAX).map(Result::unwrap).collect() };
    let tombstones =
        || -> Vec<_> { store.scan(&TOMBSTONES, &Span::all(), usize::MAX).map(Result::unwrap).collect() };
    let before = (claims(), tombstones());
    assert_eq!((before.0.len(), before.1.len()), (1, 1));
    let mut batch = store.batch();
    batch.delete_span(&CLAIMS, &Span::all()).delete_span(&CLAIMANTS, &Span::all());
    batch.delete_span(&TOMBSTONES, &Span::all());
    store.commit(batch).await.unwrap();
    deletion::learn_from_old_entries(store, replica.spaces.reader()).await.unwrap();
    assert_eq!((claims(), tombstones()), before);
    assert!(store.contains(&CLAIMANTS, &(space, entry, object)).unwrap());
    assert!(store.scan(&UNSETTLED, &Span::all(), 1).next().is_some(), "and are looked at again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_one_replica_has_noted_is_not_removed_by_the_others() {
    let world = world(6, 0, 2);
    let mut author = Author::new(&world).await;
    let space = author.space();
    let (pack, forgotten) = (put(&world, space, 1).await, put(&world, space, 2).await);
    author.claim(&[]).await;
    let replicas = world.replicas(&space);
    let mut batch = replicas[0].context.store.batch();
    let packed = Packed { log: LogId::from_bytes([3; 32]), from: 0, to: 1, object: pack };
    deletion::note_pack(&mut batch, space, &packed);
    replicas[0].context.store.commit(batch).await.unwrap();
    eventually("what nobody knows goes", || async { holders(&world, &forgotten).is_empty().then_some(()) })
        .await;
    let asked = |node: &&Supernode| {
        let row = node.context.store.get(&REMOVALS, &(space, pack)).unwrap();
        row.is_some_and(|row| row.tries > 0)
    };
    eventually("the others have tried", || async { replicas[1..].iter().all(asked).then_some(()) }).await;
    assert_eq!(holders(&world, &pack).len(), 6);
    assert!(!world.supernodes.iter().any(|node| node.services.shards.keeper().is_doomed(&pack)));
}
