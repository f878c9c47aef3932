use cosmic_common::{id::SpaceId, time::Timestamp};
use proptest::prelude::*;

use crate::{
    meeting::{BYTES_MAX, CARD_LASTS, Meetings},
    message::meeting::{CARD_MAX_BYTES, CARDS_MAX, Seat},
};

fn space(number: u8) -> SpaceId {
    SpaceId::from_bytes([number; 32])
}

fn seat(number: u32) -> Seat {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Seat(bytes)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_000_000 + seconds * 1000)
}

#[test]
fn devices_of_one_space_find_each_other() {
    let mut meetings = Meetings::default();
    assert!(meetings.meet(space(1), seat(1), vec![1], at(0)).is_empty());
    assert_eq!(meetings.meet(space(1), seat(2), vec![2], at(0)), [vec![1]]);
    assert!(meetings.meet(space(2), seat(3), vec![3], at(0)).is_empty(), "another space");
    assert_eq!(meetings.meet(space(1), seat(1), vec![4], at(1)), [vec![2]], "not oneself");
    assert_eq!(meetings.meet(space(1), seat(2), vec![2], at(1)), [vec![4]], "the newer card");
}

#[test]
fn who_has_gone_is_forgotten() {
    let mut meetings = Meetings::default();
    meetings.meet(space(1), seat(1), vec![1], at(0));
    let later = CARD_LASTS.as_secs();
    assert_eq!(meetings.meet(space(1), seat(2), vec![2], at(later - 1)), [vec![1]]);
    assert!(meetings.meet(space(1), seat(3), vec![3], at(2 * later)).is_empty());
    assert_eq!(meetings.len(), 1);
}

#[test]
fn a_crowd_is_bounded() {
    let mut meetings = Meetings::default();
    for number in 0..2 * u32::try_from(CARDS_MAX).unwrap() {
        let others = meetings.meet(space(1), seat(number), vec![0; 10], at(u64::from(number) / 10));
        assert!(others.len() < CARDS_MAX);
    }
    assert_eq!(meetings.len(), CARDS_MAX);
    let mut meetings = Meetings::default();
    let cards = BYTES_MAX / CARD_MAX_BYTES;
    for number in 0..u32::try_from(cards + 100).unwrap() {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        meetings.meet(SpaceId::from_bytes(id), seat(number), vec![0; CARD_MAX_BYTES], at(0));
    }
    assert_eq!(meetings.len(), cards);
}

proptest! {
    #[test]
    fn everybody_else_of_the_last_minutes_is_told(
        steps in prop::collection::vec((0_u8..3, 0_u32..6, 0_u64..100), 1..60),
    ) {
        let (mut meetings, mut now) = (Meetings::default(), 0);
        let mut said: Vec<(u8, u32, u64, Vec<u8>)> = Vec::new();
        for (number, (of, who, later)) in (0_u8..).zip(steps) {
            now += later;
            let mut told = meetings.meet(space(of), seat(who), vec![number], at(now));
            said.retain(|(space, seat, _, _)| (*space, *seat) != (of, who));
            let mut expected: Vec<_> = said
                .iter()
                .filter(|(space, _, then, _)| *space == of && now - then < CARD_LASTS.as_secs())
                .map(|(_, _, _, card)| card.clone())
                .collect();
            expected.sort();
            told.sort();
            prop_assert_eq!(told, expected);
            said.push((of, who, now, vec![number]));
        }
    }
}
