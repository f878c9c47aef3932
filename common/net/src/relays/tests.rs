use cosmic_runtime::clock::Clock;
use proptest::prelude::*;

use super::*;

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn relays(operators: &[u8]) -> Vec<RelayPeer> {
    let numbered = (1_u8..).zip(operators);
    let operator = |number: u8| OperatorId::from_bytes([number; 32]);
    numbered.map(|(number, of)| RelayPeer { peer: peer(number), operator: operator(*of) }).collect()
}

fn table(operators: &[u8]) -> (Relays, Monotonic) {
    let mut table = Relays::new(peer(0));
    table.set(&relays(operators));
    (table, Clock::system().monotonic())
}

#[test]
fn two_relays_of_different_operators_are_asked() {
    let (mut table, now) = table(&[7, 7, 7, 7, 9]);
    let asked = table.wanted(now);
    assert_eq!(asked.len(), 2);
    assert!(asked.contains(&peer(5)), "the only one of operator 9 is among them");
    assert_eq!(table.wanted(now), [], "enough are asked");
    for relay in &asked {
        table.granted(relay);
    }
    assert_eq!(table.standing().count(), 2);
    assert_eq!(table.wanted(now), []);
}

#[test]
fn a_lost_relay_is_replaced_at_once_and_asked_again_when_it_has_rested() {
    let (mut table, now) = table(&[1, 2, 3]);
    let asked = table.wanted(now);
    table.granted(&asked[0]);
    table.granted(&asked[1]);
    table.lost(&asked[0], now);
    let instead = table.wanted(now);
    assert_eq!(instead.len(), 1);
    assert!(!asked.contains(&instead[0]));
    table.lost(&instead[0], now);
    assert_eq!(table.wanted(now), [], "both rest");
    assert_eq!(table.wanted(now.after(REST_FIRST)).len(), 1);
}

#[test]
fn one_that_does_not_answer_counts_as_lost() {
    let (mut table, now) = table(&[1]);
    assert_eq!(table.wanted(now), [peer(1)]);
    assert_eq!(table.wanted(now.after(ASKED_MAX)), []);
    assert_eq!(table.wanted(now.after(ASKED_MAX * 2)), [], "it rests");
    assert_eq!(table.wanted(now.after(ASKED_MAX * 2 + REST_FIRST)), [peer(1)]);
}

#[test]
fn a_changed_way_wakes_those_that_rest() {
    let (mut table, now) = table(&[1]);
    assert_eq!(table.wanted(now), [peer(1)]);
    for _ in 0..10 {
        table.lost(&peer(1), now);
    }
    assert_eq!(table.wanted(now.after(REST_FIRST)), []);
    table.forgive();
    assert_eq!(table.wanted(now.after(REST_FIRST)), [peer(1)]);
}

#[test]
fn a_public_peer_keeps_one() {
    let (mut table, now) = table(&[1, 2, 3]);
    table.set_public(true);
    assert_eq!(table.wanted(now).len(), 1);
}

proptest! {
    #[test]
    fn no_more_are_held_than_wanted_and_all_are_asked_in_time(
        count in 1_usize..8,
        steps in prop::collection::vec((any::<u8>(), 0_u8..3, 0_u64..5), 1..80),
    ) {
        let (mut table, mut now) = table(&vec![1; count]);
        for (which, what, later) in steps {
            now = now.after(Duration::from_secs(later));
            table.wanted(now);
            let relay = peer(which % u8::try_from(count).unwrap() + 1);
            match what {
                0 if matches!(table.entries[&relay].state, State::Asked(_)) => table.granted(&relay),
                1 => table.lost(&relay, now),
                _ => {}
            }
            prop_assert!(table.held() <= WANTED);
        }
        // Whatever happened before, those that rest are asked again within the longest rest, and answer now.
        let enough = (0..(REST_MAX + ASKED_MAX).as_secs()).any(|second| {
            for relay in table.wanted(now.after(Duration::from_secs(second))) {
                table.granted(&relay);
            }
            table.held() == WANTED.min(count)
        });
        prop_assert!(enough);
    }
}
