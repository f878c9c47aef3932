//! A shard kept for another is given, dropped or left to repair, and never kept for ever.

use super::rings::{HOUR, START, hours, life, liveness, object, peer, table};
use crate::{HandOff, Standing, handoff::Verdict};

#[test]
fn the_keeper_waits_for_the_owner_and_then_repair_decides() {
    let ring = table(6, 3);
    let standing = super::rings::standing(&ring);
    let mut liveness = liveness(&ring);
    let since = START.after(HOUR / 2);
    let kept = HandOff { object: object(1), index: 2, owner: peer(3), since };
    let until = since.after(3 * HOUR);
    let verdict = |liveness: &_, signed, now| kept.verdict(signed, liveness, &standing, now);
    assert_eq!(
        verdict(&liveness, false, since),
        Verdict::Wait { until },
        "it has not been silent for an hour, but nobody heard it since"
    );
    assert_eq!(verdict(&liveness, false, hours(3)), Verdict::Wait { until });
    assert_eq!(verdict(&liveness, false, until), Verdict::Repair);
    assert_eq!(verdict(&liveness, true, hours(1)), Verdict::Drop);
    liveness.heard(&peer(3), hours(2));
    assert_eq!(verdict(&liveness, false, hours(2)), Verdict::Give);
    assert_eq!(verdict(&liveness, false, hours(5)), Verdict::Repair, "it was there and went again");
    liveness.heard(&peer(3), hours(6));
    assert_eq!(verdict(&liveness, false, hours(6)), Verdict::Give, "late, and cheaper than making it again");
}

#[test]
fn the_shard_of_one_who_left_is_repairs_at_once() {
    let ring = table(6, 3);
    let liveness = liveness(&ring);
    let others = (0..3).map(|number| (peer(number), "zone-0", Some(life(1))));
    let kept = HandOff { object: object(1), index: 2, owner: peer(3), since: START };
    assert_eq!(kept.verdict(false, &liveness, &Standing::new(others), START), Verdict::Repair);
}
