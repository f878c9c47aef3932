//! The class follows from who can be used, the care from the class.

use std::time::Duration;

use cosmic_ring::{Class, ClassStep, Site};
use proptest::prelude::*;

use super::rings::{HOUR, START, codec, hours, peer, site, sites};
use crate::{
    Care, Choice, Patience, Recode, Recoding,
    care::{PATIENCE_NARROW, PATIENCE_WIDE},
    choice::RECODE_AFTER,
    shards_wanted,
};

fn class(sites: &[Site]) -> (u8, u8) {
    let Class { k, n } = Choice::of(sites, |_| true, &[]).class;
    (k, n)
}

#[test]
fn the_class_follows_from_the_number_that_can_be_used() {
    let expected =
        [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (5, (1, 3)), (6, (3, 6)), (9, (3, 6)), (10, (5, 10))];
    let wide = [(13, (5, 10)), (14, (8, 14)), (19, (8, 14)), (20, (10, 20)), (300, (10, 20))];
    for (count, expected) in expected.into_iter().chain(wide) {
        assert_eq!(class(&sites(count, 3)), expected, "{count} in three zones");
        assert_eq!(class(&sites(count, 1)), expected, "{count} in one zone, which is allowed");
    }
}

#[test]
fn a_zone_or_operator_too_large_to_be_used_narrows_the_class() {
    let lopsided = |big: u32, small: u32| -> Vec<Site> {
        (0..big + small).map(|number| site(number, number.saturating_sub(big - 1), number)).collect()
    };
    // 18 in one zone and two alone: 3 + 1 + 1 can be used for 3 of 6, and 2 + 1 + 1 for three copies.
    let choice = Choice::of(&lopsided(18, 2), |_| true, &[]);
    assert_eq!((choice.class, choice.usable), (Class { k: 1, n: 3 }, 4));
    assert_eq!(class(&lopsided(10, 10)), (10, 20));
    assert_eq!(class(&lopsided(12, 8)), (8, 14), "6 of the big zone and 8 others");
    let of_one = |count: u32| -> Vec<Site> { (0..20).map(|n| site(n, n % 4, n.min(count))).collect() };
    assert_eq!(class(&of_one(0)), (10, 20), "one operator runs all: it is told, not forbidden");
    assert!(Choice::of(&of_one(0), |_| true, &[]).one_operator);
    assert_eq!(class(&of_one(1)), (1, 3), "two operators, of whom one has a single supernode");
}

#[test]
fn those_who_are_not_there_do_not_count() {
    let ring = sites(6, 3);
    let three = Choice::of(&ring, |it| [peer(0), peer(1), peer(2)].contains(it), &[]);
    assert_eq!((three.class, three.one_zone), (Class { k: 1, n: 3 }, false));
    let one = Choice::of(&ring, |it| *it == peer(0), &[]);
    assert_eq!((one.class, one.usable, one.one_zone), (Class { k: 1, n: 1 }, 1, true));
    assert_eq!(Choice::of(&ring, |_| false, &[]).usable, 0);
    let own = [ClassStep { members: 6, k: 4, n: 6 }];
    assert_eq!(Choice::of(&ring, |_| true, &own).class, Class { k: 4, n: 6 });
}

#[test]
fn care_is_that_of_the_table_of_classes() {
    let care = |k, n| {
        let care = Care::of(codec(k, n));
        let Care { wanted, repair_at, panic_at, .. } = care;
        assert_eq!(shards_wanted(codec(k, n)), wanted);
        (repair_at, panic_at, Patience::default().of(&care))
    };
    assert_eq!(care(1, 3), (2, 1, PATIENCE_NARROW));
    assert_eq!(care(3, 6), (5, 3, PATIENCE_NARROW));
    assert_eq!(care(4, 6), (5, 4, PATIENCE_NARROW));
    assert_eq!(care(5, 10), (8, 6, PATIENCE_WIDE));
    assert_eq!(care(8, 14), (12, 9, PATIENCE_WIDE));
    assert_eq!(care(10, 20), (16, 12, PATIENCE_WIDE));
}

#[test]
fn nothing_is_coded_anew_for_a_change_that_does_not_last() {
    let (wide, narrow) = (Class { k: 5, n: 10 }, Class { k: 3, n: 6 });
    let mut recoding = Recoding::new(narrow, START);
    let have = codec(3, 6);
    assert_eq!(recoding.verdict(have, RECODE_AFTER, hours(1_000)), Recode::Not);
    recoding.observe(wide, hours(10));
    let from = hours(10).after(RECODE_AFTER);
    assert_eq!(recoding.verdict(have, RECODE_AFTER, hours(11)), Recode::Later { class: wide, from });
    recoding.observe(narrow, hours(12));
    recoding.observe(wide, hours(13));
    assert_eq!(
        recoding.verdict(have, RECODE_AFTER, from),
        Recode::Later { class: wide, from: from.after(3 * HOUR) }
    );
    assert_eq!(recoding.verdict(have, RECODE_AFTER, from.after(3 * HOUR)), Recode::Now { class: wide });
    assert_eq!(recoding.verdict(codec(5, 10), RECODE_AFTER, from.after(3 * HOUR)), Recode::Not);
    assert!(RECODE_AFTER > PATIENCE_WIDE + Duration::from_hours(1));
}

proptest! {
    /// Whatever ring: the class chosen has a member for each shard, and no zone or operator needs more than may be lost.
    #[test]
    fn a_chosen_class_can_be_placed(members in prop::collection::vec((0_u32..5, 0_u32..6), 0..40)) {
        let ring: Vec<Site> =
            (0_u32..).zip(&members).map(|(number, (zone, operator))| site(number, *zone, *operator)).collect();
        let choice = Choice::of(&ring, |_| true, &[]);
        prop_assert!(ring.is_empty() || choice.usable >= usize::from(choice.class.n.min(1)));
        if choice.class.k > 1 {
            prop_assert!(choice.usable >= usize::from(choice.class.n));
        }
        let all = Choice::of(&ring, |_| true, &[ClassStep { members: 6, k: 3, n: 6 }]);
        prop_assert!(all.class.n >= choice.class.n.min(3));
    }
}
