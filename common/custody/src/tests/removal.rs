//! What nobody claims any more goes everywhere, provably; no single replica can delete anything.

use std::collections::BTreeSet;

use cosmic_common::{
    id::{ObjectId, OperatorId, PeerId, SpaceId},
    time::Timestamp,
};
use proptest::prelude::*;

use super::rings::{HOUR, START, hours, life, object, peer, standing, table};
use crate::{
    Deletion, Doom, Fate, Removal, Removing, Standing,
    count::log::Duty,
    message::shard::Indices,
    removal::{DOOM_LAPSE, Heard, REMOVAL_DELAY, RETENTION_MAX},
};

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);

fn duty() -> Duty {
    Duty { current: (0..3).map(peer).collect(), earlier: vec![peer(3)] }
}

fn removal(replica: u32, time: Timestamp) -> Removal {
    Removal { space: SPACE, object: object(1), replica: peer(replica), time, retained_until: time }
}

/// Every replica has its own operator, if not said otherwise.
fn hear(doom: &mut Doom, removal: &Removal, put: Timestamp, now: Timestamp) {
    let operator = |peer: &PeerId| Some(OperatorId::from_bytes(*peer.as_bytes()));
    doom.insert(removal, Heard { duty: &duty(), operator: &operator, put, now, delay: REMOVAL_DELAY });
}

fn deletion(object: ObjectId, holder: PeerId) -> Deletion {
    Deletion { object, shards: Indices::default(), holder, incarnation: life(1), time: START }
}

#[test]
fn a_quorum_of_replicas_dooms_and_the_delay_passes() {
    let mut doom = Doom::default();
    hear(&mut doom, &removal(0, hours(1)), START, hours(1));
    hear(&mut doom, &removal(0, hours(2)), START, hours(2));
    hear(&mut doom, &removal(7, hours(2)), START, hours(2));
    assert_eq!(
        doom.fate(hours(1_000), REMOVAL_DELAY),
        Fate::Kept,
        "one replica, however often, and a stranger"
    );
    hear(&mut doom, &removal(3, hours(3)), START, hours(3));
    let at = hours(3).after(REMOVAL_DELAY);
    assert_eq!(doom.fate(hours(3), REMOVAL_DELAY), Fate::Doomed { at });
    assert_eq!(doom.fate(at, REMOVAL_DELAY), Fate::Doomed { at }, "nobody has said so again");
    hear(&mut doom, &removal(0, at), START, at);
    hear(&mut doom, &removal(3, hours(26)), START, at);
    assert_eq!(doom.fate(at, REMOVAL_DELAY), Fate::Doomed { at }, "one replica alone, and an old word");
    hear(&mut doom, &removal(1, at), START, at);
    assert_eq!(doom.fate(at, REMOVAL_DELAY), Fate::Gone);
    doom.put_again();
    assert_eq!(doom.fate(at, REMOVAL_DELAY), Fate::Kept);
}

#[test]
fn a_doom_that_nobody_confirms_is_over_and_begins_anew() {
    let mut doom = Doom::default();
    (0..2).for_each(|replica| hear(&mut doom, &removal(replica, hours(1)), START, hours(1)));
    let lapsed = hours(1).after(REMOVAL_DELAY).after(DOOM_LAPSE);
    assert_ne!(doom.fate(hours(48), REMOVAL_DELAY), Fate::Kept);
    assert_eq!(
        doom.fate(lapsed, REMOVAL_DELAY),
        Fate::Kept,
        "somebody claims it again, and replicas are silent"
    );
    hear(&mut doom, &removal(0, hours(60)), START, hours(60));
    assert_eq!(
        doom.fate(hours(60), REMOVAL_DELAY),
        Fate::Kept,
        "the words of before make no quorum any more"
    );
    hear(&mut doom, &removal(1, hours(61)), START, hours(61));
    assert_eq!(doom.fate(hours(61), REMOVAL_DELAY), Fate::Doomed { at: hours(85) });
}

#[test]
fn a_removal_from_before_the_put_is_not_meant() {
    let mut doom = Doom::default();
    (0..3).for_each(|replica| hear(&mut doom, &removal(replica, hours(5)), hours(5), hours(6)));
    assert_eq!(doom.fate(hours(1_000), REMOVAL_DELAY), Fate::Kept);
}

