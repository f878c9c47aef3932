//! An object is coded anew after danger, from what can be read, and given up only for what is safe.

use std::collections::BTreeSet;

use cosmic_common::id::PeerId;
use cosmic_ring::Class;
use proptest::prelude::*;

use super::rings::{
    START, codec, custody, hear, hours, liveness, manifest, receipt, sites, standing, subject, table_of,
};
use crate::{
    Assignment, Care, Coded, Course, Docket, Health, Keep, Means, Need, Recode, Ring, Subject, Target,
    message::shard::Indices,
    plan_recode,
    release::{Asked, coding_needless},
};

const COPIES: Class = Class { k: 1, n: 3 };
const CODED: Class = Class { k: 3, n: 6 };
const NOW: Recode = Recode::Now { class: CODED };

/// So many shards of k of n count, and the object needs what the class says that it does.
fn coded(k: u8, n: u8, count: u8) -> Coded {
    let codec = codec(k, n);
    let counted: Indices = (0..count).collect();
    let care = Care::of(codec);
    let need = match usize::from(count) {
        all if all == codec.n() => Need::Nothing,
        few if few <= care.panic_at => Need::Panic,
        some if some <= care.repair_at => Need::Repair,
        _ => Need::Later,
    };
    let missing = (count..n).collect();
    Coded { codec, health: Health { counted, readable: counted, missing, zones: 3, need } }
}

#[test]
fn what_is_well_is_coded_anew_and_given_up_when_that_is_safe() {
    let (old, right) = (coded(1, 3, 3), codec(3, 6));
    let later = Recode::Later { class: CODED, from: hours(48) };
    assert_eq!(old.course(&[], Recode::Not, 6), Course::Care);
    assert_eq!(old.course(&[], later, 6), Course::Care);
    assert_eq!(old.course(&[], NOW, 6), Course::Recode(right));
    for placed in 1..6 {
        assert_eq!(old.course(&[coded(3, 6, placed)], NOW, 6), Course::Recode(right), "{placed} are too few");
    }
    assert_eq!(old.course(&[coded(3, 6, 6)], NOW, 6), Course::GiveUp(right));
    let wide = Recode::Now { class: Class { k: 10, n: 20 } };
    assert_eq!(coded(8, 14, 14).course(&[coded(10, 20, 16)], wide, 20), Course::Recode(codec(10, 20)));
    assert_eq!(coded(8, 14, 14).course(&[coded(10, 20, 17)], wide, 20), Course::GiveUp(codec(10, 20)));
}

#[test]
fn what_is_in_danger_is_mended_first_where_the_ring_has_room() {
    assert_eq!(coded(1, 3, 2).course(&[], NOW, 6), Course::Care);
    assert_eq!(
        coded(1, 3, 2).course(&[coded(3, 6, 5)], NOW, 6),
        Course::Leave,
        "the new one can lose as many"
    );
    let copies = Recode::Now { class: COPIES };
    assert_eq!(
        coded(3, 6, 4).course(&[], copies, 4),
        Course::Recode(codec(1, 3)),
        "no repair could place more"
    );
    assert_eq!(coded(3, 6, 2).course(&[coded(1, 3, 1)], copies, 4), Course::Leave, "nothing to code it from");
    let later = Recode::Later { class: COPIES, from: hours(48) };
    assert_eq!(coded(3, 6, 5).course(&[], later, 5), Course::Care, "a member that is replaced moves nothing");
    assert_eq!(coded(3, 6, 3).course(&[], later, 3), Course::Recode(codec(1, 3)), "it would be lost first");
}

#[test]
fn of_two_codings_the_one_that_can_lose_more_is_looked_after() {
    let begun = coded(3, 6, 2);
    assert_eq!(begun.course(&[coded(1, 3, 3)], Recode::Not, 6), Course::Leave, "somebody is at it");
    assert_eq!(begun.course(&[], Recode::Not, 6), Course::Care);
    assert_eq!(coded(3, 6, 3).course(&[coded(1, 3, 3)], Recode::Not, 6), Course::Care, "it belongs here");
    let later = Recode::Later { class: CODED, from: hours(48) };
    assert_eq!(coded(1, 3, 2).course(&[coded(3, 6, 6)], later, 6), Course::Leave);
    assert_eq!(coded(1, 3, 3).course(&[coded(3, 6, 4)], later, 6), Course::Care);
}

