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
            let counts = self.winner((log, *seq), nodes, pins, aside);
            let beaten = nodes.iter().filter(|node| self.nodes.get(**node).map(|node| node.id) != counts);
            aside.extend(beaten);
        }
    }

    /// The entry that counts in one place, among those here and those proven to compete there: one that
    /// follows the branch that counts so far, below a pin if there is one, else with the lowest id.
    fn winner(
        &self,
        (log, seq): (&LogId, u64),
        nodes: &[usize],
        pins: &[usize],
        aside: &BTreeSet<usize>,
    ) -> Option<EntryId> {
        let alive = |previous: &Option<EntryId>| {
            let Some(previous) = previous else { return true };
            self.index.get(previous).is_some_and(|node| !aside.contains(node))
        };
        let here: Vec<(usize, &Node)> =
            nodes.iter().filter_map(|position| Some((*position, self.nodes.get(*position)?))).collect();
        let here: Vec<_> = here.into_iter().filter(|(_, node)| alive(&node.previous)).collect();
        let is_pinned = |position| pins.iter().any(|pin| self.ancestor_at(*pin, seq) == Some(position));
        let pinned = here.iter().filter(|(position, _)| is_pinned(*position)).map(|(_, node)| node.id).min();
        let proven = self.forks.get(log).and_then(|forks| forks.get(&seq)).into_iter().flatten();
        let proven = proven.filter(|(_, follows)| alive(follows)).map(|(id, _)| *id);
        pinned.or_else(|| here.iter().map(|(_, node)| node.id).chain(proven).min())
    }
}
