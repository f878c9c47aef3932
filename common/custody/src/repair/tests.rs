//! The endangered are mended first, by one at a time, within the budget, and every item can say why it waits.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_ring::{Class, Table};
use proptest::prelude::*;

use super::{
    budget::{Allowance, Budget},
    health::{Danger, HeldCopy, Need, Ring, Subject},
    lease::{LEASE, Lease, Leases, Turn, turn},
    plan::{Means, Stuck, plan_repair},
    queue::{Failure, Input, Output, Queue, Settings, Waiting},
};
use crate::{
    Assignment, Liveness, rendezvous,
    tests::rings::{HOUR, START, codec, hear, hours, liveness, object, peer, sites, subject, table_of},
};

fn ring(count: u32, class: Class) -> (Table, Liveness) {
    let table = table_of(sites(count, 5), class);
    let liveness = liveness(&table);
    (table, liveness)
}

fn six(count: u32) -> (Table, Liveness) {
    ring(count, Class { k: 3, n: 6 })
}

fn holders(subject: &Subject) -> Vec<PeerId> {
    subject.copies.iter().map(|copy| copy.holder).collect()
}

#[test]
fn a_narrow_class_is_mended_when_a_holder_is_offline() {
    let (table, mut liveness) = six(12);
    let subject = subject(&table, 1, codec(3, 6));
    let gone = holders(&subject)[1];
    let need = |liveness: &Liveness, now| subject.health(Ring { table: &table, liveness, now }).need;
    assert_eq!(need(&liveness, START), Need::Nothing);
    hear(&mut liveness, &[gone], hours(3));
    assert_eq!(need(&liveness, hours(3)), Need::Nothing);
    hear(&mut liveness, &[gone], hours(4));
    assert_eq!(need(&liveness, hours(4)), Need::Repair);
    hear(&mut liveness, &[], hours(4));
    assert_eq!(need(&liveness, hours(4)), Need::Nothing, "it came back");
}

#[test]
fn a_wide_class_waits_for_the_threshold_and_for_a_day_but_not_in_panic() {
    let (table, mut liveness) = ring(40, Class { k: 10, n: 20 });
    let subject = subject(&table, 1, codec(10, 20));
    let all = holders(&subject);
    let health = |silent: usize, now| {
        let mut fresh = liveness.clone();
        hear(&mut fresh, &all[..silent], now);
        subject.health(Ring { table: &table, liveness: &fresh, now })
    };
    assert_eq!(health(4, hours(5)).need, Need::Patience { until: hours(24) });
    assert_eq!((health(4, hours(5)).counted.len(), health(4, hours(5)).readable.len()), (20, 16));
    assert_eq!(health(3, hours(24)).need, Need::Later, "17 are safely above the threshold");
    assert_eq!(health(4, hours(24)).need, Need::Repair);
    assert_eq!(health(8, hours(5)).need, Need::Panic, "12 of 20: nobody waits for a day");
    assert_eq!(health(8, hours(5)).missing.len(), 8);
    liveness.members(all[4..].iter().copied(), [], START);
    let lost = subject.health(Ring { table: &table, liveness: &liveness, now: START });
    assert_eq!(lost.need, Need::Repair, "a record needs no patience");
}

#[test]
fn an_object_on_the_move_is_completed_whatever_its_class() {
    let (table, liveness) = ring(40, Class { k: 10, n: 20 });
    let mut subject = subject(&table, 1, codec(10, 20));
    let need =
        |subject: &Subject| subject.health(Ring { table: &table, liveness: &liveness, now: START }).need;
    let last = subject.copies.pop().unwrap();
    assert_eq!(need(&subject), Need::Later);
    let elsewhere = table.holders(&subject.object, 21)[20];
    subject.copies[0].holder = elsewhere;
    assert_eq!(need(&subject), Need::Repair, "a stray waits for the rest");
    subject.copies[0].holder = table.holders(&subject.object, 1)[0];
    subject.copies.push(HeldCopy { index: 7, ..last });
    assert_eq!(need(&subject), Need::Repair, "two have the same");
}

#[test]
fn danger_is_margin_then_zones_then_age() {
    let danger = |margin, zones, since| Danger { calm: false, margin, zones, since: hours(since) };
    let mut order = [danger(1, 2, 1), danger(0, 3, 9), danger(0, 2, 5), danger(0, 2, 3), danger(-1, 1, 8)];
    order.sort();
    assert_eq!(order, [danger(-1, 1, 8), danger(0, 2, 3), danger(0, 2, 5), danger(0, 3, 9), danger(1, 2, 1)]);
}

