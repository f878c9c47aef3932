//! Who joins learns all others; who was there before needs no bootstrap node.

use cosmic_common::record::Record as _;
use cosmic_identity::signed::Signed;
use cosmic_ring::{Member, NetworkConfig, Vouches};

use super::{
    Process, World, configuration, door_key, key, knows, member, member_of, operator, signed, supernode,
};
use crate::{RingView, state::State};

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
        assert_eq!(view.atlas.digest(), at_door.atlas.digest());
        assert_eq!(process.handle.addresses_of(&door.peer()), door.listening());
    }
    // The light node may have asked before the last member came: it asks again on its next patrol.
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
    assert_eq!(again.handle.ring().unwrap().atlas.everybody().len(), 2, "known before anybody was asked");
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
    let removed =
        |view: &RingView| view.members.get(&one.peer()).is_none() && view.atlas.everybody().len() == 1;
    one.sees(removed).await;
    other.sees(removed).await;
    assert!(!door.handle.apply_config(signed(configuration(2, &[0, 1]))).unwrap(), "older is not taken back");
}

#[tokio::test]
async fn in_a_vouched_network_an_operator_counts_as_long_as_it_is_vouched_for() {
    let world = World::new();
    let door = world.start(&door_key(), None, true, &[]);
    let vouched = NetworkConfig { admission: cosmic_ring::Admission::Vouched, ..configuration(1, &[0]) };
    door.handle.apply_config(signed(door.named(vouched))).unwrap();
    let (root, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    root.sees(|view| knows(view, &[&root])).await;
    let stranger = other.sees(|view| knows(view, &[&root])).await;
    assert!(stranger.members.get(&other.peer()).is_none());
    assert!(other.handle.vouch(vouches(1, 1, &[1])).is_err(), "who does not count cannot vouch");
    assert!(root.handle.vouch(vouches(0, 1, &[1])).unwrap());
    assert!(!root.handle.vouch(vouches(0, 1, &[1])).unwrap(), "no news");
    for process in [&root, &other, &door] {
        process.sees(|view| knows(view, &[&root, &other])).await;
    }
    let late = world.start(&key(9, 1), None, false, &[&door]);
    late.sees(|view| knows(view, &[&root, &other])).await;
    // The operator may say so anywhere.
    assert!(other.handle.vouch(vouches(0, 2, &[])).unwrap());
    for process in [&root, &other, &door, &late] {
        process.sees(|view| knows(view, &[&root]) && !view.members.admits(&operator(1).operator_id())).await;
    }
    assert!(root.handle.vouch(vouches(0, 3, &[1])).unwrap());
    root.sees(|view| knows(view, &[&root, &other])).await;
    let peer = root.peer();
    world.stop(root).await;
    world.stop(door).await;
    let again = world.start(&supernode(0), None, true, &[]);
    let kept = again.handle.ring().unwrap();
    assert!(kept.members.is_active(&peer) && kept.members.is_active(&other.peer()), "kept for a restart");
}

/// Operator `of` vouches for these, in its list number `sequence`.
fn vouches(of: u8, sequence: u64, operators: &[u8]) -> Signed<Vouches> {
    let operators = operators.iter().map(|number| operator(*number).operator_id()).collect();
    let (network, by) = (configuration(1, &[]).network(), operator(of));
    Signed::sign(Vouches { network, operator: by.operator_id(), sequence, operators }, &by)
}

#[tokio::test]
async fn a_newer_member_record_reaches_everybody() {
    let world = World::new();
    let door = world.door(&[0, 1]);
    let (one, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    other.sees(|view| knows(view, &[&one, &other])).await;
    let heavier = Member { sequence: 2, weight: 7, ..member(0).unverified().clone() };
    one.handle.announce(Signed::sign(heavier, &operator(0))).unwrap();
    let weight = |view: &RingView| view.members.get(&one.peer()).is_some_and(|member| member.weight == 7);
    other.sees(weight).await;
    door.sees(weight).await;
    assert!(other.handle.announce(member(0)).is_err(), "nobody speaks for somebody else");
}

#[tokio::test]
async fn that_a_dead_supernode_is_lost_may_be_told_to_any_other() {
    let world = World::new();
    let door = world.door(&[0, 1]);
    let (dead, other) = (world.supernode(0, &[&door]), world.supernode(1, &[&door]));
    other.sees(|view| knows(view, &[&dead, &other])).await;
    let peer = dead.peer();
    world.stop(dead).await;
    let lost = Member { sequence: 2, state: cosmic_ring::State::Lost, ..member(0).unverified().clone() };
    assert!(other.handle.pass_on(Signed::sign(lost.clone(), &operator(1))).is_err(), "not by its operator");
    assert!(other.handle.pass_on(Signed::sign(lost.clone(), &operator(0))).unwrap());
    assert!(!other.handle.pass_on(Signed::sign(lost, &operator(0))).unwrap(), "no news");
    let gone = |view: &RingView| !view.members.is_active(&peer) && view.atlas.everybody().len() == 1;
    other.sees(gone).await;
    door.sees(gone).await;
}

#[tokio::test]
async fn two_who_know_much_tell_each_other_at_once() {
    let world = World::new();
    // Each half is several times what a stream holds, so both must listen while they speak.
    let config = NetworkConfig { admission: cosmic_ring::Admission::Open, ..configuration(1, &[]) };
    for (kind, holder) in [(50, key(4, 0)), (60, key(4, 1))] {
        let records = (0..=255).chain(0..=255).zip([0; 256].into_iter().chain([1; 256]));
        let records =
            records.map(|(number, more): (u8, u8)| member_of(&key(kind + more, number), &operator(0)));
        let state = State {
            network: config.network(),
            config: Some(signed(config.clone()).to_bytes().into()),
            members: records.map(|record| record.to_bytes().into()).collect(),
            endpoints: Vec::new(),
            doors: Vec::new(),
            vouches: Vec::new(),
        };
        state.write(&world.state_file(holder.peer_id())).unwrap();
    }
    let one = world.start(&key(4, 0), None, true, &[]);
    let other = world.start(&key(4, 1), None, true, &[&one]);
    let all = |view: &RingView| view.atlas.everybody().len() == 1024;
    one.sees(all).await;
    other.sees(all).await;
}

#[tokio::test]
async fn what_is_known_outlives_a_process_that_was_killed() {
    let world = World::new();
    let door = world.door(&[0]);
    let one = world.supernode(0, &[&door]);
    one.sees(|view| knows(view, &[&one])).await;
    let path = world.state_file(one.peer());
    let kept = async {
        while State::read(&path, door.handle.network())
            .unwrap()
            .is_none_or(|state| state.endpoints.is_empty())
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::SOON, kept).await.unwrap();
}
