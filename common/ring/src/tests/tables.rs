//! Tables: equal everywhere, within their limits, balanced, and steady when members come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use cosmic_common::id::{ObjectId, PeerId};
use proptest::{collection::vec, prelude::*};

use super::site;
use crate::{Class, ClassStep, Partition, Site, Table, table::REPLICAS};

const BITS: u8 = 8;

/// What the tests of tables say is said of 3 of 6.
fn table(sites: Vec<Site>, bits: u8) -> Table {
    let class = Class::for_members(sites.len(), &[ClassStep { members: 6, k: 3, n: 6 }]);
    Table::of(sites, bits, class)
}

/// `count` members in `zones` zones, each its own operator's, all of one weight.
fn even(count: u32, zones: u32) -> Vec<Site> {
    (0..count).map(|number| site(number, number % zones, number, 1)).collect()
}

/// What `of` says about the first `places` of all partitions, counted.
fn loads<K: Ord>(table: &Table, places: usize, of: impl Fn(&Site) -> K) -> BTreeMap<K, u64> {
    let mut loads = BTreeMap::new();
    for site in table.partitions().flat_map(|partition| table.walk(partition).take(places)) {
        *loads.entry(of(site)).or_default() += 1;
    }
    loads
}

fn most_of<K: Ord>(sites: &[&Site], of: impl Fn(&Site) -> K) -> usize {
    let mut counts = BTreeMap::new();
    sites.iter().for_each(|site| *counts.entry(of(site)).or_insert(0) += 1);
    counts.into_values().max().unwrap_or(0)
}

/// Rings of any shape: up to 40 members in up to 6 zones, up to 8 operators, weights up to 4.
fn any_sites() -> impl Strategy<Value = Vec<Site>> {
    vec((0_u32..6, 0_u32..8, 1_u16..5), 0..40).prop_map(|members| {
        (0_u32..)
            .zip(members)
            .map(|(number, (zone, operator, weight))| site(number, zone, operator, weight))
            .collect()
    })
}

/// The least limit per group that leaves room for `places`, counted the slow way.
fn least_limit(sizes: impl IntoIterator<Item = usize> + Clone, places: usize) -> usize {
    (0..=places)
        .find(|limit| sizes.clone().into_iter().map(|size| size.min(*limit)).sum::<usize>() >= places)
        .unwrap()
}

fn sizes<K: Ord>(sites: &[Site], of: impl Fn(&Site) -> K) -> Vec<usize> {
    let mut sizes = BTreeMap::new();
    sites.iter().for_each(|site| *sizes.entry(of(site)).or_insert(0) += 1);
    sizes.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_members_make_the_same_table(sites in any_sites().prop_flat_map(|sites| (Just(sites.clone()), Just(sites).prop_shuffle()))) {
        let (sites, shuffled) = sites;
        prop_assert_eq!(table(sites, BITS), table(shuffled, BITS));
    }

    #[test]
    fn every_partition_keeps_its_limits(sites in any_sites()) {
        let table = table(sites.clone(), BITS);
        let n = usize::from(table.class().n).min(sites.len());
        let replicas = REPLICAS.min(sites.len());
        let zones = sizes(&sites, |site| site.zone.clone());
        for partition in table.partitions() {
            let walk: Vec<&Site> = table.walk(partition).collect();
            prop_assert_eq!(walk.len(), sites.len().min(2 * usize::from(table.class().n).max(REPLICAS)));
            let peers: BTreeSet<PeerId> = walk.iter().map(|site| site.peer).collect();
            prop_assert_eq!(peers.len(), walk.len(), "nobody is there twice");
            for places in [replicas, n.max(replicas)] {
                prop_assert!(most_of(&walk[..places], |site| site.zone.clone()) <= least_limit(zones.clone(), places));
            }
        }
    }

    #[test]
    fn no_operator_has_too_much_where_zones_leave_a_choice(count in 6_u32..40, zones in 3_u32..6) {
        // In every zone every operator has a member, so one limit never stands against the other.
        let sites = (0..count * zones).map(|number| site(number, number % zones, number / zones % 4, 1)).collect();
        let table = table(sites, BITS);
        for partition in table.partitions() {
            let walk: Vec<&Site> = table.walk(partition).take(6).collect();
            prop_assert!(most_of(&walk, |site| site.operator) <= 3, "n - k of 3 of 6");
            prop_assert!(most_of(&walk[..3], |site| site.operator) <= 2, "no operator has all replicas");
            prop_assert_eq!(most_of(&walk[..3], |site| site.zone.clone()), 1, "replicas are in distinct zones");
        }
    }

    #[test]
    fn any_key_has_a_place(sites in any_sites(), key: [u8; 32], bits in 1_u8..=16) {
        let table = table(sites, bits.min(10));
        let partition = table.partition_of(&key);
        prop_assert!(table.partitions().any(|known| known == partition));
        let holders = table.holders(&ObjectId::from_bytes(key), 6);
        prop_assert_eq!(holders.len(), table.len().min(6));
        prop_assert!(table.replicas(partition).eq(holders.into_iter().take(REPLICAS)));
    }
}

#[test]
fn the_demo_has_two_shards_in_each_of_three_zones() {
    let table = table(even(6, 3), 12);
    assert_eq!(table.class(), Class { k: 3, n: 6 });
    for partition in table.partitions() {
        let walk: Vec<&Site> = table.walk(partition).collect();
        assert_eq!((walk.len(), most_of(&walk, |site| site.zone.clone())), (6, 2));
        assert_eq!(most_of(&walk[..3], |site| site.zone.clone()), 1);
    }
}

