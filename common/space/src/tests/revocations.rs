//! Cuts, honest work, seniority.

use cosmic_common::{id::ChannelId, record::Record};
use cosmic_log::{fork::ForkProof, kind::Kind};

use super::world::{World, key, revocation};
use crate::{
    membership::counting::Trace,
    record::MembershipRecord,
    rights::{Right, Rights, Role},
};

const CHANNEL: ChannelId = ChannelId::from_bytes([8; 32]);

#[test]
fn a_revoked_member_may_do_nothing_and_the_others_may_as_before() {
    let mut world = World::new();
    let (editor, given) = world.invite(2, Role::Editor.rights());
    let (other, kept) = world.invite(3, Role::Editor.rights());
    assert!(world.membership.may(&editor.writer(), Right::Write, &CHANNEL).is_ok());
    world.say_as_root(&revocation(given, &[editor.head()]), &[]);
    assert!(world.membership.may(&editor.writer(), Right::Write, &CHANNEL).is_err());
    assert!(world.membership.may(&other.writer(), Right::Write, &CHANNEL).is_ok());
    assert!(!world.stands(&given) && world.stands(&kept));
}

#[test]
fn what_an_admin_gave_inside_the_cut_stands_and_outside_it_does_not() {
    let mut world = World::new();
    let (mut admin, given) = world.invite(2, Rights::ALL);
    let (_, before) = world.pass_on(&mut admin, given, 3, Role::Viewer.rights());
    let cut = admin.head();
    let (_, after) = world.pass_on(&mut admin, given, 4, Role::Viewer.rights());
    world.say_as_root(&revocation(given, &[cut]), &[]);
    assert!(world.stands(&before) && !world.stands(&after));
}

#[test]
fn honest_work_keeps_what_it_was_built_on_and_informed_work_does_not() {
    let mut world = World::new();
    let (mut admin, given) = world.invite(2, Rights::ALL);
    let (mut honest, _) = world.invite(3, Role::Editor.rights());
    let cut = admin.head();
    let (_, built_on) = world.pass_on(&mut admin, given, 4, Role::Viewer.rights());
    let (_, ignored) = world.pass_on(&mut admin, given, 5, Role::Viewer.rights());
    let revoked = world.say_as_root(&revocation(given, &[cut]), &[]);
    assert!(!world.stands(&built_on) && !world.stands(&ignored));
    let work = honest.write(Kind::Acknowledgement, Vec::new(), &[built_on]);
    world.take(work).unwrap();
    let informed = honest.write(Kind::Acknowledgement, Vec::new(), &[ignored, revoked]);
    world.take(informed).unwrap();
    assert!(world.stands(&built_on) && !world.stands(&ignored));
}

#[test]
fn work_built_on_a_revocation_does_not_keep_it() {
    let mut world = World::new();
    let (mut bad, bad_given) = world.invite(2, Rights::ALL);
    let (victim, victim_given) = world.invite(3, Rights::ALL);
    let (mut honest, _) = world.invite(4, Role::Editor.rights());
    let cut = bad.head();
    let strike = world.say(&mut bad, &revocation(victim_given, &[victim.head()]), &[]).unwrap();
    let (_, built_on) = world.pass_on(&mut bad, bad_given, 5, Role::Viewer.rights());
    world.say_as_root(&revocation(bad_given, &[cut]), &[]);
    let work = honest.write(Kind::Acknowledgement, Vec::new(), &[strike, built_on]);
    world.take(work).unwrap();
    assert!(world.stands(&victim_given) && world.stands(&built_on));
}

#[test]
fn where_a_membership_log_forks_the_lower_id_counts() {
    let mut world = World::new();
    let (mut host, given) = world.invite(2, Rights::ALL);
    let parted = host.state.clone();
    let guest = |world: &World, n: u8| {
        let delegation = world.delegation(key(n).writer_id(), Role::Viewer.rights(), Some(given));
        MembershipRecord::Delegation(delegation).to_bytes()
    };
    let one = host.write(Kind::Membership, guest(&world, 3), &[]);
    let head_of_one = host.head();
    host.state = parted;
    let other = host.write(Kind::Membership, guest(&world, 4), &[]);
    let (lower, higher) = if one.id() < other.id() { (&one, &other) } else { (&other, &one) };
    world.take(one.clone()).unwrap();
    world.take(other.clone()).unwrap();
    assert!(world.stands(&lower.id()) && !world.stands(&higher.id()));

    // A cut that names a head on one branch keeps that branch, whatever the ids.
    world.say_as_root(&revocation(given, &[head_of_one]), &[]);
    assert!(world.stands(&one.id()) && !world.stands(&other.id()));
    assert_eq!(world.membership.pins(&head_of_one.0), [head_of_one.1]);
}

