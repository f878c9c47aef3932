//! Listings: what counts, what is dropped, and that nobody pushes anybody out.

use std::collections::BTreeSet;

use cosmic_common::record::Record as _;
use cosmic_identity::signed::Signed;
use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::{config, label, member, members, network, presence, signed, supernode};
use crate::{
    Door, Listing, Member, Members, Presence, State,
    listing::{Judge, LISTED_MAX, LISTED_OF_ONE_OPERATOR_MAX, places},
    presence::{AHEAD_MAX_MS, PRESENT_ADDRESSES_MAX, PRESENT_FOR_MS},
};

const NOW: u64 = 1_790_000_000_000;

fn listing(presences: &[Signed<Presence>]) -> Vec<u8> {
    Listing { presences: presences.iter().map(|presence| presence.to_bytes().into()).collect() }.to_bytes()
}

fn place(region: Option<&str>) -> [u8; 32] {
    places(network(), region.map(label).as_ref())[0]
}

/// Whoever knows no ring.
fn stranger() -> Judge<'static> {
    Judge { network: network(), now_ms: NOW, members: None }
}

/// Supernodes 1 to `count`, each of its own operator, all in the region `here`.
fn ring(count: u16) -> Members {
    let operators: Vec<u16> = (1..=count).collect();
    let mut ring = members(config(&operators));
    for number in operators {
        ring.insert(signed(member(number, number), number)).unwrap();
    }
    ring
}

fn listed(judged: Option<Vec<u8>>) -> BTreeSet<cosmic_common::id::PeerId> {
    let listing = Listing::from_bytes(&judged.unwrap()).unwrap();
    let peers = listing.presences.iter().map(|bytes| Signed::<Presence>::from_bytes(bytes).unwrap());
    peers.map(|presence| presence.unverified().peer).collect()
}