#[test]
fn small_rings_have_copies() {
    for (count, n) in [(0, 1), (1, 1), (2, 2), (3, 3), (4, 3), (5, 3)] {
        let table = table(even(count, 2), BITS);
        assert_eq!(table.class(), Class { k: 1, n });
        assert_eq!(table.replicas(Partition::default()).count(), usize::from(n).min(count as usize));
    }
}

#[test]
fn an_operator_with_most_members_gets_no_more_than_may_be_lost() {
    // Eight of twelve are one operator's; 3 of 6 may lose 3.
    let sites = (0..12).map(|number| site(number, number % 3, number.saturating_sub(7), 1)).collect();
    let table = table(sites, BITS);
    for partition in table.partitions() {
        assert!(most_of(&table.walk(partition).take(6).collect::<Vec<_>>(), |site| site.operator) <= 3);
    }
}

/// A member's load against its share, times 100, at most: of holders and of replicas.
fn fullest(table: &Table) -> (u64, u64) {
    let weight: u64 = table.sites().iter().map(|site| u64::from(site.weight)).sum();
    let of = |places: usize| {
        let slots = (places * table.partitions().count()) as u64;
        let weights: BTreeMap<PeerId, u64> =
            table.sites().iter().map(|site| (site.peer, u64::from(site.weight))).collect();
        loads(table, places, |site| site.peer)
            .into_iter()
            .map(|(peer, load)| 100 * load * weight / (slots * weights[&peer]))
            .max()
            .unwrap()
    };
    (of(6), of(3))
}

#[test]
fn no_member_takes_more_than_five_quarters_of_its_share() {
    for (count, zones) in [(30, 10), (60, 10), (60, 5), (300, 10)] {
        let (holder, replica) = fullest(&table(even(count, zones), 12));
        assert!(
            holder <= 126 && replica <= 126,
            "{count} members in {zones} zones: {holder} and {replica} %"
        );
    }
    let weighted = (0..60)
        .map(|number| site(number, number % 10, number, 1 + u16::try_from(number % 4).unwrap()))
        .collect();
    let (holder, replica) = fullest(&table(weighted, 12));
    assert!(holder <= 126 && replica <= 126, "by weight: {holder} and {replica} %");
}

/// How many places change hands from one table to the other, as holders of the first `places`. The same both
/// ways, because both have as many places: what leaving moves, joining moves back.
fn moved(from: &Table, to: &Table, places: usize) -> u64 {
    let holders = |table: &Table, partition| {
        table.walk(partition).take(places).map(|site| site.peer).collect::<BTreeSet<_>>()
    };
    let changed = |partition| holders(to, partition).difference(&holders(from, partition)).count() as u64;
    from.partitions().map(changed).sum()
}

/// Moved places against the fewest possible, in per cent, when one of `count` members leaves or joins.
fn movement(count: u32, zones: u32, bits: u8, places: usize) -> u64 {
    let class = Class { k: 3, n: 6 };
    let (mut all, mut fewest) = (0, 0);
    for round in 0..6 {
        let sites = even(count, zones);
        let fewer = sites.iter().filter(|site| site.peer != sites[round].peer).cloned().collect();
        let (with, without) = (Table::of(sites.clone(), bits, class), Table::of(fewer, bits, class));
        fewest += loads(&with, places, |site| site.peer)[&sites[round].peer];
        all += moved(&with, &without, places);
    }
    100 * all / fewest
}

#[test]
fn little_moves_when_members_come_and_go() {
    for (count, zones, bits, most) in
        [(7, 3, 12, 101), (30, 10, 12, 106), (60, 10, 12, 106), (300, 10, 14, 115)]
    {
        for places in [REPLICAS, 6] {
            let moved = movement(count, zones, bits, places);
            assert!(moved <= most, "{count} members, the first {places} places: {moved} % of the fewest");
        }
    }
}

#[test]
fn golden_table() {
    let shapes =
        [(0, 0, 0, 1), (1, 1, 1, 2), (2, 2, 2, 1), (3, 0, 3, 1), (4, 1, 0, 1), (5, 2, 1, 3), (6, 0, 2, 1)];
    let sites = shapes.map(|(number, zone, operator, weight)| site(number, zone, operator, weight)).to_vec();
    let table = table(sites, 5);
    let mut lines = format!("digest {}\n", table.digest());
    for partition in table.partitions() {
        let walk: Vec<String> = table.walk(partition).map(|site| site.peer.short()).collect();
        lines += &format!("{} {}\n", partition.number(), walk.join(" "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/table.v1.txt");
    assert_eq!(
        lines,
        fs::read_to_string(&path).unwrap(),
        "the table of the same members never changes: {}",
        path.display()
    );
}

#[test]
fn the_class_follows_from_the_number_of_members() {
    let class = |members| {
        let Class { k, n } = Class::for_members(members, &[]);
        (k, n)
    };
    let found = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 19, 20, 4096].map(class);
    assert_eq!(
        found,
        [
            (1, 1),
            (1, 1),
            (1, 2),
            (1, 3),
            (1, 3),
            (3, 6),
            (3, 6),
            (5, 10),
            (5, 10),
            (8, 14),
            (8, 14),
            (10, 20),
            (10, 20)
        ]
    );
}