#[test]
fn one_operator_does_not_make_a_quorum_of_two() {
    let one = OperatorId::from_bytes([1; 32]);
    let two = |peer_of_one: u32| {
        move |it: &PeerId| Some(if *it == peer(peer_of_one) { OperatorId::from_bytes([2; 32]) } else { one })
    };
    let fate = |said: &[u32], operator: &dyn Fn(&PeerId) -> Option<OperatorId>| {
        let mut doom = Doom::default();
        for (time, replica) in
            said.iter().map(|replica| (1, replica)).chain(said.iter().map(|replica| (30, replica)))
        {
            doom.insert(
                &removal(*replica, hours(time)),
                Heard { duty: &duty(), operator, put: START, now: hours(time), delay: REMOVAL_DELAY },
            );
        }
        doom.fate(hours(100), REMOVAL_DELAY)
    };
    assert_eq!(fate(&[0, 1, 3], &two(2)), Fate::Kept);
    assert_eq!(fate(&[0, 2], &two(2)), Fate::Gone);
    assert_eq!(fate(&[0, 1], &|_| Some(one)), Fate::Gone, "there is no other operator");
}

#[test]
fn retention_is_obeyed_but_not_for_ever() {
    let mut doom = Doom::default();
    let until = hours(1).after(HOUR * 24 * 30);
    assert_eq!(until, hours(1 + 24 * 30));
    hear(&mut doom, &Removal { retained_until: until, ..removal(0, hours(1)) }, START, hours(1));
    hear(&mut doom, &removal(1, hours(1)), START, hours(1));
    assert_eq!(
        doom.fate(hours(100), REMOVAL_DELAY),
        Fate::Doomed { at: until },
        "the longest that a replica says"
    );
    hear(&mut doom, &removal(1, hours(99)), START, hours(100));
    hear(&mut doom, &removal(2, hours(99)), START, hours(100));
    assert_eq!(doom.fate(hours(100), REMOVAL_DELAY), Fate::Doomed { at: until }, "whoever says so meanwhile");
    let for_ever = Removal { retained_until: Timestamp::from_unix_ms(u64::MAX), ..removal(2, hours(2)) };
    hear(&mut doom, &for_ever, START, hours(2));
    assert_eq!(doom.fate(hours(100), REMOVAL_DELAY), Fate::Doomed { at: hours(2).after(RETENTION_MAX) });
}

#[test]
fn it_is_done_when_every_holder_signed_or_left() {
    let ring = table(6, 3);
    let standing = standing(&ring);
    let mut removing = Removing::new(object(1), (0..3).map(peer));
    assert!(!removing.insert(&deletion(object(2), peer(0))), "of another object");
    assert!(removing.insert(&deletion(object(1), peer(0))));
    assert!(!removing.insert(&deletion(object(1), peer(5))), "nobody waited for it");
    assert_eq!(removing.owed(&standing).collect::<BTreeSet<_>>(), [peer(1), peer(2)].iter().collect());
    removing.found(peer(0));
    assert!(removing.insert(&deletion(object(1), peer(1))) && removing.insert(&deletion(object(1), peer(0))));
    assert_eq!(removing.done(&standing), None);
    let without = Standing::new([(peer(0), "a", None), (peer(1), "a", None)]);
    let (deleted, left) = removing.done(&without).unwrap();
    assert_eq!((deleted.len(), left.iter().collect::<Vec<_>>()), (2, vec![&peer(2)]));
}

proptest! {
    /// Whatever is said in whatever order: nothing goes unless two replicas removed it after the put, a day before, and two
    /// said so again when the day was over.
    #[test]
    fn no_single_replica_deletes(
        said in prop::collection::vec((0_u32..6, 0_u64..100, 0_u64..100), 0..20),
        put in 0_u64..100,
        at in 0_u64..200,
    ) {
        let mut doom = Doom::default();
        let mut heard: Vec<(u32, u64, u64)> = Vec::new();
        let mut said = said;
        said.sort_by_key(|(_, _, heard_at)| *heard_at);
        for (replica, time, heard_at) in said {
            hear(&mut doom, &removal(replica, hours(time)), hours(put), hours(heard_at));
            if time > put && replica <= 3 { heard.push((replica, time, heard_at)); }
        }
        let who = |counts: &dyn Fn(&(u32, u64, u64)) -> bool| {
            heard.iter().filter(|said| counts(said)).map(|(replica, ..)| *replica).collect::<BTreeSet<_>>().len()
        };
        if doom.fate(hours(at), REMOVAL_DELAY) == Fate::Gone {
            prop_assert!(who(&|(_, _, heard_at)| heard_at + 24 <= at) >= 2);
            let first = heard.iter().map(|(.., heard_at)| *heard_at).min().unwrap();
            prop_assert!(who(&|(_, time, _)| *time >= first + 24) >= 2);
        }
    }
}
