//! Atlases: everything within the regions of its space, one region a ring, and little moved between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use cosmic_common::id::{PeerId, SpaceId};
use proptest::{collection::vec, prelude::*};

use super::{label, site};
use crate::{Atlas, Class, Label, Regions, Site, Table, table::REPLICAS};

const BITS: u8 = 8;

fn region(number: u32) -> Label {
    label(&format!("region-{number}"))
}

/// `counts[r]` members in region r, in three zones of their own, each its own operator's.
fn stand(counts: &[u32]) -> Vec<(Site, Label)> {
    let in_region = |(number, count): (u32, &u32)| {
        (0..*count).map(move |member| {
            let zone = number * 3 + member % 3;
            (site(number * 1_000 + member, zone, number * 1_000 + member, 1), region(number))
        })
    };
    (0..).zip(counts).flat_map(in_region).collect()
}

/// A space whose id begins with the number of a partition.
fn space(partition: u32, bits: u8) -> SpaceId {
    let mut id = [7; 32];
    id[..4].copy_from_slice(&(partition << (32 - u32::from(bits))).to_be_bytes());
    SpaceId::from_bytes(id)
}

fn spaces(bits: u8) -> impl Iterator<Item = SpaceId> {
    (0..1 << bits).map(move |partition| space(partition, bits))
}

fn regions_of(atlas: &Atlas, ring: &Table) -> BTreeSet<Label> {
    ring.sites().iter().map(|site| atlas.region_of(&site.peer).unwrap().clone()).collect()
}

/// Members of up to five regions of very different sizes.
fn any_stand() -> impl Strategy<Value = Vec<(Site, Label)>> {
    vec((0_u32..5, 0_u32..4, 0_u32..6, 1_u16..4), 0..50).prop_map(|members| {
        (0_u32..)
            .zip(members)
            .map(|(number, (place, zone, operator, weight))| {
                // Squared, so that some regions are wide and others are not.
                let place = place * place / 4;
                (site(number, zone, operator, weight), region(place))
            })
            .collect()
    })
}