#[test]
fn a_plan_reads_k_and_makes_what_is_missing() {
    let (table, mut liveness) = six(12);
    let subject = subject(&table, 1, codec(3, 6));
    let all = holders(&subject);
    hear(&mut liveness, &all[..2], hours(5));
    let ring = Ring { table: &table, liveness: &liveness, now: hours(5) };
    let health = subject.health(ring);
    let rank = |peer: &PeerId| u64::from(*peer != all[5]);
    let means = Means { me: all[3], ring, may_take: &|_| true, rank: &rank };
    let plan = plan_repair(&subject, &health, &means).unwrap();
    let read: Vec<u8> = plan.read.iter().map(|shard| shard.index).collect();
    assert_eq!(read[..2], [3, 5], "its own first, then the nearest");
    assert_eq!((plan.read.len(), plan.spare.len()), (3, 1));
    assert_eq!((plan.read_bytes, plan.write_bytes), (2_000, 2_000), "its own shard needs no reading");
    assert_eq!(plan.make.iter().map(|shard| shard.index).collect::<Vec<_>>(), [0, 1]);
    assert!(plan.make.iter().all(|shard| !all.contains(&shard.holder)));
    let distrusted = plan.make[0].holder;
    let means = Means { may_take: &|peer| *peer != distrusted, ..means };
    assert!(
        plan_repair(&subject, &health, &means).unwrap().make.iter().all(|shard| shard.holder != distrusted)
    );
}

#[test]
fn what_cannot_be_mended_says_why() {
    let (table, mut liveness) = six(6);
    let subject = subject(&table, 1, codec(3, 6));
    let all = holders(&subject);
    let plan = |liveness: &Liveness| {
        let ring = Ring { table: &table, liveness, now: hours(5) };
        let means = Means { me: all[5], ring, may_take: &|_| true, rank: &|_| 0 };
        plan_repair(&subject, &subject.health(ring), &means)
    };
    hear(&mut liveness, &all[..2], hours(5));
    assert_eq!(plan(&liveness), Err(Stuck::NoPlace { missing: 2 }));
    let (larger, mut liveness) = six(12);
    hear(&mut liveness, &all[..4], hours(5));
    let ring = Ring { table: &larger, liveness: &liveness, now: hours(5) };
    let means = Means { me: all[5], ring, may_take: &|_| true, rank: &|_| 0 };
    let stuck = plan_repair(&subject, &subject.health(ring), &means);
    assert_eq!(stuck, Err(Stuck::TooFewSources { found: 2, needed: 3 }));
}

#[test]
fn a_stand_in_takes_over_what_it_kept() {
    let (table, mut liveness) = six(12);
    let mut subject = subject(&table, 1, codec(3, 6));
    let all = holders(&subject);
    let keeper = table.holders(&subject.object, 8)[7];
    subject.copies[2] = HeldCopy { index: 2, holder: keeper, handed_off: true };
    hear(&mut liveness, &[all[2]], hours(5));
    let ring = Ring { table: &table, liveness: &liveness, now: hours(5) };
    let health = subject.health(ring);
    assert_eq!((health.need, health.missing), (Need::Repair, [2].into_iter().collect()));
    let means = Means { me: all[5], ring, may_take: &|_| true, rank: &|_| 0 };
    let plan = plan_repair(&subject, &health, &means).unwrap();
    assert_eq!(plan.adopt, [Assignment { index: 2, holder: keeper }]);
    assert!(plan.make.is_empty() && plan.read.is_empty());
    assert_eq!(plan.bytes(), 0);
}

#[test]
fn two_with_the_same_shard_do_not_stop_a_full_ring() {
    // Six members for six shards: one shard is there twice, another is missing.
    let (table, liveness) = six(6);
    let mut subject = subject(&table, 1, codec(3, 6));
    subject.copies[4].index = 3;
    let ring = Ring { table: &table, liveness: &liveness, now: START };
    let health = subject.health(ring);
    let means = Means { me: holders(&subject)[0], ring, may_take: &|_| true, rank: &|_| 0 };
    let plan = plan_repair(&subject, &health, &means).unwrap();
    assert_eq!(plan.make, [Assignment { index: 4, holder: subject.copies[4].holder }]);
}

