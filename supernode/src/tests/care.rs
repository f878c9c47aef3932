//! Healing: supernodes fall silent, and what they kept is made again by those who are left.

use std::time::Duration;

use cosmic_common::{
    hash,
    id::{ObjectId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_custody::message::shard::Indices;
use cosmic_runtime::clock::{Clock, Hand};
use serde_json::Value;

use super::world::{Supernode, World, eventually};
use crate::{
    care::{self, Throttle},
    config::Config,
    tables::{KEPT, MANIFESTS, SHARDS},
};

pub(super) const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
const MINUTE: Duration = Duration::from_mins(1);

/// Supernodes by a clock that this test moves.
pub(super) struct Healing {
    pub(super) world: World,
    hand: Hand,
    dead: Vec<PeerId>,
}

impl Healing {
    pub(super) fn new(count: u8) -> Self {
        let care = care::Config { walk_every_secs: 30 * 60, ..care::Config::default() };
        let config = Config { care, ..Config::default() };
        let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(1_800_000_000_000));
        Self { world: World::with_clock(count, &clock, &config), hand, dead: Vec::new() }
    }

    pub(super) fn living(&self) -> impl Iterator<Item = &Supernode> {
        self.world.supernodes.iter().filter(|node| !self.dead.contains(&node.peer()))
    }

    pub(super) async fn put(&self, gateway: usize, seed: u8) -> (ObjectId, Vec<u8>) {
        let bytes = vec![seed; 50_000];
        let object = ObjectId::from_bytes(*hash::plain(&bytes).as_bytes());
        let stored = self.world.supernodes[gateway].services.objects.put(SPACE, object, bytes.clone()).await;
        assert_eq!(stored.unwrap().receipts.len(), 6);
        (object, bytes)
    }

    pub(super) fn kill(&mut self, peer: PeerId) {
        self.world.network.leave(peer);
        self.dead.push(peer);
    }

    /// Lets time pass, minute by minute, each when all that live have heard each other.
    pub(super) async fn pass(&self, time: Duration) {
        let minutes = time.as_secs() / 60;
        for _ in 0..minutes {
            self.hand.advance(MINUTE);
            let now = self.living().next().unwrap().context.clock.now();
            eventually("hearing each other", || async {
                let heard = |node: &Supernode| {
                    self.living().all(|other| {
                        let status = node.services.care.status();
                        let members = status["members"].as_array().unwrap().clone();
                        let of = |member: &Value| member["peer"] == serde_json::json!(other.peer());
                        other.peer() == node.peer()
                            || members.iter().find(|member| of(member)).is_none_or(|member| {
                                member["heard"].as_u64().unwrap() + 5 * 60_000 >= now.unix_ms()
                            })
                    })
                };
                self.living().all(heard).then_some(())
            })
            .await;
        }
    }

    /// Lets time pass by seconds until something has come about.
    pub(super) async fn until<T>(&self, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
        eventually(what, || {
            self.hand.advance(Duration::from_millis(250));
            let found = probe();
            async move { found }
        })
        .await
    }

    pub(super) fn indices(&self, object: &ObjectId) -> Indices {
        let own = |node: &Supernode| node.services.shards.keeper().surveyed(object).unwrap().own;
        self.living().flat_map(|node| own(node).iter().collect::<Vec<_>>()).collect()
    }

    pub(super) fn holder(&self, object: &ObjectId) -> PeerId {
        let holds =
            |node: &&Supernode| !node.services.shards.keeper().surveyed(object).unwrap().own.is_empty();
        self.living().find(holds).unwrap().peer()
    }

    fn mended(&self) -> u64 {
        self.living().map(|node| node.services.care.status()["objects_mended"].as_u64().unwrap()).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_the_dead_are_made_again_after_four_hours_and_not_before() {
    let mut healing = Healing::new(7);
    let (object, bytes) = healing.put(0, 1).await;
    let dead = healing.holder(&object);
    healing.kill(dead);
    assert_eq!(healing.indices(&object).len(), 5);
    healing.pass(Duration::from_mins(230)).await;
    assert_eq!(healing.indices(&object).len(), 5, "it may come back");
    healing.pass(Duration::from_mins(11)).await;
    healing.until("mending", || (healing.indices(&object).len() == 6).then_some(())).await;
    // It is counted when the record is written, a moment after the shard is there.
    healing.until("counting it", || (healing.mended() > 0).then_some(())).await;
    assert_eq!(healing.mended(), 1, "one mends, the others see that it is done");
    // The record says where the new shard is, and the object reads with three more of them gone.
    healing
        .until("recording the new place", || {
            let placement = |node: &Supernode| node.services.shards.keeper().placement(&object).unwrap();
            let records: Vec<_> = healing.living().filter_map(placement).collect();
            let is_right = |record: &cosmic_custody::Placement| {
                record.holders.len() == 6 && record.holders.values().all(|holding| holding.peer != dead)
            };
            (!records.is_empty() && records.iter().all(is_right)).then_some(())
        })
        .await;
    for _ in 0..3 {
        let next = healing.holder(&object);
        healing.kill(next);
    }
    let reader = healing.living().next().unwrap();
    assert!(reader.services.objects.get(SPACE, object).await.unwrap().into_vec() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_lost_without_knowing_is_found_by_comparing() {
    let healing = Healing::new(6);
    let (object, _bytes) = healing.put(0, 2).await;
    let holder = healing.holder(&object);
    let store = &healing.world.supernodes.iter().find(|node| node.peer() == holder).unwrap().context.store;
    let mut batch = store.batch();
    for index in 0..6 {
        batch.delete(&KEPT, &(object, index)).delete(&SHARDS, &(object, index));
    }
    batch.delete(&MANIFESTS, &object);
    store.commit(batch).await.unwrap();
    assert_eq!(healing.indices(&object).len(), 5);
    healing.pass(Duration::from_mins(31)).await;
    healing.until("mending", || (healing.indices(&object).len() == 6).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_an_empty_budget_hold_repairs_back_and_say_so() {
    let mut healing = Healing::new(7);
    let (object, _bytes) = healing.put(0, 3).await;
    for node in &healing.world.supernodes {
        node.services.care.pause();
    }
    healing.kill(healing.holder(&object));
    healing.pass(Duration::from_mins(250)).await;
    let reasons = |healing: &Healing| -> Vec<String> {
        let status = healing.living().map(|node| node.services.care.status());
        let items = status.flat_map(|status| status["items"].as_array().unwrap().clone());
        items.map(|item| item["reason"].as_str().unwrap().to_owned()).collect()
    };
    let waits = |reason: &str| reasons(&healing).iter().any(|one| one == reason).then_some(());
    healing.until("waiting for the pause", || waits("paused")).await;
    let nothing = Throttle { uplink_bytes_per_sec: Some(0), ..Throttle::default() };
    for node in healing.living() {
        node.services.care.throttle(nothing);
        node.services.care.resume();
    }
    healing.until("waiting for the budget", || waits("budget")).await;
    assert_eq!(healing.indices(&object).len(), 5);
    for node in healing.living() {
        node.services
            .care
            .throttle(Throttle { uplink_bytes_per_sec: Some(1_000_000), ..Throttle::default() });
    }
    healing.until("mending", || (healing.indices(&object).len() == 6).then_some(())).await;
    healing.until("everybody seeing it", || reasons(&healing).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_a_shard_the_object_says_what_it_waits_for() {
    let mut healing = Healing::new(6);
    let (object, _bytes) = healing.put(0, 4).await;
    healing.kill(healing.holder(&object));
    healing.pass(Duration::from_mins(250)).await;
    let stuck = || {
        let status = healing.living().map(|node| node.services.care.status());
        let items = status.flat_map(|status| status["items"].as_array().unwrap().clone());
        let sentences = items.map(|item| item["sentence"].as_str().unwrap().to_owned());
        sentences.into_iter().find(|sentence| sentence.contains("has a shard of it already"))
    };
    healing.until("being stuck", stuck).await;
    assert_eq!(healing.indices(&object).len(), 5);
}
