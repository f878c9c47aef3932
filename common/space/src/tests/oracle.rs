//! The rules of `docs/protocol/space.md` written down a second time, as slow and plain as they read.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    heads::Heads,
    id::{EntryId, LogId, WriterId},
    record::Record,
};
use cosmic_log::{entry::Entry, kind::Kind, open::Open};

use crate::{
    delegation::{Bearer, Delegation},
    record::{MembershipRecord, Revocation},
    rights::Right,
};

type Rank = (usize, Option<EntryId>);

struct Fact {
    log: LogId,
    seq: u64,
    writer: WriterId,
    names: Vec<EntryId>,
    record: Option<MembershipRecord>,
}

/// A set of membership entries without forks.
pub(super) struct Oracle {
    root: WriterId,
    facts: BTreeMap<EntryId, Fact>,
}

impl Oracle {
    pub(super) fn new(root: WriterId, entries: &[Entry]) -> Self {
        let opened = |entry: &&Entry| entry.core().kind == Kind::Open;
        let writers: BTreeMap<LogId, WriterId> = entries
            .iter()
            .filter(opened)
            .map(|entry| (entry.core().log, Open::from_bytes(entry.body().unwrap()).unwrap().writer))
            .collect();
        let fact = |entry: &Entry| {
            let core = entry.core();
            let record = (core.kind == Kind::Membership)
                .then(|| MembershipRecord::from_bytes(entry.body().unwrap()).unwrap());
            let names = core.previous.iter().chain(&core.dependencies).copied().collect();
            (entry.id(), Fact { log: core.log, seq: core.seq, writer: writers[&core.log], names, record })
        };
        Self { root, facts: entries.iter().map(fact).collect() }
    }

    /// The delegations that stand.
    pub(super) fn standing(&self) -> BTreeSet<EntryId> {
        self.delegations().filter(|id| self.given(id, None) && self.in_force(id, None).is_empty()).collect()
    }

    fn delegations(&self) -> impl Iterator<Item = EntryId> {
        self.facts.keys().filter(|id| self.delegation(id).is_some()).copied()
    }

    fn delegation(&self, id: &EntryId) -> Option<&Delegation> {
        match self.facts.get(id)?.record.as_ref()? {
            MembershipRecord::Delegation(delegation) => Some(delegation),
            _ => None,
        }
    }

    fn revocation(&self, id: &EntryId) -> Option<&Revocation> {
        match self.facts.get(id)?.record.as_ref()? {
            MembershipRecord::Revocation(revocation) => Some(revocation),
            _ => None,
        }
    }

    fn chain(&self, id: &EntryId) -> Vec<EntryId> {
        std::iter::successors(Some(*id), |id| self.delegation(id)?.parent).collect()
    }

    fn rank(&self, authority: Option<EntryId>) -> Rank {
        (authority.map_or(0, |id| self.chain(&id).len()), authority)
    }

    /// Everything an entry was made after.
    fn past(&self, id: &EntryId) -> BTreeSet<EntryId> {
        let mut past = BTreeSet::new();
        let mut waiting = vec![*id];
        while let Some(next) = waiting.pop() {
            for name in self.facts.get(&next).into_iter().flat_map(|fact| &fact.names) {
                if self.facts.contains_key(name) && past.insert(*name) {
                    waiting.push(*name);
                }
            }
        }
        past
    }

    /// Revocations of `target` in force by an authority more senior than `below`.
    fn in_force(&self, target: &EntryId, below: Option<Rank>) -> Vec<EntryId> {
        let against = self.facts.keys().filter(|id| self.revocation(id).is_some_and(|r| r.target == *target));
        against.filter(|id| self.authorities(id, below).iter().any(|a| self.holds(id, *a))).copied().collect()
    }

    /// What a revocation may rest on, more senior than `below`.
    fn authorities(&self, id: &EntryId, below: Option<Rank>) -> Vec<Option<EntryId>> {
        let (writer, revocation) = (self.facts[id].writer, self.revocation(id).unwrap());
        let Some(target) = self.delegation(&revocation.target) else { return Vec::new() };
        let chain = self.chain(&revocation.target);
        let delegated = self.delegations().filter(|d| {
            let delegation = self.delegation(d).unwrap();
            let admin =
                delegation.rights.has(Right::Admin) && target.channels.is_within(&delegation.channels);
            delegation.audience == writer
                && delegation.bearer == Bearer::Member
                && (admin || chain.contains(d))
        });
        let root = (writer == self.root).then_some(None);
        let all = root.into_iter().chain(delegated.map(Some));
        all.filter(|authority| below.is_none_or(|below| self.rank(*authority) < below)).collect()
    }

    /// Rules 3 and 4.
    fn holds(&self, id: &EntryId, authority: Option<EntryId>) -> bool {
        let level = Some(self.rank(authority));
        let victim = self.delegation(&self.revocation(id).unwrap().target).unwrap().audience;
        let removals = authority.map(|a| self.in_force(&a, level)).unwrap_or_default();
        self.counts(id, authority, level) && !removals.iter().any(|r| self.facts[r].writer == victim)
    }

    /// Rules 1 and 2, as they look to an authority of rank `level`.
    fn counts(&self, id: &EntryId, authority: Option<EntryId>, level: Option<Rank>) -> bool {
        let Some(authority) = authority else { return true };
        let spared = |revocation: &EntryId| {
            self.inside(id, &self.revocation(revocation).unwrap().cut)
                || (self.revocation(id).is_none() && self.kept(id, revocation, level))
        };
        self.given(&authority, level) && self.in_force(&authority, level).iter().all(spared)
    }

    fn given(&self, id: &EntryId, level: Option<Rank>) -> bool {
        self.counts(id, self.delegation(id).unwrap().parent, level)
    }

    fn inside(&self, id: &EntryId, cut: &Heads) -> bool {
        let fact = &self.facts[id];
        cut.get(&fact.log).is_some_and(|head| fact.seq <= head.seq)
    }

    fn kept(&self, id: &EntryId, revocation: &EntryId, level: Option<Rank>) -> bool {
        self.facts.keys().any(|work| {
            let past = self.past(work);
            let unaware = work != revocation && !past.contains(revocation);
            past.contains(id) && unaware && self.plain_entry(work, level)
        })
    }

    fn plain_entry(&self, id: &EntryId, level: Option<Rank>) -> bool {
        let writer = self.facts[id].writer;
        writer == self.root
            || self.delegations().any(|d| {
                self.delegation(&d).unwrap().audience == writer && self.plain_under(id, Some(d), level)
            })
    }

    fn plain_under(&self, id: &EntryId, authority: Option<EntryId>, level: Option<Rank>) -> bool {
        let Some(authority) = authority else { return true };
        let revocations = self.in_force(&authority, level);
        revocations.iter().all(|r| self.inside(id, &self.revocation(r).unwrap().cut))
            && self.plain_under(&authority, self.delegation(&authority).unwrap().parent, level)
    }
}