#[test]
fn one_after_the_other_has_his_turn() {
    let order: Vec<PeerId> = (0..3).map(peer).collect();
    assert_eq!(turn(&order, peer(0), START, START), Turn::Mine);
    assert_eq!(turn(&order, peer(1), START, START), Turn::Later { peer: peer(0), from: START.after(LEASE) });
    let later = START.after(LEASE);
    assert_eq!(turn(&order, peer(1), START, later), Turn::Mine);
    assert_eq!(turn(&order, peer(2), START, later), Turn::Later { peer: peer(1), from: later.after(LEASE) });
    assert_eq!(turn(&order, peer(3), START, later), Turn::Never);
}

#[test]
fn a_lease_holds_for_its_time_and_for_one() {
    let mut leases = Leases::default();
    let mine = Lease { peer: peer(1), until: START.after(LEASE) };
    assert_eq!(leases.ask(object(1), peer(1), START), Some(mine));
    assert_eq!(leases.ask(object(1), peer(2), START), Some(mine));
    assert_eq!(leases.ask(object(2), peer(2), START).map(|lease| lease.peer), Some(peer(2)));
    leases.end(&object(1), &peer(2));
    assert_eq!(leases.ask(object(1), peer(2), START), Some(mine), "nobody ends another's");
    assert_eq!(leases.ask(object(1), peer(2), mine.until).map(|lease| lease.peer), Some(peer(2)));
    leases.end(&object(1), &peer(2));
    assert_eq!(leases.ask(object(1), peer(3), mine.until).map(|lease| lease.peer), Some(peer(3)));
}

#[test]
fn a_budget_is_a_rate_that_can_be_overdrawn_once() {
    let allowance = Allowance { uplink: Some(1_000_000), share: 200, panic_share: 500 };
    let mut budget = Budget::new(allowance, START);
    assert_eq!((budget.rate(false), budget.rate(true)), (Some(200_000), Some(500_000)));
    assert_eq!(budget.ready_at(false, START), Some(START));
    budget.spend(400_000, false, START);
    let ready = budget.ready_at(false, START).unwrap();
    assert_eq!(ready, START.after(Duration::from_millis(2_001)));
    assert_eq!(budget.ready_at(true, START), Some(START.after(Duration::from_millis(801))));
    assert_eq!(budget.ready_at(false, ready), Some(ready));
    budget.refund(400_000);
    assert_eq!(budget.ready_at(false, START), Some(START));
    (0..10).for_each(|_| budget.pressed());
    assert_eq!((budget.rate(false), budget.rate(true)), (Some(12_500), Some(500_000)));
    (0..20).for_each(|_| budget.eased());
    assert_eq!(budget.rate(false), Some(200_000));
    let closed = Budget::new(Allowance { uplink: Some(0), ..allowance }, START);
    assert_eq!(closed.ready_at(false, START), None);
    let lifted = Budget::new(Allowance { uplink: None, ..allowance }, START);
    assert_eq!((lifted.rate(false), lifted.ready_at(false, START)), (None, Some(START)));
}

fn examined(number: u32, margin: i16, able: &[PeerId]) -> Input {
    let danger = Danger { calm: false, margin, zones: 3, since: Timestamp::default() };
    Input::Examined { object: object(number), need: Need::Repair, danger, able: able.to_vec(), bytes: 1_000 }
}

/// A queue of the peer 0 that may do one repair at a time, without a limit of bytes.
fn queue() -> Queue {
    let allowance = Allowance { uplink: None, ..Allowance::default() };
    Queue::new(peer(0), Settings { allowance, at_once: 1 }, START)
}

fn lease(peer: PeerId, until: Timestamp) -> Option<Lease> {
    Some(Lease { peer, until })
}

#[test]
fn the_most_endangered_is_mended_first_and_says_so() {
    let mut queue = queue();
    let me = [peer(0)];
    assert!(queue.handle(Input::Pause, START).is_empty());
    for (number, margin) in [(1, 2), (2, 0), (3, 1)] {
        assert!(queue.handle(examined(number, margin, &me), START).is_empty());
    }
    assert_eq!(queue.why(&object(2), START), Some(Waiting::Paused));
    let first = queue.handle(Input::Resume, START);
    assert_eq!(first[0], Output::AskLease(object(2)));
    assert_eq!(queue.why(&object(3), START), Some(Waiting::Behind { others: 1 }));
    assert_eq!(queue.why(&object(1), START), Some(Waiting::Behind { others: 2 }));
    let granted = lease(peer(0), START.after(LEASE));
    let mend = queue.handle(Input::Leased { object: object(2), lease: granted }, START);
    assert_eq!(mend[0], Output::Mend { object: object(2), panic: false });
    assert_eq!(queue.why(&object(2), START), Some(Waiting::Mending { since: START }));
    let next = queue.handle(Input::Mended { object: object(2), bytes: 900 }, START);
    assert_eq!(next[..2], [Output::EndLease(object(2)), Output::AskLease(object(3))]);
    assert_eq!((queue.len(), queue.backlog(false).1, queue.why(&object(2), START)), (2, 2_000, None));
}

