//! What nobody claims any more goes everywhere, provably; no single replica can delete anything.

use std::{collections::BTreeSet, time::Duration};

use cosmic_common::{
    id::{ObjectId, OperatorId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_ring::Label;
use proptest::prelude::*;

use super::rings::{HOUR, START, hours, life, object, peer, site, sites, standing, table};
use crate::{
    Deletion, Doom, Fate, Removal, Removing, Residency, Standing,
    count::log::Duty,
    message::shard::Indices,
    removal::{Heard, REMOVAL_DELAY, RETENTION_MAX},
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
    doom.insert(removal, Heard { duty: &duty(), operator: &operator, put, now });
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
    assert_eq!(doom.fate(hours(1_000)), Fate::Kept, "one replica, however often, and a stranger");
    hear(&mut doom, &removal(3, hours(3)), START, hours(3));
    let at = hours(3).after(REMOVAL_DELAY);
    assert_eq!(doom.fate(hours(3)), Fate::Doomed { at });
    assert_eq!(doom.fate(at), Fate::Gone);
    doom.put_again();
    assert_eq!(doom.fate(at), Fate::Kept);
}

#[test]
fn a_removal_from_before_the_put_is_not_meant() {
    let mut doom = Doom::default();
    (0..3).for_each(|replica| hear(&mut doom, &removal(replica, hours(5)), hours(5), hours(6)));
    assert_eq!(doom.fate(hours(1_000)), Fate::Kept);
}

#[test]
fn one_operator_does_not_make_a_quorum_of_two() {
    let one = OperatorId::from_bytes([1; 32]);
    let two = |peer_of_one: u32| {
        move |it: &PeerId| Some(if *it == peer(peer_of_one) { OperatorId::from_bytes([2; 32]) } else { one })
    };
    let fate = |said: &[u32], operator: &dyn Fn(&PeerId) -> Option<OperatorId>| {
        let mut doom = Doom::default();
        for replica in said {
            doom.insert(
                &removal(*replica, hours(1)),
                Heard { duty: &duty(), operator, put: START, now: hours(1) },
            );
        }
        doom.fate(hours(100))
    };
    assert_eq!(fate(&[0, 1, 3], &two(2)), Fate::Kept);
    assert_eq!(fate(&[0, 2], &two(2)), Fate::Gone);
    assert_eq!(fate(&[0, 1], &|_| Some(one)), Fate::Gone, "there is no other operator");
}

#[test]
fn retention_is_obeyed_but_not_for_ever() {
    let mut doom = Doom::default();
    let month = Residency { retention: Some(HOUR * 24 * 30), ..Residency::default() };
    let until = month.retained_until(hours(1));
    assert_eq!(until, hours(1 + 24 * 30));
    hear(&mut doom, &Removal { retained_until: until, ..removal(0, hours(1)) }, START, hours(1));
    hear(&mut doom, &removal(1, hours(1)), START, hours(1));
    assert_eq!(doom.fate(hours(100)), Fate::Doomed { at: until }, "the longest that a replica says");
    let for_ever = Removal { retained_until: Timestamp::from_unix_ms(u64::MAX), ..removal(2, hours(2)) };
    hear(&mut doom, &for_ever, START, hours(2));
    assert_eq!(doom.fate(hours(100)), Fate::Doomed { at: hours(2).after(RETENTION_MAX) });
    let endless = Residency { retention: Some(Duration::MAX), ..Residency::default() };
    assert_eq!(endless.retained_until(START), START.after(RETENTION_MAX));
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

#[test]
fn data_stays_in_its_regions() {
    let label = |text: &str| text.parse::<Label>().unwrap();
    let north = Residency { regions: BTreeSet::from([label("eu-north")]), retention: None };
    assert!(north.permits(&label("eu-north")) && !north.permits(&label("us-east")));
    assert!(Residency::default().permits(&label("us-east")));
    let region =
        |it: &PeerId| (*it != peer(5)).then(|| label(if *it == peer(0) { "eu-north" } else { "us-east" }));
    assert_eq!(north.sites(sites(6, 3), region), [site(0, 0, 0)]);
    assert_eq!(Residency::default().sites(sites(6, 3), region).len(), 6);
}

proptest! {
    /// Whatever is said in whatever order: nothing goes unless two replicas removed it after the put, a day before.
    #[test]
    fn no_single_replica_deletes(
        said in prop::collection::vec((0_u32..6, 0_u64..100, 0_u64..100), 0..20),
        put in 0_u64..100,
        at in 0_u64..200,
    ) {
        let mut doom = Doom::default();
        let mut heard: Vec<(u32, u64)> = Vec::new();
        let mut said = said;
        said.sort_by_key(|(_, _, heard_at)| *heard_at);
        for (replica, time, heard_at) in said {
            hear(&mut doom, &removal(replica, hours(time)), hours(put), hours(heard_at));
            if time > put && replica <= 3 { heard.push((replica, heard_at)); }
        }
        let before = heard.iter().filter(|(_, heard_at)| heard_at + 24 <= at).map(|(replica, _)| replica).collect::<BTreeSet<_>>();
        if doom.fate(hours(at)) == Fate::Gone {
            prop_assert!(before.len() >= 2);
        }
    }
}
