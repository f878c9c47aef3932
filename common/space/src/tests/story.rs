//! Random stories of a space: who gives what to whom, who takes back, who builds on what.

use cosmic_common::{
    id::{ChannelId, EntryId, Hash},
    record::Record,
};
use cosmic_log::kind::Kind;
use proptest::{collection::vec, prelude::*};

use super::world::{Pen, World, key, revocation};
use crate::{
    delegation::{Bearer, Caveats, Delegation},
    record::{EpochRecord, MembershipRecord},
    rights::{Channels, Rights},
};

/// Keys in a story, the root included.
pub(super) const KEYS: u8 = 5;

/// One step; numbers pick among what is there, modulo how much is there.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Give { giver: u8, parent: usize, audience: u8, rights: u8, ticket: bool, narrow: bool, after: Vec<usize> },
    Revoke { by: u8, target: usize, back: Option<u64>, after: Vec<usize> },
    Work { by: u8, epoch: bool, after: Vec<usize> },
    Fork { by: u8 },
}

pub(super) fn steps(forks: bool) -> impl Strategy<Value = Vec<Step>> {
    let after = || vec(any::<usize>(), 0..3);
    let rights = prop_oneof![2 => Just(0b1_1111), 1 => 1..=0b1_1111_u8];
    let give = (
        0..KEYS,
        any::<usize>(),
        0..KEYS,
        rights,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
        after(),
    )
        .prop_map(|(giver, parent, audience, rights, ticket, narrow, after)| Step::Give {
            giver,
            parent,
            audience,
            rights,
            ticket,
            narrow,
            after,
        });
    let revoke = (0..KEYS, any::<usize>(), prop::option::weighted(0.8, 0..3_u64), after())
        .prop_map(|(by, target, back, after)| Step::Revoke { by, target, back, after });
    let work =
        (0..KEYS, any::<bool>(), after()).prop_map(|(by, epoch, after)| Step::Work { by, epoch, after });
    let fork = (0..KEYS).prop_map(|by| Step::Fork { by });
    vec(prop_oneof![5 => give, 4 => revoke, 2 => work, u32::from(forks) => fork], 1..28)
}

/// The world after the steps that could be taken.
pub(super) struct Story {
    pub(super) world: World,
    pens: Vec<Option<Pen>>,
    pub(super) delegations: Vec<EntryId>,
}