fn any_regions() -> impl Strategy<Value = Regions> {
    vec(0_u32..6, 0..4).prop_map(|numbers| {
        let names: Vec<String> = numbers.into_iter().map(|number| format!("region-{number}")).collect();
        Regions::named(names.iter().map(String::as_str))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_placed_outside_the_regions_of_its_space(sites in any_stand(), regions in any_regions(), id: [u8; 32]) {
        let atlas = Atlas::of(sites.clone(), BITS, &[]);
        let ring = atlas.ring(&SpaceId::from_bytes(id), &regions);
        for site in ring.sites() {
            prop_assert!(atlas.permits(&regions, &site.peer));
        }
        let permitted = sites.iter().filter(|(_site, region)| regions.permits(region)).count();
        prop_assert_eq!(ring.is_empty(), permitted == 0, "nowhere only if nobody stands there");
        prop_assert_eq!(ring.class(), Class::for_members(ring.len(), &[]), "a smaller ring has a smaller class");
    }

    #[test]
    fn a_ring_is_one_region_unless_all_are_narrow(sites in any_stand(), regions in any_regions(), id: [u8; 32]) {
        let atlas = Atlas::of(sites, BITS, &[]);
        let ring = atlas.ring(&SpaceId::from_bytes(id), &regions);
        let permitted = || atlas.regions().filter(|shape| regions.permits(&shape.name));
        let wide: BTreeSet<Label> = permitted().filter(|shape| shape.members > 6).map(|shape| shape.name).collect();
        let has = regions_of(&atlas, &ring);
        if wide.is_empty() {
            prop_assert_eq!(has, permitted().map(|shape| shape.name).collect(), "too narrow alone, they stand together");
        } else {
            prop_assert_eq!(has.len(), 1);
            prop_assert!(has.is_subset(&wide));
            let members = permitted().find(|shape| has.contains(&shape.name)).unwrap().members;
            prop_assert_eq!(ring.len(), members, "the whole region");
        }
    }

    #[test]
    fn the_same_members_make_the_same_atlas(
        sites in any_stand().prop_flat_map(|sites| (Just(sites.clone()), Just(sites).prop_shuffle())),
        regions in any_regions(),
        id: [u8; 32],
    ) {
        let [one, other] = [sites.0, sites.1].map(|sites| Atlas::of(sites, BITS, &[]));
        prop_assert_eq!(one.digest(), other.digest());
        // Asked twice, the second time what is kept.
        for _ in 0..2 {
            let rings = [&one, &other].map(|atlas| atlas.ring(&SpaceId::from_bytes(id), &regions));
            prop_assert_eq!(&rings[0], &rings[1]);
        }
    }

    #[test]
    fn one_region_is_placed_as_it_always_was(sites in any_stand(), id: [u8; 32]) {
        let plain: Vec<Site> = sites.iter().map(|(site, _region)| site.clone()).collect();
        let class = Class::for_members(plain.len(), &[]);
        let before = Table::of(plain.clone(), BITS, class);
        let here = plain.into_iter().map(|site| (site, label("here"))).collect();
        let atlas = Atlas::of(here, BITS, &[]);
        prop_assert_eq!(atlas.digest(), before.digest());
        for regions in [Regions::ALL, Regions::named(["here"]), Regions::named(["here", "there"])] {
            prop_assert_eq!(&*atlas.ring(&SpaceId::from_bytes(id), &regions), &before);
        }
    }
}

#[test]
fn who_stands_where_is_in_the_digest() {
    let sites = stand(&[7, 7]);
    let mut moved = sites.clone();
    moved[0].1 = region(1);
    assert_ne!(Atlas::of(sites, BITS, &[]).digest(), Atlas::of(moved, BITS, &[]).digest());
}

#[test]
fn a_region_that_nobody_stands_in_keeps_nothing_and_gives_nothing_away() {
    let atlas = Atlas::of(stand(&[9, 9]), BITS, &[]);
    for names in [&["region-2"][..], &["Not A Label"], &["", "Not A Label"]] {
        let regions = Regions::named(names.iter().copied());
        assert!(!regions.is_all());
        assert!(atlas.ring(&space(1, BITS), &regions).is_empty(), "{names:?}");
    }
    assert_eq!(Regions::named([]), Regions::ALL);
}

#[test]
fn a_space_of_a_narrow_region_gets_a_smaller_class() {
    let atlas = Atlas::of(stand(&[20, 3]), BITS, &[]);
    let class = |regions: &Regions| atlas.ring(&space(1, BITS), regions).class();
    assert_eq!(class(&Regions::named(["region-1"])), Class { k: 1, n: 3 });
    assert_eq!(class(&Regions::named(["region-0"])), Class { k: 10, n: 20 });
    assert_eq!(class(&Regions::ALL), Class { k: 10, n: 20 }, "the narrow region makes nothing narrower");
    let shapes: Vec<_> = atlas.regions().map(|shape| (shape.members, shape.is_wide, shape.class)).collect();
    assert_eq!(shapes, [(20, true, Class { k: 10, n: 20 }), (3, false, Class { k: 1, n: 3 })]);
}

#[test]
fn a_region_loses_one_member_without_losing_its_spaces() {
    let regions = |count: u32| {
        let atlas = Atlas::of(stand(&[count, 12]), BITS, &[]);
        spaces(BITS)
            .map(|space| regions_of(&atlas, &atlas.ring(&space, &Regions::ALL)))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(regions(7).len(), 2, "with a spare member it is wide");
    assert_eq!(regions(6), [[region(1)].into()].into(), "as wide as its objects it has no room to heal");
}

/// How many spaces have their home in each region.
fn homes(atlas: &Atlas, bits: u8) -> BTreeMap<Label, u32> {
    let mut homes = BTreeMap::new();
    for space in spaces(bits) {
        let has = regions_of(atlas, &atlas.ring(&space, &Regions::ALL));
        *homes.entry(has.into_iter().next().unwrap()).or_default() += 1;
    }
    homes
}

#[test]
fn regions_get_spaces_by_what_their_members_weigh() {
    for counts in [&[7, 7][..], &[20, 20, 20], &[40, 20, 10], &[100, 60, 30, 10]] {
        let homes = homes(&Atlas::of(stand(counts), 12, &[]), 12);
        let all: u32 = counts.iter().sum();
        for (number, count) in (0..).zip(counts) {
            let share = 4096 * count / all;
            let has = 100 * homes[&region(number)] / share;
            assert!((70..=130).contains(&has), "{counts:?}: region {number} has {has} % of its share");
        }
    }
}

/// Holders of the first `places` of each partition of a ring.
fn holders(ring: &Table, places: usize) -> Vec<BTreeSet<PeerId>> {
    ring.partitions()
        .map(|partition| ring.walk(partition).take(places).map(|site| site.peer).collect())
        .collect()
}

/// What moves, in per cent of what the one who leaves kept, when one of `counts[0]` leaves: shards of `places` for each
/// object, as many objects in each space. And of that what goes from one region to another.
fn movement(counts: &[u32], bits: u8, places: usize) -> (u64, u64) {
    let (mut kept, mut moved, mut far) = (0, 0, 0);
    for round in 0..4 {
        let sites = stand(counts);
        let leaver = sites[round].0.peer;
        let fewer = sites.iter().filter(|(site, _region)| site.peer != leaver).cloned().collect();
        let [with, without] = [sites.clone(), fewer].map(|sites| Atlas::of(sites, bits, &[]));
        // Everything of a ring to the same region's ring, and everything of a space that has another home.
        let mut within: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for space in spaces(bits) {
            let [old, new] = [&with, &without].map(|atlas| atlas.ring(&space, &Regions::ALL));
            let (home, next) = (regions_of(&with, &old), regions_of(&without, &new));
            let (own, changed) = *within.entry((home.clone(), next.clone())).or_insert_with(|| {
                let [old, new] = [holders(&old, places), holders(&new, places)];
                let own = old.iter().filter(|holders| holders.contains(&leaver)).count() as u64;
                let changed = old.iter().zip(&new).map(|(old, new)| new.difference(old).count() as u64).sum();
                (own, changed)
            });
            kept += own;
            moved += changed;
            far += if home == next { 0 } else { changed };
        }
    }
    (100 * moved / kept, 100 * far / kept)
}

#[test]
fn little_moves_between_regions_when_members_come_and_go() {
    // At least what the leaver kept has to be made again, and a region that weighs less keeps as much less.
    for (counts, bits, most, most_far) in [
        (&[30][..], 10, 125, 0),
        (&[30, 30], 10, 205, 95),
        (&[20, 20, 20], 10, 215, 105),
        (&[60, 30], 12, 185, 80),
    ] {
        for places in [REPLICAS, 6] {
            let (moved, far) = movement(counts, bits, places);
            assert!(moved <= most && far <= most_far, "{counts:?}, {places} places: {moved} %, {far} % far");
        }
    }
}

#[test]
fn golden_atlas() {
    let atlas = Atlas::of(stand(&[7, 8, 2]), 5, &[]);
    let mut lines = format!("digest {}\n", atlas.digest());
    for space in spaces(5) {
        let line = [Regions::ALL, Regions::named(["region-0", "region-2"]), Regions::named(["region-2"])]
            .map(|regions| {
                let ring = atlas.ring(&space, &regions);
                let replicas: Vec<String> = ring.replicas_of(&space).map(|peer| peer.short()).collect();
                format!(
                    "{} {}",
                    regions_of(&atlas, &ring).iter().map(Label::as_str).collect::<Vec<_>>().join("+"),
                    replicas.join(" ")
                )
            });
        lines += &format!("{}\n", line.join(", "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/atlas.v1.txt");
    assert_eq!(lines, fs::read_to_string(&path).unwrap(), "the atlas never changes: {}", path.display());
}
