//! Who merges, whose word counts, and what the network looks like then.

use std::{collections::BTreeSet, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Members, State};

use super::{NOW, key, label, member, members, network, peer, ring, signed, word};
use crate::{
    Collection, Error, Figures, Frame, MemberState, MemberSummary, Reports, Rhythm, States, World,
    aggregators::{AGGREGATORS, aggregators, hour},
    collection::Told,
    merge,
};

const HERE: [&str; 5] = ["here"; 5];

fn figures(devices: u64) -> Figures {
    Figures { devices, spaces_milli: 1000, kept_bytes: 1 << 20, ..Figures::default() }
}

/// The number of an aggregator of a region now, and of a member that is none.
fn offices(members: &Members, region: &str) -> (u8, u8) {
    let hours = crate::reports::duty_hours(NOW, &Rhythm::default());
    let first = aggregators(members, &label(region), hour(NOW))[0];
    let is_free = |number: &u8| {
        hours.iter().all(|hour| !aggregators(members, &label(region), *hour).contains(&peer(*number)))
    };
    let number = |one: PeerId| (1..=9).find(|number| peer(*number) == one).unwrap();
    let free = (1..=9).find(|number| members.is_active(&peer(*number)) && is_free(number)).unwrap();
    (number(first), free)
}

#[test]
fn three_merge_a_region_and_others_an_hour_later() {
    let members = members(&["here", "here", "here", "here", "here", "there"]);
    let here = label("here");
    let mut ever = BTreeSet::new();
    for hour in 0..24 {
        let now = aggregators(&members, &here, hour);
        assert_eq!(now.len(), AGGREGATORS);
        assert!(!now.contains(&peer(6)));
        ever.extend(now);
    }
    assert_eq!(ever.len(), 5, "everybody's turn comes");
    assert_eq!(aggregators(&members, &label("there"), 1), [peer(6)]);
    assert!(aggregators(&members, &label("nowhere"), 1).is_empty());
}

#[test]
fn the_word_of_a_member_counts_once_while_it_is_fresh() {
    let all = members(&HERE);
    let (me, free) = offices(&all, "here");
    let teller = (1..=5).find(|number| *number != me).unwrap();
    let rhythm = Rhythm::default();
    let mut reports = Reports::default();
    let mut take = |word: MemberSummary, by: u8, from: u8, to: u8, members: &Members| {
        reports.take(&signed(word, by), (peer(from), peer(to)), members, NOW, &rhythm)
    };
    let good = word(teller, figures(3), NOW);
    let earlier = Timestamp::from_unix_ms(NOW.unix_ms() - 91_000);
    let later = NOW.after(Duration::from_secs(121));
    let told = |time| MemberSummary { time, ..good.clone() };
    assert!(matches!(take(told(earlier), teller, teller, me, &all), Err(Error::Stale(_))));
    assert!(matches!(take(told(later), teller, teller, me, &all), Err(Error::Stale(_))));
    assert!(matches!(take(good.clone(), teller, me, me, &all), Err(Error::Anothers { .. })));
    assert!(matches!(take(good.clone(), me, teller, me, &all), Err(Error::Forged { .. })));
    assert!(matches!(take(good.clone(), teller, teller, free, &all), Err(Error::NotMine { .. })));
    let away = MemberSummary { state: MemberState::Away, ..good.clone() };
    assert!(matches!(take(away, teller, teller, me, &all), Err(Error::State(_))));
    let other = cosmic_common::id::NetworkId::from_bytes([1; 32]);
    let elsewhere = MemberSummary { network: other, ..good.clone() };
    assert!(matches!(take(elsewhere, teller, teller, me, &all), Err(Error::OtherNetwork { .. })));
    let mut without = all.clone();
    without.insert(member(teller, "here", State::Retired, 2)).unwrap();
    assert!(matches!(take(good.clone(), teller, teller, me, &without), Err(Error::NotAMember(_))));
    take(good.clone(), teller, teller, me, &all).unwrap();
    assert!(matches!(take(good, teller, teller, me, &all), Err(Error::Stale(_))), "once");
    assert_eq!(reports.len(), 1);
    reports.forget(&all, NOW.after(Duration::from_secs(89)), &rhythm);
    assert_eq!(reports.len(), 1);
    reports.forget(&without, NOW, &rhythm);
    assert!(reports.is_empty());
}

/// What the aggregator `number` says when it heard these words.
fn told(all: &Members, number: u8, words: &[MemberSummary], region: &str) -> Told {
    let mut reports = Reports::default();
    for word in words {
        let from = (1..=9).find(|number| peer(*number) == word.peer).unwrap();
        reports
            .take(&signed(word.clone(), from), (word.peer, peer(number)), all, NOW, &Rhythm::default())
            .unwrap();
    }
    let ring = ring(all, number);
    let region = label(region);
    let reporters = reports.reporters(&region, all, &ring, |one| *one != peer(5));
    let frame = Frame { network: network(), region: region.clone(), aggregator: peer(number), time: NOW };
    let (region, zones) = merge(frame, &reporters);
    Told { region: Signed::sign(region, &key(number)), zones: Signed::sign(zones, &key(number)) }
}