impl Story {
    pub(super) fn tell(steps: &[Step]) -> Self {
        let world = World::new();
        let pens = (0..KEYS).map(|_| None).collect();
        let mut story = Self { world, pens, delegations: Vec::new() };
        for step in steps {
            story.take(step);
            // Asked in between, the verdicts grow with the set where they can.
            assert!(story.world.membership.members().next().is_some());
        }
        story
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Give { giver, parent, audience, rights, ticket, narrow, after } => {
                let from_root = *giver == 0;
                let mine = self
                    .delegations
                    .iter()
                    .filter(|id| self.world.membership.delegation(id).unwrap().audience == writer(*giver));
                let mine: Vec<_> = mine.copied().collect();
                let parent = if from_root { None } else { pick(&mine, *parent) };
                if parent.is_none() && !from_root {
                    return;
                }
                let channels = [ChannelId::from_bytes([1; 32])].into();
                let delegation = Delegation {
                    space: self.world.space,
                    rights: Rights::from_bits(*rights).unwrap(),
                    channels: if *narrow { Channels::Only(channels) } else { Channels::All },
                    audience: writer(*audience),
                    bearer: if *ticket { Bearer::Ticket } else { Bearer::Member },
                    kem_hash: Some(Hash::from_bytes([*audience; 32])),
                    caveats: Caveats::default(),
                    parent,
                };
                let record = MembershipRecord::Delegation(delegation);
                if let Some(id) = self.write(*giver, Kind::Membership, record.to_bytes(), after) {
                    self.delegations.push(id);
                }
            }
            Step::Revoke { by, target, back, after } => {
                let Some(target) = pick(&self.delegations, *target) else { return };
                let audience = self.world.membership.delegation(&target).unwrap().audience;
                let record = revocation(target, &self.cut(audience, *back));
                self.write(*by, Kind::Membership, record.to_bytes(), after);
            }
            Step::Work { by, epoch: false, after } => {
                self.write(*by, Kind::Acknowledgement, Vec::new(), after);
            }
            Step::Work { by, epoch: true, after } => {
                let commitment = Hash::from_bytes([u8::try_from(self.world.entries.len()).unwrap(); 32]);
                let epoch = EpochRecord { parents: Vec::new(), commitment };
                self.write(*by, Kind::Epoch, epoch.to_bytes(), after);
            }
            Step::Fork { by } => self.fork(*by),
        }
    }

    /// The heads of a key's membership log, some entries back; or nothing.
    fn cut(
        &self,
        audience: cosmic_common::id::WriterId,
        back: Option<u64>,
    ) -> Vec<(cosmic_common::id::LogId, cosmic_common::heads::Head)> {
        let pen = self.pens.iter().flatten().find(|pen| pen.writer() == audience);
        let (Some(pen), Some(back)) = (pen, back) else { return Vec::new() };
        let (log, head) = pen.head();
        let seq = head.seq.saturating_sub(back);
        let place = |entry: &&cosmic_log::entry::Entry| entry.core().log == log && entry.core().seq == seq;
        let entry = self.world.entries.iter().find(place).unwrap().id();
        vec![(log, cosmic_common::heads::Head { seq, entry })]
    }

    fn pen(&mut self, n: u8) -> Option<&mut Pen> {
        if n == 0 {
            return Some(&mut self.world.root);
        }
        let slot = usize::from(n);
        if self.pens[slot].is_none() {
            let to_me = |id: &&EntryId| self.world.membership.delegation(id).unwrap().audience == writer(n);
            let delegation = self.delegations.iter().find(to_me).copied()?;
            let channel = self.world.membership.channel();
            let (pen, open) = Pen::open(self.world.space, channel, &key(n + 1), 1, Some(delegation));
            self.world.take(open).unwrap();
            self.pens[slot] = Some(pen);
        }
        self.pens[slot].as_mut()
    }

    fn write(&mut self, n: u8, kind: Kind, body: Vec<u8>, after: &[usize]) -> Option<EntryId> {
        let ids: Vec<_> = self.world.entries.iter().map(cosmic_log::entry::Entry::id).collect();
        let after: Vec<_> = after.iter().filter_map(|number| pick(&ids, *number)).collect();
        let entry = self.pen(n)?.draft(kind, body, &after);
        let id = self.world.take(entry.clone()).ok()?;
        self.pen(n)?.state.extend(&entry);
        Some(id)
    }

    /// A second entry in the place of the next one, and one on each branch after it. The root gives
    /// something on each branch, the others acknowledge.
    fn fork(&mut self, n: u8) {
        let give = |audience: u8| self.world.delegation(writer(audience), Rights::ALL, None);
        let given = [1, 2].map(|audience| MembershipRecord::Delegation(give(audience)).to_bytes());
        let Some(pen) = self.pen(n) else { return };
        let before = pen.state.clone();
        let mut entries = Vec::new();
        for (branch, given) in [1, 2].into_iter().zip(given) {
            pen.state = before.clone();
            let first = if n == 0 {
                pen.write(Kind::Membership, given, &[])
            } else {
                pen.write(Kind::Acknowledgement, vec![branch], &[])
            };
            entries.extend([first, pen.write(Kind::Acknowledgement, vec![branch], &[])]);
        }
        for entry in entries {
            let gives = entry.core().kind == Kind::Membership;
            let id = self.world.take(entry).unwrap();
            self.delegations.extend(gives.then_some(id));
        }
    }
}

pub(super) fn writer(n: u8) -> cosmic_common::id::WriterId {
    key(n + 1).writer_id()
}

fn pick(ids: &[EntryId], number: usize) -> Option<EntryId> {
    ids.get(number.checked_rem(ids.len())?).copied()
}

impl Story {
    /// The root takes back every delegation to key `n`, with all that key has written inside the cuts.
    pub(super) fn remove(&mut self, n: u8) {
        let cut = self.cut(writer(n), Some(0));
        let to_it = |id: &&EntryId| self.world.membership.delegation(id).unwrap().audience == writer(n);
        for target in self.delegations.iter().filter(to_it).copied().collect::<Vec<_>>() {
            self.world.say_as_root(&revocation(target, &cut), &[]);
        }
    }

    /// Takes the steps as if key `n`, and keys it makes up itself, took them all.
    pub(super) fn act_alone(&mut self, n: u8, steps: &[Step]) {
        for step in steps.iter().cloned() {
            let step = match step {
                Step::Give { parent, audience, rights, ticket, narrow, after, .. } => {
                    Step::Give { giver: n, parent, audience, rights, ticket, narrow, after }
                }
                Step::Revoke { target, back, after, .. } => Step::Revoke { by: n, target, back, after },
                Step::Work { epoch, after, .. } => Step::Work { by: n, epoch, after },
                Step::Fork { .. } => Step::Fork { by: n },
            };
            self.take(&step);
        }
    }
}