#[test]
fn failures_wait_longer_each_time_and_others_go_on() {
    let mut queue = queue();
    let me = [peer(0)];
    let fail = |queue: &mut Queue, now| {
        queue.handle(Input::NobodyLeases { object: object(1) }, now);
        let failure = Failure::Stuck(Stuck::NoPlace { missing: 1 });
        queue.handle(Input::Failed { object: object(1), failure, bytes: 0 }, now);
        match queue.why(&object(1), now) {
            Some(Waiting::Retry { at, .. }) => at,
            other => panic!("{other:?}"),
        }
    };
    queue.handle(examined(1, 0, &me), START);
    let mut now = START;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let at = fail(&mut queue, now);
        pauses.push(at.since(now).as_secs());
        now = at;
        assert_eq!(queue.handle(Input::Tick, now)[0], Output::AskLease(object(1)));
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
    fail(&mut queue, now);
    assert_eq!(queue.handle(examined(2, 3, &me), now)[0], Output::AskLease(object(2)));
    queue.handle(Input::Leased { object: object(2), lease: lease(peer(1), now.after(LEASE)) }, now);
    // Who comes into the ring may take what nobody took.
    assert_eq!(queue.handle(Input::RingChanged, now)[0], Output::AskLease(object(1)));
    let at = fail(&mut queue, now);
    assert_eq!(at.since(now).as_secs(), 30);
}

#[test]
fn a_lease_of_another_is_waited_for_and_a_silent_house_is_given_up() {
    let mut queue = queue();
    queue.handle(examined(1, 0, &[peer(0)]), START);
    let until = START.after(LEASE / 2);
    let outputs = queue.handle(Input::Leased { object: object(1), lease: lease(peer(1), until) }, START);
    assert_eq!(outputs, [Output::Wake(until)]);
    assert_eq!(queue.why(&object(1), START), Some(Waiting::Leased { peer: peer(1), until }));
    assert_eq!(queue.handle(Input::Tick, until)[0], Output::AskLease(object(1)));
    let late = until.after(LEASE);
    queue.handle(Input::Tick, late);
    assert!(matches!(queue.why(&object(1), late), Some(Waiting::Retry { failure: Failure::Late, .. })));
    assert!(
        queue
            .handle(Input::Mended { object: object(1), bytes: 0 }, late)
            .iter()
            .all(|output| matches!(output, Output::Wake(_)))
    );
    assert_eq!(queue.len(), 1, "what comes after the lease is over does not count; it is examined again");
}

#[test]
fn a_used_up_budget_is_a_reason_and_ends_by_itself() {
    let mut queue = Queue::new(peer(0), Settings { at_once: 9, ..Settings::default() }, START);
    let me = [peer(0)];
    let danger = Danger { calm: false, margin: 1, zones: 3, since: START };
    let large = |number| Input::Examined {
        object: object(number),
        need: Need::Repair,
        danger,
        able: me.to_vec(),
        bytes: 25_000_000,
    };
    assert_eq!(queue.handle(large(1), START)[0], Output::AskLease(object(1)));
    let Some(Output::Wake(at)) = queue.handle(large(2), START).pop() else {
        panic!("it waits for something")
    };
    let Some(Waiting::Budget { until }) = queue.why(&object(2), START) else {
        panic!("it waits for the budget")
    };
    assert_eq!(until, Some(at));
    assert_eq!(at, START.after(Duration::from_millis(10_001)), "25 MB at a fifth of 12.5 MB/s");
    assert_eq!(queue.handle(Input::Tick, at)[0], Output::AskLease(object(2)));
    let none = Allowance { uplink: Some(0), ..Allowance::default() };
    queue.handle(Input::Throttle(none), at);
    queue.handle(large(3), at);
    assert_eq!(queue.why(&object(3), at), Some(Waiting::Budget { until: None }));
}

