//! A copy goes when everybody who should have the rest has said so twice, a delay apart, and never one of the last k.

use std::collections::BTreeSet;

use cosmic_common::{
    heads::Head,
    id::{EntryId, OperatorId},
    time::Timestamp,
};
use cosmic_ring::{Class, Table};
use proptest::prelude::*;

use super::rings::{
    HOUR, START, codec, custody, hear, hours, life, liveness, manifest, peer, receipt, sites, standing,
    table, table_of,
};
use crate::{
    Assignment, Docket, Held, Keep, LogCustody, Promise, Receipt, Release, Suspect, Target,
    audit::{docket::Failure, evidence::Finding},
    count::log::Duty,
    release::{Asked, AskedLog, RELEASE_DELAY, log_needless, shard_needless},
};

const CLASS: Class = Class { k: 3, n: 6 };

fn docket() -> Docket {
    Docket::new(OperatorId::from_bytes([0; 32]))
}

fn ring(count: u32) -> Table {
    table_of(sites(count, 3), CLASS)
}

#[test]
fn a_copy_goes_after_two_askings_and_the_delay() {
    let (before, after, codec) = (ring(6), ring(8), codec(3, 6));
    let manifest = manifest(codec);
    let held: Vec<Assignment> = crate::plan_placement(&before, &manifest.object(), codec);
    let target = Target::of(&after, &manifest.object(), codec, &held, |_| true);
    assert_eq!(target.strays.len(), target.wanted.len(), "as many leave as come");
    let mine = *target.strays.first().expect("this object moves");
    let (standing, mut liveness, docket) = (standing(&after), liveness(&after), docket());
    let all = custody(&manifest, &target.shards, &standing);
    let some = custody(&manifest, &target.shards[1..], &standing);
    let mut release = Release::default();
    let mut ask = |fresh, liveness: &_, now| {
        let asked = Asked { target: &target, fresh, standing: &standing, liveness, docket: &docket, now };
        release.ask(shard_needless(mine, codec, &asked), RELEASE_DELAY, now)
    };
    assert_eq!(ask(&some, &liveness, START), Err(Keep::Owed(vec![target.shards[0]])));
    assert_eq!(ask(&all, &liveness, START), Err(Keep::Delay { until: hours(24) }));
    assert_eq!(
        ask(&all, &liveness, hours(5)),
        Err(Keep::Away(target.shards.iter().map(|shard| shard.holder).collect()))
    );
    hear(&mut liveness, &[], hours(6));
    assert_eq!(ask(&all, &liveness, hours(6)), Err(Keep::Delay { until: hours(30) }), "the delay began anew");
    hear(&mut liveness, &[], hours(30));
    assert_eq!(ask(&all, &liveness, hours(30)), Ok(()));
}

#[test]
fn from_the_first_asking_on_nobody_may_count_on_the_copy() {
    let mut release = Release::default();
    assert_eq!(release.promise(), Promise::Keeps);
    assert!(release.ask(Ok(()), RELEASE_DELAY, START).is_err());
    assert_eq!(release.promise(), Promise::Forwards);
    assert!(release.ask(Err(Keep::OnlyOne), RELEASE_DELAY, hours(1)).is_err());
    assert_eq!(release.promise(), Promise::Keeps);
}

#[test]
fn what_belongs_here_and_what_is_alone_stays() {
    let codec = codec(3, 6);
    let manifest = manifest(codec);
    // Six shards, four places: two indices are only at those who left the table.
    let (before, after) = (ring(6), ring(4));
    let held = crate::plan_placement(&before, &manifest.object(), codec);
    let target = Target::of(&after, &manifest.object(), codec, &held, |_| true);
    let (standing, liveness, docket) = (standing(&before), liveness(&before), docket());
    let fresh = custody(&manifest, &target.shards, &standing);
    let asked = Asked {
        target: &target,
        fresh: &fresh,
        standing: &standing,
        liveness: &liveness,
        docket: &docket,
        now: START,
    };
    assert_eq!(shard_needless(target.shards[0], codec, &asked), Err(Keep::Belongs));
    for stray in &target.strays {
        assert_eq!(shard_needless(*stray, codec, &asked), Err(Keep::OnlyOne));
    }
    let two = Target::of(&ring(2), &manifest.object(), codec, &held, |_| true);
    let asked = Asked { target: &two, ..asked };
    let stray = Assignment { index: 5, holder: peer(77) };
    assert_eq!(shard_needless(stray, codec, &asked), Err(Keep::TooSmall));
}

