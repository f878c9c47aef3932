//! Which entries of a channel count: the same rule as for membership entries, for documents and files.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::{EntryId, LogId};
use cosmic_log::{entry::Entry, open::Open};

use super::{Membership, causality::Causality, verdicts};

/// What the rule needs to know of one entry of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The entry.
    pub id: EntryId,
    /// Its log.
    pub log: LogId,
    /// Its place there.
    pub seq: u64,
    /// The delegation its log was opened under; none for the root.
    pub delegation: Option<EntryId>,
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
            delegation: open.delegation,
            names: core.previous.iter().chain(&core.dependencies).copied().collect(),
        }
    }
}

/// How an entry stands by its place alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Counts,
    /// It lies outside the cut of a revocation: it counts only if honest work built on it.
    OutsideCut,
    /// The delegation of its log was never given by somebody who could.
    Void,
}

impl Membership {
    /// How an entry at `seq` of a log opened under `delegation` stands. Everything but
    /// [`Standing::OutsideCut`] is the last word; for that, ask [`Membership::set_aside_entries`].
    #[must_use]
    pub fn standing(&self, log: &LogId, seq: u64, delegation: Option<EntryId>) -> Standing {
        let Some(id) = delegation else { return Standing::Counts };
        if !self.verdicts().given.contains(&id) {
            return Standing::Void;
        }
        let inside =
            verdicts::cuts(self, &id).all(|(_, cut)| cut.get(log).is_some_and(|head| seq <= head.seq));
        if inside { Standing::Counts } else { Standing::OutsideCut }
    }

    /// The entries of one channel that do not count, among all of its entries, in any order.
    ///
    /// An entry outside a cut still counts if an entry by a writer who did not know of the revocation,
    /// and who counts without this rule, was made after it.
    #[must_use]
    pub fn set_aside_entries(&self, channel: &[Trace]) -> BTreeSet<EntryId> {
        let standing: Vec<Standing> =
            channel.iter().map(|trace| self.standing(&trace.log, trace.seq, trace.delegation)).collect();
        let doubtful = |(trace, standing): (&Trace, &Standing)| match standing {
            Standing::OutsideCut => trace.delegation,
            Standing::Counts | Standing::Void => None,
        };
        let questioned: BTreeSet<EntryId> = channel.iter().zip(&standing).filter_map(doubtful).collect();
        let kept = self.kept_by_work(channel, &standing, &questioned);
        let counts = |position: usize, trace: &Trace, standing: Standing| match standing {
            Standing::Counts => true,
            Standing::Void => false,
            Standing::OutsideCut => trace.delegation.is_some_and(|id| {
                verdicts::cuts(self, &id).all(|(revocation, cut)| {
                    cut.get(&trace.log).is_some_and(|head| trace.seq <= head.seq)
                        || kept.get(&revocation).and_then(|kept| kept.get(position)) == Some(&true)
                })
            }),
        };
        let verdicts = channel.iter().zip(standing).enumerate();
        verdicts
            .filter(|(position, (trace, standing))| !counts(*position, trace, *standing))
            .map(|(_, (trace, _))| trace.id)
            .collect()
    }

    /// By revocation of the `questioned` delegations, the positions in `channel` that honest work built on.
    fn kept_by_work(
        &self,
        channel: &[Trace],
        standing: &[Standing],
        questioned: &BTreeSet<EntryId>,
    ) -> BTreeMap<usize, Vec<bool>> {
        if questioned.is_empty() {
            return BTreeMap::new();
        }
        let index: BTreeMap<EntryId, usize> =
            channel.iter().enumerate().map(|(position, trace)| (trace.id, position)).collect();
        let named =
            channel.iter().map(|trace| trace.names.iter().filter_map(|id| index.get(id)).copied().collect());
        let work = Causality::new(named);
        let membership = self.causality();
        let revocations = questioned.iter().flat_map(|id| verdicts::cuts(self, id)).map(|(node, _)| node);
        revocations
            .map(|revocation| {
                let told = membership.knows([revocation]);
                let tells = |id: &EntryId| self.index.get(id).and_then(|node| told.get(*node)) == Some(&true);
                let first = channel.iter().enumerate().filter(|(_, trace)| trace.names.iter().any(tells));
                let knows = work.knows(first.map(|(position, _)| position));
                let honest =
                    standing.iter().zip(knows).enumerate().filter_map(|(position, (standing, knows))| {
                        (*standing == Standing::Counts && !knows).then_some(position)
                    });
                (revocation, work.past(honest))
            })
            .collect()
    }
}