#[test]
fn what_became_well_leaves_the_queue_and_what_is_not_ours_waits_for_others() {
    let mut queue = queue();
    let others = [peer(1), peer(2)];
    queue.handle(examined(1, 0, &others), START);
    assert_eq!(queue.why(&object(1), START), Some(Waiting::NotOurs));
    let well = Input::Examined {
        object: object(1),
        need: Need::Nothing,
        danger: Danger { calm: false, margin: 3, zones: 3, since: START },
        able: others.to_vec(),
        bytes: 0,
    };
    queue.handle(well, START);
    assert!(queue.is_empty());
    queue.handle(examined(1, 0, &others), START);
    queue.handle(Input::Gone { object: object(1) }, START);
    assert!(queue.is_empty(), "nothing of it is here any more");
    let first = (0..100).map(object).position(|object| rendezvous(&object, [peer(0), peer(1)])[0] == peer(1));
    let number = u32::try_from(first.unwrap()).unwrap();
    queue.handle(examined(number, 0, &[peer(0), peer(1)]), START);
    let from = START.after(LEASE);
    assert_eq!(queue.why(&object(number), START), Some(Waiting::Turn { peer: peer(1), from }));
    assert_eq!(queue.handle(Input::Tick, from)[0], Output::AskLease(object(number)));
}

/// What happens to the queue in the property test below.
#[derive(Debug, Clone)]
enum Event {
    Examine(u32, i16, u8),
    Answer(u8),
    Pass(u64),
    Pause(bool),
    Throttle(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0_u32..12, -1_i16..4, 0_u8..8).prop_map(|(number, margin, able)| Event::Examine(number, margin, able)),
        4 => (0_u8..6).prop_map(Event::Answer),
        3 => (0_u64..900).prop_map(Event::Pass),
        1 => any::<bool>().prop_map(Event::Pause),
        1 => (0_u64..100_000).prop_map(Event::Throttle),
    ];
    prop::collection::vec(event, 1..120)
}

