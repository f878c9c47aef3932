//! The states of the model, and everything that can happen next.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Model, Property};

use super::ring::{Asking, Ring};
use crate::{Assignment, Promise};

/// What must hold in every state.
pub(super) const SAFE: &str = "of what was acknowledged, k shards are left";
/// What must be possible, or nothing was shown.
pub(super) const DONE: &str = "all is where the last table wants it, and nowhere else";

/// How far the release of a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Age {
    Needed,
    Settled,
    DelayOver,
}

/// A receipt for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Signed {
    pub(super) holder: usize,
    pub(super) life: u8,
    pub(super) index: u8,
    pub(super) keeps: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Supernode {
    /// The table it knows.
    version: usize,
    life: u8,
    copies: BTreeMap<u8, Age>,
    /// The receipts of the asking that is under way.
    signed: BTreeSet<Signed>,
    is_asking: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    nodes: Vec<Supernode>,
    /// The newest table.
    latest: usize,
    is_acknowledged: bool,
    losses: u8,
    /// How many shards arrived a second time.
    repeats: u8,
    /// Shards on their way. They arrive at any time, or never.
    puts: BTreeSet<(usize, u8)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The next table is signed.
    ChangeTable,
    /// A supernode learns the newest table.
    Learn { node: usize },
    /// A holder sends a shard to where its table wants it.
    Move { from: usize, index: u8, to: usize },
    /// It arrives; or is carried out, and arrives again later. A write is acknowledged when as many signed as it waits for.
    Arrive { to: usize, index: u8, again: bool },
    /// A holder that would free its copies asks those who should have them, and gets receipts for all they have.
    Ask { node: usize },
    /// It ends its asking: it frees what it may.
    Free { node: usize },
    /// A day passes. No asking lasts as long.
    Day,
    /// A disk is lost, with all on it.
    Lose { node: usize },
}

impl Model for Ring {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        // A gateway that knows the first table has sent the shards of an object to their holders.
        let written = self.plan_write(0);
        vec![State {
            nodes: vec![Supernode::default(); self.peers.len()],
            latest: 0,
            is_acknowledged: false,
            losses: 0,
            repeats: 0,
            puts: written.iter().map(|shard| (self.number(&shard.holder), shard.index)).collect(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.latest + 1 < self.plan.tables.len() {
            actions.push(Action::ChangeTable);
        }
        let repeats: &[bool] = if state.repeats < self.plan.repeats { &[false, true] } else { &[false] };
        for (to, index) in &state.puts {
            actions.extend(repeats.iter().map(|again| Action::Arrive {
                to: *to,
                index: *index,
                again: *again,
            }));
        }
        for (node, supernode) in state.nodes.iter().enumerate() {
            if supernode.version < state.latest {
                actions.push(Action::Learn { node });
            }
            if supernode.copies.is_empty() {
                continue;
            }
            if state.losses < self.plan.losses {
                actions.push(Action::Lose { node });
            }
            let target = self.target(supernode.version, &state.held(self));
            for shard in &target.wanted {
                if supernode.copies.contains_key(&shard.index) {
                    let to = self.number(&shard.holder);
                    actions.push(Action::Move { from: node, index: shard.index, to });
                }
            }
            let is_leaving = supernode.copies.values().any(|age| *age != Age::Needed);
            if is_leaving || target.strays.iter().any(|stray| self.number(&stray.holder) == node) {
                actions.push(if supernode.is_asking { Action::Free { node } } else { Action::Ask { node } });
            }
        }
        actions.push(Action::Day);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::ChangeTable => state.latest += 1,
            Action::Learn { node } => state.nodes[node].version = state.latest,
            Action::Move { index, to, .. } => drop(state.puts.insert((to, index))),
            Action::Arrive { to, index, again } => {
                state.nodes[to].copies.entry(index).or_insert(Age::Needed);
                if again {
                    state.repeats += 1;
                } else {
                    state.puts.remove(&(to, index));
                }
                state.acknowledge(self);
            }
            Action::Ask { node } => {
                let target = self.target(state.nodes[node].version, &state.held(self));
                let signed =
                    target.shards.iter().flat_map(|shard| state.sign(self, self.number(&shard.holder)));
                let signed: Vec<Signed> = signed.collect();
                state.nodes[node].signed.extend(signed);
                state.nodes[node].is_asking = true;
            }
            Action::Free { node } => state.free(self, node),
            Action::Day => {
                for node in &mut state.nodes {
                    node.copies
                        .values_mut()
                        .filter(|age| **age != Age::Needed)
                        .for_each(|age| *age = Age::DelayOver);
                    node.end_asking(self);
                }
            }
            Action::Lose { node } => {
                let Supernode { version, life, .. } = state.nodes[node];
                state.nodes[node] = Supernode { version, life: life + 1, ..Supernode::default() };
                state.losses += 1;
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |ring: &Self, state: &State| {
                let shards: BTreeSet<u8> =
                    state.nodes.iter().flat_map(|node| node.copies.keys().copied()).collect();
                !state.is_acknowledged || shards.len() >= ring.codec.k()
            }),
            Property::sometimes(DONE, |ring: &Self, state: &State| {
                let last = ring.plan.tables.len() - 1;
                let target = ring.target(last, &state.held(ring));
                let is_last = state.nodes.iter().all(|node| node.version == last);
                state.is_acknowledged && is_last && target.wanted.is_empty() && target.strays.is_empty()
            }),
        ]
    }
}

impl State {
    fn held(&self, ring: &Ring) -> Vec<Assignment> {
        let nodes = self.nodes.iter().zip(&ring.peers);
        nodes
            .flat_map(|(node, peer)| {
                node.copies.keys().map(|index| Assignment { index: *index, holder: *peer })
            })
            .collect()
    }

    /// What a supernode signs for now.
    fn sign(&self, ring: &Ring, holder: usize) -> Vec<Signed> {
        let Supernode { life, copies, .. } = &self.nodes[holder];
        let signed = |(index, age): (&u8, &Age)| {
            let keeps = ring.promise(*age) == Promise::Keeps;
            Signed { holder, life: *life, index: *index, keeps }
        };
        copies.iter().map(signed).collect()
    }

    /// Whether receipts for all shards may be with the device, by any table.
    fn acknowledge(&mut self, ring: &Ring) {
        let signed = (0..self.nodes.len()).flat_map(|holder| self.sign(ring, holder)).collect();
        self.is_acknowledged |= (0..=self.latest).any(|version| {
            let (custody, standing) = ring.custody(version, &signed);
            let verdict = custody.verdict(&standing);
            verdict.shards.len() >= verdict.wanted
        });
    }

    fn free(&mut self, ring: &Ring, node: usize) {
        let held = self.held(ring);
        let supernode = &mut self.nodes[node];
        let Supernode { version, copies, signed, .. } = supernode;
        copies.retain(|index, age| {
            let mine = Assignment { index: *index, holder: ring.peers[node] };
            let asking = Asking { version: *version, mine, held: &held, signed, age: *age };
            match ring.ask(&asking) {
                Ok(()) => false,
                Err(after) => {
                    *age = after;
                    true
                }
            }
        });
        supernode.end_asking(ring);
    }
}

impl Supernode {
    fn end_asking(&mut self, ring: &Ring) {
        self.is_asking = false;
        if ring.rules.asks_anew {
            self.signed.clear();
        }
    }
}
