//! Shards stay where they are if they may, and find new holders within the limits if they must move.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::PeerId;
use cosmic_ring::{Class, Site, Table};
use proptest::prelude::*;

use super::rings::{codec, object, peer, site, sites, table_of};
use crate::{Assignment, Fill, Filled, Target, message::shard::Indices, plan_placement, rendezvous};

const CLASS: Class = Class { k: 3, n: 6 };

fn any_ring() -> impl Strategy<Value = Vec<Site>> {
    prop::collection::vec((0_u32..5, 0_u32..8), 1..24).prop_map(|members| {
        (0_u32..).zip(members).map(|(number, (zone, operator))| site(number, zone, operator)).collect()
    })
}

fn fill(
    table: &Table,
    missing: impl IntoIterator<Item = u8>,
    occupied: &[PeerId],
    away: &[PeerId],
) -> Filled {
    let may_take = |peer: &PeerId| !away.contains(peer);
    let missing: Indices = missing.into_iter().collect();
    Fill { table, object: object(1), codec: codec(3, 6), may_take }.fill(missing, occupied)
}

fn most<'a>(table: &'a Table, holders: &[PeerId], of: impl Fn(&'a Site) -> String) -> usize {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let sites = table.sites().iter().filter(|site| holders.contains(&site.peer));
    sites.for_each(|site| *counts.entry(of(site)).or_default() += 1);
    counts.into_values().max().unwrap_or(0)
}

#[test]
fn rendezvous_is_an_order_of_its_own_for_each_object() {
    let peers: Vec<PeerId> = (0..20).map(peer).collect();
    let order = rendezvous(&object(1), peers.iter().copied());
    assert_eq!(order.iter().collect::<BTreeSet<_>>(), peers.iter().collect());
    assert_eq!(order, rendezvous(&object(1), peers.iter().rev().copied()));
    assert_ne!(order, rendezvous(&object(2), peers.iter().copied()));
    let without: Vec<PeerId> = order.iter().filter(|one| **one != order[3]).copied().collect();
    assert_eq!(rendezvous(&object(1), without.iter().copied()), without, "who leaves moves nobody else");
    assert_eq!(rendezvous(&object(1), [peer(1), peer(1)]), [peer(1)]);
}

#[test]
fn the_next_of_the_walk_step_in_and_far_ones_after_them() {
    let table = table_of(sites(30, 10), CLASS);
    let walk: Vec<PeerId> = table.holders(&object(1), 12);
    let filled = fill(&table, [0, 1], &walk[2..6], &walk[..2]);
    assert_eq!(filled.places.iter().map(|place| place.index).collect::<Vec<_>>(), [0, 1]);
    assert!(filled.places.iter().all(|place| walk[6..].contains(&place.holder)), "they stand on the walk");
    let filled = fill(&table, [0, 1], &walk[2..6], &walk);
    assert_eq!((filled.places.len(), filled.homeless.len(), filled.beyond_limits), (2, 0, 0));
    assert!(filled.places.iter().all(|place| !walk.contains(&place.holder)), "and these do not");
}

#[test]
fn a_zone_gets_more_than_may_be_lost_only_where_no_other_is() {
    let zones = |zones: &[u32]| -> Table {
        let sites = (0_u32..).zip(zones).map(|(number, zone)| site(number, *zone, number));
        table_of(sites.collect(), CLASS)
    };
    let lopsided = zones(&[0, 0, 0, 0, 0, 0, 1]);
    let filled = fill(&lopsided, 0..6, &[], &[]);
    assert_eq!(
        (filled.places.len(), filled.beyond_limits),
        (6, 2),
        "three in the large zone, one in the small"
    );
    let room = zones(&[0, 0, 0, 0, 0, 0, 1, 1, 1]);
    let holders: Vec<PeerId> = fill(&room, 0..6, &[], &[]).places.iter().map(|place| place.holder).collect();
    assert_eq!(most(&room, &holders, |site| site.zone.to_string()), 3);
}

