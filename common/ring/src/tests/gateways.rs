//! Gateways: near before far, the less loaded of a few, and whoever is full or leaves last.

use std::{collections::BTreeSet, time::Duration};

use cosmic_common::{id::PeerId, record::Record as _};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::supernode;
use crate::gateway::{ASKED, Candidate, GatewayReport, Seen, choose, draw};

fn candidate(number: u16, weight: u16) -> Candidate {
    Candidate { peer: supernode(number).peer_id(), weight }
}

fn report(sessions: u32) -> GatewayReport {
    GatewayReport { sessions, sessions_max: 1000, leaving: false, alternatives: Vec::new() }
}

fn seen(number: u16, weight: u16, ms: u64, sessions: u32) -> Seen {
    let round_trip = Some(Duration::from_millis(ms));
    Seen { candidate: candidate(number, weight), round_trip, report: Some(report(sessions)) }
}

fn peer(number: u16) -> Option<PeerId> {
    Some(supernode(number).peer_id())
}

#[test]
fn the_nearest_who_are_able_share_by_load_for_their_weight() {
    assert_eq!(choose(&[]), None);
    assert_eq!(choose(&[seen(1, 1, 5, 10), seen(2, 4, 6, 30)]), peer(2), "30 of 4 is less than 10 of 1");
    assert_eq!(choose(&[seen(1, 1, 5, 800), seen(2, 1, 200, 0)]), peer(1), "near before far");
    assert_eq!(choose(&[seen(1, 1, 5, 950), seen(2, 1, 200, 0)]), peer(2), "who is full comes later");
    let leaving = GatewayReport { leaving: true, ..report(0) };
    let leaving = Seen { report: Some(leaving), ..seen(1, 1, 5, 0) };
    assert_eq!(choose(&[leaving.clone(), seen(2, 1, 200, 950)]), peer(2), "who leaves is last");
    assert_eq!(choose(&[leaving]), peer(1), "and better than nobody");
    let silent = |number| Seen { round_trip: None, report: None, ..seen(number, 1, 0, 0) };
    assert_eq!(choose(&[silent(1), seen(2, 1, 300, 500)]), peer(2), "who says nothing is taken for far");
    assert_eq!(choose(&[silent(1), silent(2)]), peer(1));
}

#[test]
fn a_report_with_too_many_alternatives_is_refused() {
    let alternatives = (1..5).map(|number| supernode(number).peer_id()).collect();
    let long = GatewayReport { alternatives, ..report(1) };
    assert!(GatewayReport::from_bytes(&long.to_bytes()).is_err());
}

/// As in the design's simulation: the fullest has at most 1.05 of its share with fresh reports.
#[test]
fn gateways_fill_by_their_capacity() {
    let candidates: Vec<_> = (0..10).map(|number| candidate(number, 1 + number % 4)).collect();
    let mut sessions = vec![0_u32; candidates.len()];
    for device in 0..10_000_u32 {
        let seed = *blake3::hash(&device.to_be_bytes()).as_bytes();
        let place = |peer: &PeerId| candidates.iter().position(|candidate| candidate.peer == *peer).unwrap();
        let asked = draw(&candidates, ASKED, &seed).into_iter().map(|candidate| Seen {
            candidate,
            round_trip: Some(Duration::from_millis(9)),
            report: Some(GatewayReport { sessions_max: 100_000, ..report(sessions[place(&candidate.peer)]) }),
        });
        let chosen = choose(&asked.collect::<Vec<_>>()).unwrap();
        sessions[place(&chosen)] += 1;
    }
    let weight: u32 = candidates.iter().map(|candidate| u32::from(candidate.weight)).sum();
    for (candidate, sessions) in candidates.iter().zip(sessions) {
        let share = 10_000 * u32::from(candidate.weight) / weight;
        assert!(sessions * 100 <= share * 105, "{sessions} of {share}");
    }
}

proptest! {
    #[test]
    fn the_same_are_drawn_by_one_seed_in_whatever_order_they_came(
        weights in vec(1_u16..10, 0..20), count in 0_usize..6, seed: [u8; 32], turn in any::<Index>(),
    ) {
        let mut candidates: Vec<_> =
            (0..).zip(&weights).map(|(number, weight)| candidate(number, *weight)).collect();
        let drawn = draw(&candidates, count, &seed);
        prop_assert_eq!(drawn.len(), count.min(candidates.len()));
        prop_assert_eq!(drawn.iter().collect::<std::collections::HashSet<_>>().len(), drawn.len(), "each once");
        if !candidates.is_empty() {
            let by = turn.index(candidates.len());
            candidates.rotate_left(by);
        }
        prop_assert_eq!(draw(&candidates, count, &seed), drawn);
    }

    #[test]
    fn whoever_is_chosen_was_seen_and_nobody_like_it_is_better(all in vec((0_u64..400, 0_u32..1000, any::<bool>()), 1..5)) {
        let all: Vec<_> = (0..).zip(all).map(|(number, (ms, sessions, leaving))| {
            let report = GatewayReport { leaving, ..report(sessions) };
            Seen { report: Some(report), ..seen(number, 1, ms, sessions) }
        }).collect();
        let chosen = choose(&all).unwrap();
        let chosen = all.iter().find(|seen| seen.candidate.peer == chosen).unwrap();
        let of = |seen: &Seen| (seen.report.clone().unwrap().leaving, seen.report.clone().unwrap().sessions >= 900);
        let better = all.iter().filter(|seen| of(seen) < of(chosen)).count();
        prop_assert_eq!(better, 0);
        let able: BTreeSet<_> = all.iter().filter(|seen| of(seen) == of(chosen)).filter_map(|seen| seen.round_trip).collect();
        prop_assert!(chosen.round_trip.unwrap() <= *able.first().unwrap() * 2 + Duration::from_millis(20));
    }
}