#[test]
fn places_differ_by_network_region_and_copy() {
    let other = crate::NetworkKey::from_bytes([7; 32]).network();
    let regions = [None, Some(label("here")), Some(label("there"))];
    let all: Vec<_> = regions
        .iter()
        .flat_map(|region| [places(network(), region.as_ref()), places(other, region.as_ref())].concat())
        .collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn a_presence_counts_for_two_hours_and_a_clock_may_be_ahead_a_little() {
    let counts = |said_ms| stranger().judge(&place(None), None, &listing(&[presence(1, said_ms)])).is_some();
    assert!(counts(NOW) && counts(NOW - PRESENT_FOR_MS) && counts(NOW + AHEAD_MAX_MS));
    assert!(!counts(NOW - PRESENT_FOR_MS - 1) && !counts(NOW + AHEAD_MAX_MS + 1));
    assert!(!counts(0) && !counts(u64::MAX));
}

#[test]
fn the_later_word_of_a_peer_counts() {
    let judge = stranger();
    let [old, new] = [presence(1, NOW - 5), presence(1, NOW)].map(|presence| listing(&[presence]));
    assert_eq!(judge.judge(&place(None), Some(&old), &new), Some(new.clone()));
    assert_eq!(judge.judge(&place(None), Some(&new), &old), Some(new));
}

#[test]
fn forged_presences_are_dropped_and_the_others_stay() {
    let forged = |presence: Presence| Signed::sign(presence, &supernode(99));
    let real = presence(1, NOW);
    let named = presence(2, NOW).unverified().clone();
    let address = named.addresses[0].clone();
    let foreign = Presence { network: crate::NetworkKey::from_bytes([7; 32]).network(), ..named.clone() };
    let nowhere = Presence { addresses: vec![], ..named.clone() };
    let wide = Presence { addresses: vec![address; PRESENT_ADDRESSES_MAX + 1], ..named.clone() };
    let of_its_own = [foreign, nowhere, wide].map(|presence| Signed::sign(presence, &supernode(2)));
    let bad: Vec<_> = of_its_own.into_iter().chain([forged(named)]).collect();
    assert_eq!(stranger().judge(&place(None), None, &listing(&bad)), None);
    let mixed: Vec<_> = bad.into_iter().chain([real.clone()]).collect();
    assert_eq!(stranger().judge(&place(None), None, &listing(&mixed)), Some(listing(&[real])));
    assert_eq!(stranger().judge(&place(None), None, b"no listing"), None);
    assert_eq!(stranger().judge(&place(None), None, &listing(&[])), None);
}

#[test]
fn only_who_has_a_part_in_the_network_is_listed_and_only_in_its_region() {
    let door =
        Door { peer: supernode(8).peer_id(), addresses: vec!["/ip4/192.0.2.8/tcp/1".parse().unwrap()] };
    let mut ring = members(crate::NetworkConfig { doors: vec![door], ..config(&[1, 2]) });
    ring.insert(signed(member(1, 1), 1)).unwrap();
    ring.insert(signed(Member { state: State::Retired, ..member(2, 2) }, 2)).unwrap();
    let judge = Judge { members: Some(&ring), ..stranger() };
    let counts = |number: u16, region: Option<&str>| {
        judge.judge(&place(region), None, &listing(&[presence(number, NOW)])).is_some()
    };
    assert!(counts(1, None) && counts(1, Some("here")) && !counts(1, Some("there")));
    assert!(counts(8, None) && !counts(8, Some("here")), "a bootstrap node has no region");
    assert!(!counts(2, None) && !counts(2, Some("here")), "a retired one serves nobody");
    assert!(!counts(3, None) && !counts(3, Some("here")), "a stranger");
    assert!(judge.judge(&[0; 32], None, &listing(&[presence(1, NOW)])).is_none(), "no such place");
}

#[test]
fn one_operator_does_not_fill_a_listing() {
    let mut ring = members(config(&[1, 2]));
    for number in 1..=8 {
        ring.insert(signed(member(number, if number == 8 { 2 } else { 1 }), if number == 8 { 2 } else { 1 }))
            .unwrap();
    }
    let judge = Judge { members: Some(&ring), ..stranger() };
    let all: Vec<_> = (1..=8).map(|number| presence(number, NOW)).collect();
    let listed = listed(judge.judge(&place(None), None, &listing(&all)));
    assert_eq!(listed.len(), LISTED_OF_ONE_OPERATOR_MAX + 1);
    assert!(listed.contains(&supernode(8).peer_id()));
}

#[test]
fn the_largest_listing_fits_its_limit() {
    let address: cosmic_common::address::Address =
        format!("/dns4/{}/tcp/7410", "a".repeat(240)).parse().unwrap();
    let widest = |number: u16| {
        let presence = Presence {
            network: network(),
            peer: supernode(number).peer_id(),
            said_ms: u64::MAX,
            addresses: vec![address.clone(); PRESENT_ADDRESSES_MAX],
        };
        Signed::sign(presence, &supernode(number))
    };
    let all: Vec<_> = (0..12).map(widest).collect();
    assert_eq!(all.len(), LISTED_MAX);
    assert!(Signed::<Presence>::from_bytes(&all[0].to_bytes()).is_ok());
    assert!(listing(&all).len() <= Listing::LIMIT);
}

proptest! {
    /// In whatever order and pieces presences come, the same ones are kept, and as many as there may be.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        batches in vec(subsequence((1_u16..=20).collect::<Vec<_>>(), 1..=LISTED_MAX), 1..6),
    ) {
        let ring = ring(20);
        let judge = Judge { members: Some(&ring), ..stranger() };
        let fold = |batches: &[Vec<u16>]| {
            batches.iter().fold(None, |known: Option<Vec<u8>>, batch| {
                let presences: Vec<_> = batch.iter().map(|number| presence(*number, NOW)).collect();
                judge.judge(&place(None), known.as_deref(), &listing(&presences))
            })
        };
        let backwards: Vec<_> = batches.iter().rev().cloned().collect();
        let kept = fold(&batches);
        prop_assert_eq!(&kept, &fold(&backwards));
        let known: BTreeSet<_> = batches.iter().flatten().collect();
        prop_assert_eq!(listed(kept).len(), known.len().min(LISTED_MAX));
    }
}