#[test]
fn a_receipt_of_an_earlier_life_frees_nothing() {
    let (table, codec) = (ring(8), codec(3, 6));
    let manifest = manifest(codec);
    let target = Target::of(&table, &manifest.object(), codec, &[], |_| true);
    let (standing, liveness, docket) = (standing(&table), liveness(&table), docket());
    let mut fresh = custody(&manifest, &target.shards[1..], &standing);
    fresh.insert(&receipt(&manifest, target.shards[0], life(9), START), &standing).unwrap();
    let asked = Asked {
        target: &target,
        fresh: &fresh,
        standing: &standing,
        liveness: &liveness,
        docket: &docket,
        now: START,
    };
    let stray = Assignment { index: 0, holder: peer(77) };
    assert_eq!(shard_needless(stray, codec, &asked), Err(Keep::Owed(vec![target.shards[0]])));
}

#[test]
fn who_signs_and_is_known_to_have_lost_it_is_not_believed() {
    let (table, codec) = (ring(8), codec(3, 6));
    let manifest = manifest(codec);
    let target = Target::of(&table, &manifest.object(), codec, &[], |_| true);
    let (standing, liveness, mut docket) = (standing(&table), liveness(&table), docket());
    let fresh = custody(&manifest, &target.shards, &standing);
    let Assignment { index, holder } = target.shards[2];
    let suspect = Suspect { holder, object: manifest.object(), index };
    for witness in [1, 2] {
        let (witness, accused) = (OperatorId::from_bytes([witness; 32]), OperatorId::from_bytes([9; 32]));
        docket.failed(
            Failure { suspect, witness, accused, finding: Finding::Denied, time: START },
            false,
            START,
        );
    }
    let asked = Asked {
        target: &target,
        fresh: &fresh,
        standing: &standing,
        liveness: &liveness,
        docket: &docket,
        now: START,
    };
    let stray = Assignment { index, holder: peer(77) };
    assert_eq!(shard_needless(stray, codec, &asked), Err(Keep::Owed(vec![target.shards[2]])));
}

#[test]
fn a_replica_of_an_earlier_table_goes_last() {
    let table = table(6, 3);
    let (standing, liveness) = (standing(&table), liveness(&table));
    let space = cosmic_common::id::SpaceId::from_bytes([1; 32]);
    let log = cosmic_common::id::LogId::from_bytes([2; 32]);
    let duty = Duty::of(&space, &table, []);
    let head = |seq| Head { seq, entry: EntryId::from_bytes([3; 32]) };
    let mut fresh = LogCustody::new(space, log);
    let mut sign = |holder, seq| {
        let held = Held::Log { space, log, head: head(seq) };
        let ring = table.digest();
        let receipt =
            Receipt { held, promise: Promise::Keeps, holder, incarnation: life(1), ring, time: START };
        fresh.insert(&receipt, &standing).unwrap();
        fresh.clone()
    };
    let me = table.sites().iter().map(|site| site.peer).find(|peer| !duty.current.contains(peer)).unwrap();
    let needless = |fresh: &LogCustody, me, now| {
        let asked =
            AskedLog { fresh, beyond: &BTreeSet::new(), standing: &standing, liveness: &liveness, now };
        log_needless(me, &duty, head(7), &asked, |_| true)
    };
    let two = {
        sign(duty.current[0], 7);
        sign(duty.current[1], 9)
    };
    assert!(
        matches!(needless(&two, &me, START), Err(Keep::LogOwed(owed)) if owed[0].holder == duty.current[2])
    );
    let short = sign(duty.current[2], 6);
    assert!(matches!(needless(&short, &me, START), Err(Keep::LogOwed(owed)) if owed[0].from == 7));
    let all = sign(duty.current[2], 7);
    assert_eq!(needless(&all, &me, START), Ok(()));
    assert_eq!(needless(&all, &duty.current[0], START), Err(Keep::Belongs));
    assert_eq!(needless(&all, &me, hours(2)), Err(Keep::Away(duty.current.clone())));
}