proptest! {
    /// Whatever comes in whatever order: never more at once than allowed, nothing begins while paused or out of turn, every
    /// item has a reason, and once the world is kind everything is mended.
    #[test]
    fn nothing_is_stuck_without_a_reason(events in events()) {
        let mut queue = Queue::new(peer(0), Settings { at_once: 2, ..Settings::default() }, START);
        let mut now = START;
        let mut open: BTreeMap<_, bool> = BTreeMap::new();
        let mut paused = false;
        let take = |outputs: Vec<Output>, open: &mut BTreeMap<_, bool>, paused: bool| {
            for output in outputs {
                match output {
                    Output::AskLease(object) => { assert!(!paused); open.insert(object, false); }
                    Output::Mend { object, .. } => { assert_eq!(open.insert(object, true), Some(false)); }
                    Output::EndLease(object) => { open.remove(&object); }
                    Output::Wake(_) => {}
                }
            }
        };
        for event in events {
            let input = match event {
                Event::Examine(number, margin, able) => {
                    let able: Vec<PeerId> = (0..3).filter(|bit| able & (1 << bit) != 0).map(peer).collect();
                    examined(number, margin, &able)
                }
                Event::Answer(kind) => {
                    let Some((object, mending)) = open.iter().next().map(|(object, mending)| (*object, *mending)) else { continue };
                    match (mending, kind) {
                        (true, 0..3) => Input::Mended { object, bytes: 1_500 },
                        (true, _) => Input::Failed { object, failure: Failure::Unread, bytes: 10 },
                        (false, 0) => Input::NobodyLeases { object },
                        (false, 1) => { open.remove(&object); Input::Leased { object, lease: None } }
                        (false, 2) => { open.remove(&object); Input::Leased { object, lease: lease(peer(5), now.after(LEASE)) } }
                        (false, _) => {
                            if paused { open.remove(&object); }
                            Input::Leased { object, lease: lease(peer(0), now.after(LEASE)) }
                        }
                    }
                }
                Event::Pass(seconds) => { now = now.after(Duration::from_secs(seconds)); Input::Tick }
                Event::Pause(pause) => { paused = pause; if pause { Input::Pause } else { Input::Resume } }
                Event::Throttle(uplink) => Input::Throttle(Allowance { uplink: Some(uplink), ..Allowance::default() }),
            };
            if matches!(input, Input::NobodyLeases { .. }) && paused { open.clear(); }
            let outputs = queue.handle(input, now);
            open.retain(|object, _| matches!(queue.why(object, now), Some(Waiting::Mending { .. } | Waiting::AskingLease { .. })) || outputs.contains(&Output::EndLease(*object)));
            take(outputs, &mut open, paused);
            prop_assert!(open.len() <= 2, "{open:?}");
            for (object, _) in queue.items() {
                prop_assert!(queue.why(object, now).is_some());
            }
        }
        queue.handle(Input::Resume, now);
        queue.handle(Input::Throttle(Allowance { uplink: None, ..Allowance::default() }), now);
        for _ in 0..200 {
            now = now.after(LEASE);
            let mut outputs = queue.handle(Input::Tick, now);
            while let Some(output) = outputs.pop() {
                outputs.extend(match output {
                    Output::AskLease(object) => queue.handle(Input::NobodyLeases { object }, now),
                    Output::Mend { object, .. } => queue.handle(Input::Mended { object, bytes: 0 }, now),
                    Output::EndLease(_) | Output::Wake(_) => Vec::new(),
                });
            }
        }
        for (object, _) in queue.items() {
            prop_assert_eq!(queue.why(object, now), Some(Waiting::NotOurs));
        }
    }

    /// A plan never gives one holder two shards, never counts one shard twice, and reads as much as suffices.
    #[test]
    fn plans_are_sound(
        members in 6_u32..24,
        silent in prop::collection::btree_set(0_u32..24, 0..12),
        handed_off in prop::collection::btree_set((0_u8..6, 0_u32..24), 0..3),
        seed in 0_u32..50,
    ) {
        let (table, mut liveness) = six(members);
        let mut subject = subject(&table, seed, codec(3, 6));
        for (index, keeper) in handed_off {
            if keeper < members {
                subject.copies.push(HeldCopy { index, holder: peer(keeper), handed_off: true });
            }
        }
        let silent: Vec<PeerId> = silent.into_iter().map(peer).collect();
        hear(&mut liveness, &silent, hours(5));
        let ring = Ring { table: &table, liveness: &liveness, now: hours(5) };
        let health = subject.health(ring);
        let means = Means { me: peer(0), ring, may_take: &|_| true, rank: &|_| 0 };
        if let Ok(plan) = plan_repair(&subject, &health, &means) {
            let mut holders: Vec<PeerId> = subject.copies.iter()
                .filter(|copy| !copy.handed_off && health.counted.contains(copy.index)).map(|copy| copy.holder).collect();
            holders.extend(plan.make.iter().map(|shard| shard.holder));
            holders.extend(plan.adopt.iter().map(|shard| shard.holder));
            let count = holders.len();
            holders.sort_unstable();
            holders.dedup();
            prop_assert_eq!(holders.len(), count, "one holder, one shard");
            let mut mended: Vec<u8> = plan.make.iter().map(|shard| shard.index).chain(plan.adopt.iter().map(|shard| shard.index)).collect();
            mended.extend(plan.homeless.iter());
            mended.sort_unstable();
            prop_assert_eq!(mended, health.missing.iter().collect::<Vec<_>>(), "each missing shard once");
            prop_assert_eq!(plan.read.len(), if plan.make.is_empty() { 0 } else { 3 });
            prop_assert!(plan.make.iter().chain(&plan.read).all(|shard| !silent.contains(&shard.holder)));
            prop_assert!(plan.read_bytes <= 3 * subject.shard_bytes);
            prop_assert!(HOUR > LEASE);
        }
    }
}

#[test]
fn what_is_only_coded_anew_comes_after_everything_in_danger() {
    let mut queue = queue();
    let me = vec![peer(0)];
    let recode = |number| {
        let danger = Danger { calm: false, margin: -3, zones: 1, since: START };
        Input::Examined { object: object(number), need: Need::Recode, danger, able: me.clone(), bytes: 1_000 }
    };
    queue.handle(Input::Pause, START);
    queue.handle(recode(1), START);
    queue.handle(examined(2, 9, &me), START);
    let order: Vec<_> = queue.items().map(|(object, danger)| (*object, danger.calm)).collect();
    assert_eq!(order, [(object(2), false), (object(1), true)]);
    assert_eq!((queue.backlog(false), queue.backlog(true)), ((1, 1_000), (1, 1_000)));
    // What falls into danger while it waits is mended instead.
    queue.handle(examined(1, 1, &me), START);
    assert_eq!(queue.items().next().map(|(object, _)| *object), Some(object(1)));
    assert_eq!(queue.handle(Input::Resume, START)[0], Output::AskLease(object(1)));
}