#[test]
fn a_proven_fork_counts_against_a_branch_that_only_others_hold() {
    let mut world = World::new();
    let (mut host, given) = world.invite(2, Rights::ALL);
    let parted = host.state.clone();
    let mut branches = [3, 4].map(|n| {
        host.state = parted.clone();
        let delegation = world.delegation(key(n).writer_id(), Role::Viewer.rights(), Some(given));
        host.write(Kind::Membership, MembershipRecord::Delegation(delegation).to_bytes(), &[])
    });
    branches.sort_by_key(cosmic_log::entry::Entry::id);
    let [absent, here] = branches;
    let proof = ForkProof::between(&absent, &here).unwrap();
    world.take(here.clone()).unwrap();
    assert!(world.stands(&here.id()));
    world.say_as_root(&MembershipRecord::ForkProof(*parted.open(), Box::new(proof)), &[]);
    assert!(!world.stands(&here.id()));
    world.take(absent.clone()).unwrap();
    assert!(world.stands(&absent.id()) && !world.stands(&here.id()));
}

#[test]
fn of_two_admins_who_revoke_each_other_the_senior_stays() {
    let mut world = World::new();
    let (mut senior, senior_given) = world.invite(2, Rights::ALL);
    let (mut junior, junior_given) = world.pass_on(&mut senior, senior_given, 3, Rights::ALL);
    let strike = revocation(senior_given, &[senior.head()]);
    world.say(&mut junior, &strike, &[]).unwrap();
    assert!(!world.stands(&senior_given), "a junior admin can remove a senior one who does not object");
    let answer = revocation(junior_given, &[junior.head()]);
    world.say(&mut senior, &answer, &[]).unwrap();
    assert!(world.stands(&senior_given) && !world.stands(&junior_given));
}

#[test]
fn a_removed_admin_cannot_date_back() {
    let mut world = World::new();
    let (mut bad, bad_given) = world.invite(2, Rights::ALL);
    let (good, good_given) = world.invite(3, Rights::ALL);
    world.say_as_root(&revocation(bad_given, &[bad.head()]), &[]);
    world.say(&mut bad, &revocation(good_given, &[good.head()]), &[]).unwrap();
    let (mut puppet, puppet_given) = world.pass_on(&mut bad, bad_given, 4, Rights::ALL);
    world.say(&mut puppet, &revocation(good_given, &[]), &[]).unwrap();
    assert!(world.stands(&good_given) && !world.stands(&puppet_given));
}

#[test]
fn only_an_admin_the_giver_or_the_member_itself_can_revoke() {
    let mut world = World::new();
    let (mut editor, editor_given) = world.invite(2, Role::Editor.rights());
    let inviter = Role::Viewer.rights().union(Rights::of(&[Right::Invite]));
    let (mut host, host_given) = world.invite(3, inviter);
    let (_, guest_given) = world.pass_on(&mut host, host_given, 4, Role::Viewer.rights());
    world.say(&mut editor, &revocation(guest_given, &[]), &[]).unwrap();
    assert!(world.stands(&guest_given));
    world.say(&mut host, &revocation(guest_given, &[]), &[]).unwrap();
    assert!(!world.stands(&guest_given));
    let leaving = revocation(editor_given, &[editor.head()]);
    world.say(&mut editor, &leaving, &[]).unwrap();
    assert!(!world.stands(&editor_given) && world.stands(&host_given));
    assert!(world.membership.may(&key(1).writer_id(), Right::Admin, &CHANNEL).is_ok());
}

#[test]
fn entries_outside_a_cut_count_only_under_honest_work() {
    let mut world = World::new();
    let (_, bad_given) = world.invite(2, Role::Editor.rights());
    let (_, good_given) = world.invite(3, Role::Editor.rights());
    let pen =
        |n: u8, delegation| super::world::Pen::open(world.space, CHANNEL, &key(n), 1, Some(delegation)).0;
    let (mut bad, mut good) = (pen(2, bad_given), pen(3, good_given));
    let inside = bad.write(Kind::Change, vec![1], &[]);
    let cut = bad.head();
    let kept = bad.write(Kind::Change, vec![2], &[]);
    let lost = bad.write(Kind::Change, vec![3], &[]);
    let revoked = world.say_as_root(&revocation(bad_given, &[cut]), &[]);
    let work = good.write(Kind::Change, vec![4], &[kept.id()]);
    let informed = good.write(Kind::Change, vec![5], &[lost.id(), revoked]);
    let trace = |pen: &super::world::Pen, entry| Trace::of(pen.state.open(), entry);
    let channel: Vec<_> = [&inside, &kept, &lost]
        .map(|entry| trace(&bad, entry))
        .into_iter()
        .chain([&work, &informed].map(|entry| trace(&good, entry)))
        .collect();
    let aside = world.membership.set_aside_entries(&CHANNEL, &channel);
    assert_eq!(aside.into_iter().collect::<Vec<_>>(), [lost.id()]);
}
