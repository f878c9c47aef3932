//! Who is there follows from silence, and from nothing else but the records.

use proptest::prelude::*;

use super::rings::{HOUR, START, hours, peer};
use crate::{Liveness, Patience, Presence};

fn three() -> Liveness {
    let mut liveness = Liveness::new(Patience::default());
    liveness.members((0..3).map(peer), [], START);
    liveness
}

#[test]
fn silence_has_stages() {
    let mut liveness = three();
    let minute = HOUR / 60;
    assert_eq!(liveness.presence(&peer(0), START.after(59 * minute)), Presence::Present);
    assert_eq!(liveness.presence(&peer(0), hours(1)), Presence::Away { since: START });
    assert_eq!(liveness.presence(&peer(0), START.after(239 * minute)), Presence::Away { since: START });
    assert_eq!(liveness.presence(&peer(0), hours(4)), Presence::Offline { since: START });
    liveness.heard(&peer(0), hours(4));
    assert_eq!(liveness.presence(&peer(0), hours(4)), Presence::Present);
    assert_eq!(liveness.presence(&peer(9), hours(4)), Presence::Gone);
    assert_eq!(liveness.present(hours(4)).collect::<Vec<_>>(), [&peer(0)]);
}

#[test]
fn a_record_ends_it_at_once_and_a_new_member_has_its_time() {
    let mut liveness = three();
    liveness.members([peer(1), peer(5)], [], hours(3));
    assert_eq!(liveness.presence(&peer(0), hours(3)), Presence::Gone);
    assert!(liveness.is_missing(&peer(0), 24 * HOUR, hours(3)));
    assert_eq!(liveness.presence(&peer(1), hours(3)), Presence::Away { since: START });
    assert_eq!(liveness.presence(&peer(5), hours(3)), Presence::Present);
    liveness.heard(&peer(0), hours(3));
    assert_eq!(liveness.presence(&peer(0), hours(3)), Presence::Gone, "to be heard makes nobody a member");
}

#[test]
fn shards_are_missed_after_the_patience_of_their_class() {
    let liveness = three();
    assert!(!liveness.is_missing(&peer(0), HOUR, hours(3)), "never before the holder is offline");
    assert!(liveness.is_missing(&peer(0), HOUR, hours(4)));
    assert!(!liveness.is_missing(&peer(0), 24 * HOUR, hours(23)));
    assert!(liveness.is_missing(&peer(0), 24 * HOUR, hours(24)));
}

#[test]
fn who_retired_has_what_it_had_while_it_is_heard() {
    let mut liveness = three();
    liveness.members([peer(1)], [peer(0)], START);
    assert_eq!(liveness.presence(&peer(0), START), Presence::Present);
    assert_eq!(liveness.active().collect::<Vec<_>>(), [&peer(1)]);
    assert!(!liveness.is_missing(&peer(0), 24 * HOUR, hours(3)));
    assert!(liveness.is_missing(&peer(0), 24 * HOUR, hours(4)), "it will not come back");
    liveness.members([peer(0), peer(1)], [peer(0)], hours(4));
    assert!(!liveness.is_missing(&peer(0), 24 * HOUR, hours(4)), "the record was taken back");
}

proptest! {
    /// The moment the next change is told for is the moment something changes, and nothing does before.
    #[test]
    fn the_next_change_is_the_next(heard in prop::collection::vec((0_u32..3, 0_u64..30), 0..10), now in 0_u64..40) {
        let mut liveness = three();
        heard.iter().for_each(|(number, at)| liveness.heard(&peer(*number), hours(*at)));
        let seen = |at| (0..3).map(|number| std::mem::discriminant(&liveness.presence(&peer(number), at))).collect::<Vec<_>>();
        match liveness.next_change(hours(now)) {
            None => prop_assert_eq!(seen(hours(now)), seen(hours(1_000_000))),
            Some(change) => {
                let before = cosmic_common::time::Timestamp::from_unix_ms(change.unix_ms() - 1);
                prop_assert_eq!(seen(hours(now)), seen(before));
                prop_assert_ne!(seen(before), seen(change));
            }
        }
    }
}
