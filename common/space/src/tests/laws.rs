//! What holds in every story.

use std::collections::BTreeSet;

use cosmic_common::{
    id::{ChannelId, EntryId, WriterId},
    limit::DELEGATION_DEPTH_MAX,
};
use cosmic_log::{chain::LogState, entry::Entry};
use proptest::prelude::*;

use super::{
    oracle::Oracle,
    story::{KEYS, Story, steps, writer},
};
use crate::{
    admission::{Verdict, admit},
    membership::Membership,
    rights::Right,
};

/// Everything the set answers, so that two sets can be compared.
fn answers(membership: &Membership) -> impl PartialEq + std::fmt::Debug + use<> {
    let channels = [ChannelId::from_bytes([1; 32]), ChannelId::from_bytes([2; 32]), membership.channel()];
    let may = |key: u8, right, channel: &_| membership.may(&writer(key), right, channel).is_ok();
    let allowed: Vec<_> = (0..KEYS)
        .flat_map(|key| Right::ALL.map(|right| (key, right)))
        .flat_map(|(key, right)| channels.map(|channel| may(key, right, &channel)))
        .collect();
    let members: Vec<_> = membership.members().collect();
    (allowed, members, membership.heads(), membership.frontier(), membership.epochs())
}

fn standing(membership: &Membership) -> BTreeSet<EntryId> {
    membership.members().filter_map(|member| member.delegation).collect()
}

/// Admits entries as a replica does that gets them in this order, again and again while that helps.
fn replicate(space: cosmic_common::id::SpaceId, entries: &[Entry]) -> (Membership, BTreeSet<EntryId>) {
    let mut membership = Membership::new(space);
    membership.learn(entries);
    let mut logs = std::collections::BTreeMap::<_, LogState>::new();
    let mut waiting: Vec<&Entry> = entries.iter().collect();
    let mut stored = BTreeSet::new();
    loop {
        let before = waiting.len();
        waiting.retain(|entry| match admit(&membership, logs.get(&entry.core().log), entry) {
            Verdict::Admit(state) => {
                logs.insert(entry.core().log, state);
                membership.insert(entry).unwrap();
                stored.insert(entry.id());
                false
            }
            Verdict::Taken | Verdict::Refuse(_) => false,
            Verdict::Wait(_) => true,
        });
        if waiting.len() == before {
            return (membership, stored);
        }
    }
}

fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    let place =
        |n: &usize| *blake3::hash(&[seed.to_le_bytes(), (*n as u64).to_le_bytes()].concat()).as_bytes();
    order.sort_by_key(place);
    order.into_iter().map(|n| items[n].clone()).collect()
}

fn is_root(story: &Story, key: &WriterId) -> bool {
    story.world.membership.is_root(key)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn verdicts_do_not_depend_on_the_order_of_arrival(steps in steps(true), seed: u64) {
        let story = Story::tell(&steps);
        let shuffled = shuffled(&story.world.entries, seed);
        let other = Membership::restore(story.world.space, &shuffled).unwrap();
        prop_assert_eq!(answers(&other), answers(&story.world.membership));
    }

    #[test]
    fn replicas_store_the_same_entries_in_any_order(steps in steps(false), seed: u64) {
        let story = Story::tell(&steps);
        let (one, stored) = replicate(story.world.space, &story.world.entries);
        let (other, also) = replicate(story.world.space, &shuffled(&story.world.entries, seed));
        prop_assert_eq!(stored.len(), story.world.entries.len());
        prop_assert_eq!(stored, also);
        prop_assert_eq!(answers(&one), answers(&other));
    }

    #[test]
    fn attenuation_never_widens(steps in steps(true)) {
        let story = Story::tell(&steps);
        for id in &story.delegations {
            let mut child = story.world.membership.delegation(id).unwrap();
            let mut depth = 1;
            while let Some(parent) = child.parent.and_then(|id| story.world.membership.delegation(&id)) {
                prop_assert!(child.rights.is_within(parent.rights));
                prop_assert!(child.channels.is_within(&parent.channels));
                (child, depth) = (parent, depth + 1);
            }
            prop_assert!(child.parent.is_none() && depth <= DELEGATION_DEPTH_MAX);
        }
        let channel = ChannelId::from_bytes([2; 32]);
        for (key, right) in (0..KEYS).flat_map(|key| Right::ALL.map(|right| (writer(key), right))) {
            let given = story.delegations.iter().filter_map(|id| story.world.membership.delegation(id));
            let ever = given.into_iter().any(|d| {
                d.audience == key && d.own_rights().has(right) && d.channels.reach(&channel)
            });
            let may = story.world.membership.may(&key, right, &channel).is_ok();
            prop_assert!(!may || ever || is_root(&story, &key));
        }
    }

    #[test]
    fn the_verdicts_are_those_of_the_rule_as_written(steps in steps(false)) {
        let story = Story::tell(&steps);
        let oracle = Oracle::new(writer(0), &story.world.entries);
        prop_assert_eq!(standing(&story.world.membership), oracle.standing());
    }

    #[test]
    fn a_removed_admin_changes_nothing_by_dating_back(steps in steps(false), late in steps(false)) {
        // The root removes key 1, having seen everything; what key 1 alone writes after that, without
        // knowing or pretending not to, leaves everybody else's rights as they are.
        let mut story = Story::tell(&steps);
        story.remove(1);
        let before = standing(&story.world.membership);
        story.act_alone(1, &late);
        prop_assert_eq!(standing(&story.world.membership), before);
    }
}
