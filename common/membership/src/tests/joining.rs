//! Who joins learns all others; who was there before needs no bootstrap node.

use cosmic_ring::Member;

use super::{Process, World, configuration, key, knows, member, operator, signed, supernode};
use crate::RingView;

#[tokio::test]
async fn three_members_learn_each_other_through_one_bootstrap_node() {
    let world = World::new();
    let door = world.door(&[0, 1, 2]);
    let ring = [0, 1, 2].map(|number| world.supernode(number, &[&door]));
    let ring: Vec<&Process> = ring.iter().collect();
    let node = world.start(&key(9, 0), None, false, &[&door]);
    let at_door = door.sees(|view| knows(view, &ring)).await;
    for process in &ring {
        let view = process.sees(|view| knows(view, &ring)).await;
        assert_eq!(view.table.digest(), at_door.table.digest());
        assert_eq!(process.handle.addresses_of(&door.peer()), door.listening());
    }
    // The light node may have asked before the last member came: it asks again in its next round.
    let view = node.handle.joined().await;
    assert_eq!(view.config, at_door.config);
    let late = world.start(&key(9, 1), None, false, &[&door]);
    late.sees(|view| knows(view, &ring)).await;
}

#[tokio::test]
async fn a_member_that_comes_back_needs_no_bootstrap_node() {
    let world = World::new();
    let door = world.door(&[0, 1]);
    let (one, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    one.sees(|view| knows(view, &[&one, &other])).await;
    other.sees(|view| knows(view, &[&one, &other])).await;
    world.stop(door).await;
    world.stop(one).await;
    let again = world.start(&supernode(0), None, true, &[]);
    assert_eq!(again.handle.ring().unwrap().table.len(), 2, "known before anybody was asked");
    // It lives elsewhere now, and says so.
    again.sees(|view| knows(view, &[&again, &other])).await;
    other.sees(|view| knows(view, &[&again, &other])).await;
}

#[tokio::test]
async fn an_operator_counts_from_the_version_that_admits_it_to_the_one_that_does_not() {
    let world = World::new();
    let door = world.door(&[0]);
    let (one, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    one.sees(|view| knows(view, &[&one])).await;
    other.sees(|view| knows(view, &[&one])).await;
    assert!(door.handle.apply_config(signed(door.named(configuration(2, &[0, 1])))).unwrap());
    one.sees(|view| knows(view, &[&one, &other])).await;
    assert!(door.handle.apply_config(signed(door.named(configuration(3, &[1])))).unwrap());
    let removed = |view: &RingView| view.members.get(&one.peer()).is_none() && view.table.len() == 1;
    one.sees(removed).await;
    other.sees(removed).await;
    assert!(!door.handle.apply_config(signed(configuration(2, &[0, 1]))).unwrap(), "older is not taken back");
}

#[tokio::test]
async fn a_newer_member_record_reaches_everybody() {
    let world = World::new();
    let door = world.door(&[0, 1]);
    let (one, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    other.sees(|view| knows(view, &[&one, &other])).await;
    let heavier = Member { sequence: 2, weight: 7, ..member(0).unverified().clone() };
    one.handle.announce(cosmic_identity::signed::Signed::sign(heavier, &operator(0))).unwrap();
    let weight = |view: &RingView| view.members.get(&one.peer()).is_some_and(|member| member.weight == 7);
    other.sees(weight).await;
    door.sees(weight).await;
    assert!(other.handle.announce(member(0)).is_err(), "nobody speaks for somebody else");
}
