//! Which branch counts where a membership log forked.

use std::collections::BTreeSet;

use cosmic_common::{
    heads::Heads,
    id::{EntryId, LogId},
};

use super::{Membership, Node};

impl Membership {
    /// The entry at `seq` on the way from `node` back to the start of its log.
    pub(super) fn ancestor_at(&self, node: usize, seq: u64) -> Option<usize> {
        let mut position = node;
        let mut entry = self.nodes.get(node)?;
        if !self.is_contested(&entry.log) {
            return self.logs.get(&entry.log)?.places.get(&seq)?.first().copied();
        }
        while entry.seq > seq {
            position = *self.index.get(&entry.previous?)?;
            entry = self.nodes.get(position)?;
        }
        (entry.seq == seq).then_some(position)
    }

    fn is_contested(&self, log: &LogId) -> bool {
        self.contested.range((*log, 0)..=(*log, u64::MAX)).next().is_some()
    }

    /// Whether `node` lies inside `cut`: on the branch that ends with the head the cut names. While that
    /// head has not arrived, its sequence number must do.
    pub(super) fn is_inside(&self, position: usize, node: &Node, cut: &Heads) -> bool {
        let Some(head) = cut.get(&node.log).filter(|head| node.seq <= head.seq) else { return false };
        self.index.get(&head.entry).is_none_or(|head| self.ancestor_at(*head, node.seq) == Some(position))
    }

    /// The entries on branches that do not count, when `cuts` are in force: at each fork the entry
    /// below a head named in a cut counts, or else the one with the lowest id.
    pub(super) fn aside<'a>(&self, cuts: impl Iterator<Item = &'a Heads> + Clone) -> BTreeSet<usize> {
        let here = self.contested.keys().map(|(log, _)| log);
        let proven = self.forks.keys().filter(|log| self.logs.contains_key(log));
        let forked: BTreeSet<LogId> = here.chain(proven).copied().collect();
        let mut aside = BTreeSet::new();
        for log in forked {
            let heads = cuts.clone().filter_map(|cut| cut.get(&log));
            let pins: Vec<usize> = heads.filter_map(|head| self.index.get(&head.entry)).copied().collect();
            self.set_aside(&log, &pins, &mut aside);
        }
        aside
    }

    fn set_aside(&self, log: &LogId, pins: &[usize], aside: &mut BTreeSet<usize>) {
        for (seq, nodes) in self.logs.get(log).map(|log| &log.places).into_iter().flatten() {
            let follows_aside = |node: &usize| {
                let previous = self.nodes.get(*node).and_then(|node| node.previous);
                previous.and_then(|id| self.index.get(&id)).is_some_and(|node| aside.contains(node))
            };
            let (lost, alive): (Vec<usize>, Vec<usize>) = nodes.iter().partition(|node| follows_aside(node));
            let counts = self.winner(log, *seq, &alive, pins);
            let beaten = alive.iter().filter(|node| self.nodes.get(**node).map(|node| node.id) != counts);
            aside.extend(lost.iter().chain(beaten));
        }
    }

    /// The entry that counts among those `alive` at one place and those proven to compete there.
    fn winner(&self, log: &LogId, seq: u64, alive: &[usize], pins: &[usize]) -> Option<EntryId> {
        let id = |node: &usize| self.nodes.get(*node).map(|node| node.id);
        let pinned = |node: &&usize| pins.iter().any(|pin| self.ancestor_at(*pin, seq) == Some(**node));
        let absent = self.forks.get(log).and_then(|forks| forks.get(&seq)).into_iter().flatten();
        let absent = absent.filter(|id| !self.index.contains_key(*id)).copied();
        let lowest = || alive.iter().filter_map(id).chain(absent).min();
        alive.iter().filter(pinned).filter_map(id).min().or_else(lowest)
    }
}