#[test]
fn the_plan_reads_the_old_coding_and_makes_what_the_new_one_misses() {
    let table = table_of(sites(6, 3), CODED);
    let mut liveness = liveness(&table);
    hear(&mut liveness, &[], START);
    let from = subject(&table, 1, codec(1, 3));
    let holders = table.holders(&from.object, 6);
    let ring = Ring { table: &table, liveness: &liveness, now: START };
    let mut right = Subject::coded_anew(&from.object, 1000, codec(3, 6), Vec::new());
    let means = Means { me: holders[0], ring, may_take: &|_| true, rank: &|_| 0 };
    let plan = plan_recode(&from, &right, &right.health(ring), &means).unwrap();
    assert_eq!((plan.read.len(), plan.read_bytes), (1, 0), "it has a copy itself");
    let made: BTreeSet<PeerId> = plan.make.iter().map(|shard| shard.holder).collect();
    assert_eq!(made, holders.iter().copied().collect());
    assert_eq!(plan.write_bytes, 5 * 334);
    // An attempt before placed two, one of them where the plan would not.
    let place = |index, holder| crate::HeldCopy { index, holder, handed_off: false };
    right.copies = vec![place(0, holders[0]), place(1, holders[4])];
    let plan = plan_recode(&from, &right, &right.health(ring), &means).unwrap();
    let made: BTreeSet<(u8, PeerId)> = plan.make.iter().map(|shard| (shard.index, shard.holder)).collect();
    assert_eq!(made.len(), 4);
    assert!(made.iter().all(|(index, holder)| *index > 1 && ![holders[0], holders[4]].contains(holder)));
}

proptest! {
    /// Whatever there is of two codings: one is given up only for another that is as safe as a write makes it, is never
    /// coded anew from fewer than k, and never are both left alone.
    #[test]
    fn never_are_both_given_up_or_left(
        old in 0_u8..=3, new in 0_u8..=6, places in 1_usize..9, wants_copies in any::<bool>(), verdict in 0_u8..3,
    ) {
        let (copies, shards) = (coded(1, 3, old), coded(3, 6, new));
        let class = if wants_copies { COPIES } else { CODED };
        let verdict_of = |of: &Coded| {
            let is_right = (of.codec.k(), of.codec.n()) == (class.k.into(), class.n.into());
            match verdict {
                _ if is_right => Recode::Not,
                0 => Recode::Later { class, from: hours(1) },
                _ => Recode::Now { class },
            }
        };
        let one = copies.course(&[shards], verdict_of(&copies), places);
        let other = shards.course(&[copies], verdict_of(&shards), places);
        let is_safe = |of: &Coded| of.health.counted.len() >= Care::of(of.codec).wanted;
        for (coded, course, rival) in [(&copies, one, &shards), (&shards, other, &copies)] {
            match course {
                Course::GiveUp(codec) => prop_assert!(codec == rival.codec && is_safe(rival)),
                Course::Recode(codec) => {
                    prop_assert!(codec == rival.codec && !is_safe(rival));
                    prop_assert!(coded.health.readable.len() >= coded.codec.k());
                }
                Course::Leave => prop_assert!(rival.health.readable.len() >= rival.codec.k()),
                Course::Care => {}
            }
        }
        let rests = |course: Course| matches!(course, Course::GiveUp(_) | Course::Leave);
        prop_assert!(!(rests(one) && rests(other)), "{one:?} {other:?}");
    }

    /// Whoever of those who should have the new shards signs, is there or lost his: a shard of the old coding goes only for as
    /// many as a write waits for.
    #[test]
    fn a_shard_goes_for_a_safe_coding_alone(signs in prop::collection::vec(any::<bool>(), 20), silent in 0_usize..5) {
        let codec = codec(10, 20);
        let manifest = manifest(codec).anew();
        let table = table_of(sites(22, 4), Class { k: 10, n: 20 });
        let target = Target::of(&table, &manifest.coding(), codec, &[], |_| true);
        let (standing, mut liveness) = (standing(&table), liveness(&table));
        let away: Vec<PeerId> = target.shards[..silent].iter().map(|shard| shard.holder).collect();
        hear(&mut liveness, &away, hours(2));
        let signed: Vec<Assignment> =
            target.shards.iter().zip(&signs).filter(|(_, signs)| **signs).map(|(shard, _)| *shard).collect();
        let fresh = custody(&manifest, &signed, &standing);
        let docket = Docket::new(table.sites()[0].operator);
        let (standing, liveness, target) = (&standing, &liveness, &target);
        let asked = Asked { target, fresh: &fresh, standing, liveness, docket: &docket, now: hours(2) };
        let there = signed.iter().filter(|shard| !away.contains(&shard.holder)).count();
        match coding_needless(codec, &asked) {
            Ok(()) => prop_assert!(there >= 17),
            Err(Keep::Owed(owed)) => prop_assert!(there < 17 && owed.len() == 20 - there),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn receipts_of_one_coding_say_nothing_of_another() {
    let first = manifest(codec(3, 6));
    let table = table_of(sites(6, 3), CODED);
    let standing = standing(&table);
    let shard = Assignment { index: 0, holder: table.sites()[0].peer };
    let mut custody = crate::ObjectCustody::new(&first.clone().anew());
    let life = super::rings::life(1);
    assert!(custody.insert(&receipt(&first, shard, life, START), &standing).is_err());
    custody.insert(&receipt(&first.anew(), shard, life, START), &standing).unwrap();
}