fn aggregators_of(all: &Members, region: &str) -> Vec<u8> {
    let peers = aggregators(all, &label(region), hour(NOW));
    peers.iter().map(|one| (1..=9).find(|number| peer(*number) == *one).unwrap()).collect()
}

const AGE: Duration = Duration::from_mins(24);

#[test]
fn small_networks_are_counted_exactly_and_one_aggregator_lies_in_vain() {
    let all = members(&["here", "here", "here", "here", "here", "there"]);
    // Members 1 and 2 have two devices in common; 4 is there and says nothing, 5 is away.
    let mut words: Vec<MemberSummary> =
        [(1, 5), (2, 2), (3, 3)].map(|(number, count)| word(number, figures(count), NOW)).into();
    words[1].devices = super::devices(1000, 2);
    words[2].state = MemberState::Troubled;
    let mut collection = Collection::default();
    for number in aggregators_of(&all, "here") {
        assert!(collection.take(told(&all, number, &words, "here"), &all, NOW, AGE).unwrap());
    }
    let there = word(6, figures(7), NOW);
    collection.take(told(&all, 6, &[there], "there"), &all, NOW, AGE).unwrap();
    let world = World::of(&collection);
    let [here, there] = &world.regions[..] else { panic!("two regions") };
    assert_eq!(here.states, States { well: 2, troubled: 1, leaving: 0, untold: 1, away: 1 });
    // Ten, of which two are the same, and what is usual for who says nothing.
    assert_eq!((here.figures.devices, here.aggregators.len()), (10, 3));
    let spaces = (here.figures.spaces_milli + 500) / 1000;
    assert_eq!(spaces, 5, "what the ring gives to who is away is elsewhere as well");
    assert_eq!(here.figures.kept_bytes, 4 << 20);
    assert_eq!(there.figures.devices, 7);
    assert_eq!(world.figures.devices, 17);
    assert_eq!(world.states.members(), 6);
    let zones: Vec<(&str, u32)> =
        here.zones.iter().map(|line| (line.zone.as_str(), line.states.members())).collect();
    assert_eq!(zones, [("zone-0", 1), ("zone-1", 2), ("zone-2", 2)]);

    // One of the three says something else, a moment later.
    let liar = aggregators_of(&all, "here")[1];
    let mut lie = told(&all, liar, &words, "here");
    let (mut region, mut zones) = (lie.region.unverified().clone(), lie.zones.unverified().clone());
    region.time = NOW.after(Duration::from_secs(1));
    zones.time = region.time;
    region.figures = Figures::each(|_measure| u64::MAX);
    region.states = States { away: u32::MAX, ..States::default() };
    region.devices = None;
    zones.zones.clear();
    lie.region = Signed::sign(region, &key(liar));
    lie.zones = Signed::sign(zones, &key(liar));
    assert!(collection.take(lie, &all, NOW, AGE).unwrap());
    let after = World::of(&collection);
    assert_eq!((after.figures, after.states), (world.figures, world.states));
    assert_eq!(after.regions[0].zones, world.regions[0].zones);
}

#[test]
fn only_aggregators_speak_for_their_region_and_only_while_it_is_fresh() {
    let all = members(&HERE);
    let (me, free) = offices(&all, "here");
    let mut collection = Collection::default();
    let good = told(&all, me, &[], "here");
    let again = |by: u8, time: Timestamp| {
        let region = crate::RegionSummary { time, aggregator: peer(by), ..good.region.unverified().clone() };
        let zones = crate::ZoneTable { time, aggregator: peer(by), ..good.zones.unverified().clone() };
        Told { region: Signed::sign(region, &key(by)), zones: Signed::sign(zones, &key(by)) }
    };
    let mut take = |told: Told, now: Timestamp| collection.take(told, &all, now, AGE);
    assert!(matches!(take(again(free, NOW), NOW), Err(Error::NotAnAggregator { .. })));
    assert!(matches!(take(again(me, NOW), NOW.after(AGE + Duration::from_secs(1))), Err(Error::Stale(_))));
    assert!(matches!(take(again(me, NOW.after(Duration::from_mins(3))), NOW), Err(Error::Stale(_))));
    let mixed = Told { zones: again(me, NOW.after(Duration::from_secs(1))).zones, ..good.clone() };
    assert!(matches!(take(mixed, NOW), Err(Error::Mismatch(_))));
    let forged = Told { region: Signed::sign(good.region.unverified().clone(), &key(free)), ..good.clone() };
    assert!(matches!(take(forged, NOW), Err(Error::Forged { .. })));
    assert!(take(good.clone(), NOW).unwrap());
    assert!(!take(good, NOW).unwrap(), "it is known");
    // Passed on and taken from there, it is the same.
    let (gathered, more) = collection.after(None);
    assert!(!more && gathered == collection.of(&label("here")));
    assert!(collection.after(Some(&label("here"))).0.is_empty());
    let mut other = Collection::default();
    assert!(other.take_all(&gathered, &all, NOW, AGE).is_empty());
    assert_eq!(World::of(&other), World::of(&collection));
    let mut merged = Collection::default();
    merged.merge(other);
    assert_eq!(World::of(&merged), World::of(&collection));
    collection.forget(&all, NOW.after(AGE + Duration::from_secs(1)), AGE);
    assert_eq!(World::of(&collection), World::default());
}
