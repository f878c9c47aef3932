//! Which entries of a channel count: the same rule as for membership entries, for documents and files.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::{ChannelId, EntryId, LogId, WriterId};
use cosmic_log::{entry::Entry, open::Open};

use super::{Membership, causality::Causality, verdicts};
use crate::rights::Right;

/// What the rule needs to know of one entry of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The entry.
    pub id: EntryId,
    /// Its log.
    pub log: LogId,
    /// Its place there.
    pub seq: u64,
    /// The writer of the log.
    pub writer: WriterId,
    /// The entries it names: the one before it, and its dependencies.
    pub names: Vec<EntryId>,
}

impl Trace {
    /// The trace of `entry` in the log that `open` opened.
    #[must_use]
    pub fn of(open: &Open, entry: &Entry) -> Self {
        let core = entry.core();
        Self {
            id: entry.id(),
            log: core.log,
            seq: core.seq,
            writer: open.writer,
            names: core.previous.iter().chain(&core.dependencies).copied().collect(),
        }
    }
}

/// How an entry stands by its place alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Counts,
    /// It lies outside the cut of a revocation: it counts only if honest work was built on it.
    OutsideCut,
    /// Nobody who could ever gave its writer the right to write in the channel.
    Void,
}

impl Membership {
    /// How an entry at `seq` of a log of `writer` in `channel` stands. Everything but
    /// [`Standing::OutsideCut`] is the last word; for that, ask [`Membership::set_aside_entries`].
    #[must_use]
    pub fn standing(&self, channel: &ChannelId, writer: &WriterId, log: &LogId, seq: u64) -> Standing {
        if self.is_root(writer) {
            return Standing::Counts;
        }
        let mut delegations = self.writing(writer, channel).peekable();
        if delegations.peek().is_none() {
            return Standing::Void;
        }
        if delegations.any(|id| verdicts::cuts(self, id).all(|(_, cut)| verdicts::reaches(cut, log, seq))) {
            Standing::Counts
        } else {
            Standing::OutsideCut
        }
    }

    /// The entries of `channel` that do not count, of all its entries, which come in any order.
    ///
    /// An entry outside a cut still counts if an entry was made after it whose writer did not know of the
    /// revocation, and which counts by its place alone.
    #[must_use]
    pub fn set_aside_entries(&self, channel: &ChannelId, entries: &[Trace]) -> BTreeSet<EntryId> {
        let standing: Vec<Standing> = entries
            .iter()
            .map(|entry| self.standing(channel, &entry.writer, &entry.log, entry.seq))
            .collect();
        let doubtful = || {
            let all = entries.iter().zip(&standing).enumerate();
            all.filter(|(_, (_, standing))| **standing == Standing::OutsideCut)
        };
        let delegations = doubtful().flat_map(|(_, (entry, _))| self.writing(&entry.writer, channel));
        let kept = self.kept_by_work(entries, &standing, &delegations.copied().collect());
        let is_kept = |position: usize, entry: &Trace| {
            self.writing(&entry.writer, channel).any(|id| {
                verdicts::cuts(self, id).all(|(revocation, cut)| {
                    verdicts::reaches(cut, &entry.log, entry.seq)
                        || kept.get(&revocation).and_then(|kept| kept.get(position)) == Some(&true)
                })
            })
        };
        let lost = doubtful().filter(|(position, (entry, _))| !is_kept(*position, entry));
        let void = entries.iter().zip(&standing).filter(|(_, standing)| **standing == Standing::Void);
        lost.map(|(_, (entry, _))| entry.id).chain(void.map(|(entry, _)| entry.id)).collect()
    }

    /// Delegations that let `writer` write in `channel`, given by somebody who could, taken back or not.
    fn writing(&self, writer: &WriterId, channel: &ChannelId) -> impl Iterator<Item = &EntryId> {
        let allows = |id: &&EntryId| {
            let delegation = self.delegation(id);
            self.verdicts().given.contains(*id)
                && delegation.is_some_and(|d| d.own_rights().has(Right::Write) && d.channels.reach(channel))
        };
        self.by_audience.get(writer).into_iter().flatten().filter(allows)
    }

    /// By revocation of these delegations, the positions in `entries` that honest work was built on.
    fn kept_by_work(
        &self,
        entries: &[Trace],
        standing: &[Standing],
        delegations: &BTreeSet<EntryId>,
    ) -> BTreeMap<usize, Vec<bool>> {
        if delegations.is_empty() {
            return BTreeMap::new();
        }
        let index: BTreeMap<EntryId, usize> =
            entries.iter().enumerate().map(|(position, entry)| (entry.id, position)).collect();
        let names = |entry: &Trace| entry.names.iter().filter_map(|id| index.get(id)).copied().collect();
        let work = Causality::new(entries.iter().map(names));
        let membership = self.causality();
        let kept = |revocation: usize| {
            let told = membership.knows([revocation]);
            let tells = |id: &EntryId| self.index.get(id).and_then(|node| told.get(*node)) == Some(&true);
            let first = entries.iter().enumerate().filter(|(_, entry)| entry.names.iter().any(tells));
            let knows = work.knows(first.map(|(position, _)| position));
            let honest =
                standing.iter().zip(knows).enumerate().filter_map(|(position, (standing, knows))| {
                    (*standing == Standing::Counts && !knows).then_some(position)
                });
            work.past(honest)
        };
        let revocations = delegations.iter().flat_map(|id| verdicts::cuts(self, id));
        revocations.map(|(revocation, _)| (revocation, kept(revocation))).collect()
    }
}
