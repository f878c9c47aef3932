//! What a snapshot replaces, and what nobody's word alone does.

use std::collections::BTreeSet;

use cosmic_common::{
    id::{ChannelId, EntryId, WriterId},
    time::HybridTime,
};
use cosmic_log::{
    chain::{Draft, append},
    entry::Entry,
    kind::Kind,
};
use proptest::prelude::*;

use super::world::{Pen, World, key, revocation};
use crate::{
    covers::{DEVICES_MIN, Witness, replaces, thin},
    rights::Role,
};

const NOTES: ChannelId = ChannelId::from_bytes([1; 32]);
const OTHER: ChannelId = ChannelId::from_bytes([2; 32]);

/// What the log of `pen` says of its last entry.
fn witness(world: &World, pen: &Pen) -> Witness {
    world.membership.witness(pen.state.open(), pen.state.head().seq)
}

fn pen(world: &World, channel: ChannelId, n: u8, life: u8, delegation: Option<EntryId>) -> Pen {
    let (mut pen, _) = Pen::open(world.space, channel, &key(n), life, delegation);
    pen.write(Kind::Acknowledgement, Vec::new(), &[]);
    pen
}

#[test]
fn it_takes_another_device_of_the_same_channel() {
    let mut world = World::new();
    let (_, editor) = world.invite(2, Role::Editor.rights());
    let snapshot = witness(&world, &pen(&world, NOTES, 1, 1, None));
    let own = witness(&world, &pen(&world, NOTES, 1, 2, None));
    let other = witness(&world, &pen(&world, NOTES, 2, 1, Some(editor)));
    let elsewhere = witness(&world, &pen(&world, OTHER, 2, 1, Some(editor)));
    assert!(!replaces(snapshot, []), "who covers others' entries drops nothing alone");
    assert!(!replaces(snapshot, [own, own]), "nor does another incarnation of the same device help");
    assert!(!replaces(snapshot, [elsewhere]), "nor a word in another channel");
    assert!(replaces(snapshot, [own, other]));
    assert!(replaces(other, [snapshot]));
}

#[test]
fn who_may_not_write_has_no_say() {
    let mut world = World::new();
    let (_, viewer) = world.invite(2, Role::Viewer.rights());
    let snapshot = witness(&world, &pen(&world, NOTES, 1, 1, None));
    assert!(!replaces(snapshot, [witness(&world, &pen(&world, NOTES, 2, 1, Some(viewer)))]));
    let stranger = witness(&world, &pen(&world, NOTES, 3, 1, None));
    assert!(!replaces(snapshot, [stranger]));
    assert!(
        !replaces(stranger, [snapshot]),
        "a snapshot that does not count replaces nothing, whoever acknowledges it"
    );
}

#[test]
fn what_a_removed_writer_says_outside_the_cut_is_nothing() {
    let mut world = World::new();
    let (_, editor) = world.invite(2, Role::Editor.rights());
    let mut there = pen(&world, NOTES, 2, 1, Some(editor));
    let (before, head) = (there.state.head().seq, there.head());
    there.write(Kind::Acknowledgement, Vec::new(), &[]);
    world.say_as_root(&revocation(editor, &[head]), &[]);
    let snapshot = witness(&world, &pen(&world, NOTES, 1, 1, None));
    assert!(!replaces(snapshot, [witness(&world, &there)]));
    assert!(
        replaces(snapshot, [world.membership.witness(there.state.open(), before)]),
        "what lies inside stands"
    );
}

/// Entries of these kinds in one log, with bodies of some bytes, behind the one that opens it.
fn log_of(kinds: &[Kind]) -> Vec<Entry> {
    let world = World::new();
    let (mut pen, open) = Pen::open(world.space, NOTES, &key(1), 1, None);
    let mut entries = vec![open];
    for (n, kind) in (0_u8..).zip(kinds) {
        let body = if *kind == Kind::Tombstone { Vec::new() } else { vec![n; usize::from(n) * 7 % 50] };
        let mut draft = Draft::new(*kind, HybridTime::default());
        draft.epoch = kind.is_sealed().then(|| cosmic_common::id::EpochId::from_bytes([3; 32]));
        let entry = append(&pen.state, draft, &pen.key, |_core| body).unwrap();
        pen.state.extend(&entry);
        entries.push(entry);
    }
    entries
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop::sample::select(vec![
        Kind::Change,
        Kind::Change,
        Kind::Snapshot,
        Kind::File,
        Kind::Acknowledgement,
        Kind::Tombstone,
    ]);
    prop::collection::vec(kind, 0..12)
}

proptest! {
    #[test]
    fn devices_are_counted_and_nothing_else(
        author: bool,
        said in prop::collection::vec((0..4_u8, 0..3_u8), 0..12),
    ) {
        let writer = |n: u8| WriterId::from_bytes([n; 32]);
        let channel = |n: u8| [None, Some(NOTES), Some(OTHER)][usize::from(n)];
        let snapshot = Witness { writer: writer(0), channel: author.then_some(NOTES) };
        let counting: BTreeSet<u8> = said.iter().filter(|(_, place)| *place == 1).map(|(n, _)| *n).collect();
        let expected = author && counting.iter().filter(|n| **n != 0).count() + 1 >= DEVICES_MIN;
        let words = said.iter().map(|(n, place)| Witness { writer: writer(*n), channel: channel(*place) });
        prop_assert_eq!(replaces(snapshot, words), expected);
    }

    #[test]
    fn a_run_goes_as_a_whole_and_its_chain_stays(kinds in kinds(), replaced in prop::collection::btree_set(0..13_u64, 0..13)) {
        let entries = log_of(&kinds);
        let is_sealed = |entry: &&Entry| entry.core().kind.is_sealed();
        let may_go = |entry: &Entry| {
            matches!(entry.core().kind, Kind::Change | Kind::Snapshot) && replaced.contains(&entry.core().seq)
        };
        match thin(entries.clone(), |seq| replaced.contains(&seq)) {
            Err(needed) => {
                prop_assert!(!needed.is_empty());
                prop_assert!(needed.iter().all(|entry| entry.core().kind.is_sealed() && !may_go(entry)));
            }
            Ok(thinned) => {
                prop_assert!(entries.iter().filter(is_sealed).all(may_go));
                prop_assert_eq!(thinned.bodies, entries.iter().filter(is_sealed).count() as u64);
                let bytes: u64 = entries.iter().filter(is_sealed).map(Entry::body_bytes).sum();
                prop_assert_eq!(thinned.bytes, bytes);
                prop_assert_eq!(thinned.entries.len(), entries.len());
                for (bare, whole) in thinned.entries.iter().zip(&entries) {
                    prop_assert_eq!((bare.id(), bare.core()), (whole.id(), whole.core()));
                    prop_assert_eq!(bare.body().is_some(), !whole.core().kind.is_sealed());
                    prop_assert!(bare.verify_signature(&key(1).writer_id()).is_ok());
                    let read = Entry::from_bytes(bare.as_bytes()).unwrap();
                    prop_assert_eq!(&read, bare);
                }
                let again = thin(thinned.entries.clone(), |_| false).unwrap();
                prop_assert_eq!((again.bodies, again.entries), (0, thinned.entries));
            }
        }
    }
}