proptest! {
    #[test]
    fn new_holders_are_new_there_and_within_the_limits_where_they_can_be(
        ring in any_ring(),
        missing in prop::collection::btree_set(0_u8..6, 0..6),
        away in prop::collection::btree_set(0_u32..24, 0..8),
    ) {
        let table = table_of(ring, CLASS);
        let away: Vec<PeerId> = away.into_iter().map(peer).collect();
        let plan = plan_placement(&table, &object(1), codec(3, 6));
        let occupied: Vec<PeerId> =
            plan.iter().filter(|shard| !missing.contains(&shard.index)).map(|shard| shard.holder).collect();
        let filled = fill(&table, missing.iter().copied(), &occupied, &away);
        let mut all = occupied.clone();
        for place in &filled.places {
            prop_assert!(!all.contains(&place.holder) && !away.contains(&place.holder));
            prop_assert!(missing.contains(&place.index));
            all.push(place.holder);
        }
        let able = table.sites().iter().filter(|site| !occupied.contains(&site.peer) && !away.contains(&site.peer)).count();
        prop_assert_eq!(filled.places.len(), missing.len().min(able), "whoever is there is used");
        prop_assert_eq!(filled.places.len() + filled.homeless.len(), missing.len());
        if filled.beyond_limits == 0 && most(&table, &occupied, |site| site.zone.to_string()) <= 3 && !filled.places.is_empty() {
            prop_assert!(most(&table, &all, |site| site.zone.to_string()) <= 3);
        }
    }

    #[test]
    fn who_has_a_shard_keeps_it_and_each_index_has_one_place(
        before in 1_u32..16,
        after in any_ring(),
        dropped in prop::collection::btree_set(0_u8..6, 0..6),
        extra in prop::collection::btree_set((0_u8..6, 0_u32..24), 0..6),
    ) {
        let codec = codec(3, 6);
        let (before, after) = (table_of(sites(before, 3), CLASS), table_of(after, CLASS));
        let mut held: Vec<Assignment> = plan_placement(&before, &object(1), codec);
        held.retain(|copy| !dropped.contains(&copy.index));
        held.extend(extra.into_iter().map(|(index, holder)| Assignment { index, holder: peer(holder) }));
        let target = Target::of(&after, &object(1), codec, &held, |_| true);

        let holders = after.holders(&object(1), 6);
        prop_assert_eq!(target.shards.iter().map(|shard| shard.holder).collect::<Vec<_>>(), holders.clone());
        let indices: BTreeSet<u8> = target.shards.iter().map(|shard| shard.index).collect();
        prop_assert_eq!(indices.len(), target.shards.len());
        for shard in &target.wanted {
            prop_assert!(!held.contains(shard) && target.shards.contains(shard));
            let own: Vec<u8> = held.iter().filter(|copy| copy.holder == shard.holder).map(|copy| copy.index).collect();
            prop_assert!(own.iter().all(|index| indices.contains(index)), "it has a shard that nobody else is to keep");
        }
        prop_assert!(target.strays.iter().all(|copy| held.contains(copy) && !target.shards.contains(copy)));
        prop_assert_eq!(held.len(), target.strays.len() + held.iter().filter(|copy| target.shards.contains(copy)).count());
        // When there are fewer places than shards, what exists is placed before what would have to be made.
        let existing: BTreeSet<u8> = held.iter().map(|copy| copy.index).collect();
        prop_assert!(existing.iter().filter(|index| indices.contains(index)).count() >= existing.len().min(holders.len()));
        // Whoever is distrusted is passed over, and the next of the walk step in.
        let distrusted = holders.first().copied();
        let without = Target::of(&after, &object(1), codec, &held, |peer| Some(*peer) != distrusted);
        let walk = after.holders(&object(1), 7);
        prop_assert_eq!(without.shards.iter().map(|shard| shard.holder).collect::<Vec<_>>(), walk.get(1..).unwrap_or_default());
        // Once everything is where it should be, nothing moves any more.
        let settled = Target::of(&after, &object(1), codec, &target.shards, |_| true);
        prop_assert!(settled.wanted.is_empty() && settled.strays.is_empty());
        prop_assert_eq!(settled.shards, target.shards);
    }
}