#[test]
fn a_log_that_goes_on_elsewhere_is_released() {
    let table = table(6, 3);
    let (standing, liveness) = (standing(&table), liveness(&table));
    let space = cosmic_common::id::SpaceId::from_bytes([1; 32]);
    let log = cosmic_common::id::LogId::from_bytes([2; 32]);
    let duty = Duty::of(&space, &table, []);
    let head = |seq, branch| Head { seq, entry: EntryId::from_bytes([branch; 32]) };
    let (ours, longer, other) = (head(7, 1), head(20, 2), head(20, 3));
    let me = table.sites().iter().map(|site| site.peer).find(|peer| !duty.current.contains(peer)).unwrap();
    let needless = |ends: [Head; 3], beyond: &[Head]| {
        let mut fresh = LogCustody::new(space, log);
        for (holder, head) in duty.current.iter().zip(ends) {
            let held = Held::Log { space, log, head };
            let receipt = Receipt {
                held,
                promise: Promise::Keeps,
                holder: *holder,
                incarnation: life(1),
                ring: table.digest(),
                time: START,
            };
            fresh.insert(&receipt, &standing).unwrap();
        }
        let beyond = beyond.iter().copied().collect();
        let asked =
            AskedLog { fresh: &fresh, beyond: &beyond, standing: &standing, liveness: &liveness, now: START };
        log_needless(&me, &duty, ours, &asked, |head| *head == ours)
    };
    assert_eq!(needless([ours, ours, longer], &[longer]), Ok(()));
    let owes = |kept: Result<(), Keep>, holder: usize| matches!(kept, Err(Keep::LogOwed(owed)) if owed.len() == 1 && owed[0].holder == duty.current[holder]);
    assert!(owes(needless([ours, ours, longer], &[]), 2), "nobody showed that it goes on from ours");
    assert!(owes(needless([longer, other, longer], &[longer]), 1), "another branch does not count");
}

proptest! {
    /// Whoever is asked, in whatever order things come back: when a copy goes, k others were signed for twice, a delay apart.
    #[test]
    fn never_the_last_k(
        members in 1_u32..12,
        rounds in prop::collection::vec((0_u64..40, prop::collection::vec(any::<bool>(), 6), any::<bool>()), 1..30),
    ) {
        let codec = codec(3, 6);
        let manifest = manifest(codec);
        let table = ring(members);
        let target = Target::of(&table, &manifest.object(), codec, &[], |_| true);
        let standing = standing(&table);
        let (mut liveness, docket) = (liveness(&table), docket());
        let mine = Assignment { index: 0, holder: peer(77) };
        let mut release = Release::default();
        let mut now = START;
        let mut complete_since: Option<Timestamp> = None;
        for (hours_passed, signs, heard) in rounds {
            now = now.after(HOUR * u32::try_from(hours_passed).unwrap());
            if heard { hear(&mut liveness, &[], now); }
            let signed: Vec<Assignment> =
                target.shards.iter().zip(&signs).filter(|(_, signs)| **signs).map(|(shard, _)| *shard).collect();
            let fresh = custody(&manifest, &signed, &standing);
            let asked = Asked { target: &target, fresh: &fresh, standing: &standing, liveness: &liveness, docket: &docket, now };
            if signed.len() < target.shards.len() { complete_since = None; }
            let since = *complete_since.get_or_insert(now);
            if release.ask(shard_needless(mine, codec, &asked), RELEASE_DELAY, now).is_ok() {
                prop_assert!(signed.len() >= 3 && signed.len() == target.shards.len());
                prop_assert!(now.since(since) >= RELEASE_DELAY);
            }
        }
    }
}
