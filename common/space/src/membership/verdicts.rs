//! What stands: which membership entries count, once revocations, cuts and seniority are weighed.
//!
//! 1. A *link* of a chain counts if its entry lies inside the cut of every revocation in force against
//!    the delegation it was made under, and the link above it counts. The root's entries always count.
//! 2. *Honest work is kept*: an entry outside a cut counts all the same if it lies in the past of an
//!    entry whose writer did not yet know of the revocation, and whose own chain counts by rule 1.
//!    This keeps work, not power: it never keeps a revocation.
//! 3. A revocation is in force if its entry counts under a delegation that allows it (admin over the
//!    channels, or the target's own chain). It is judged only by revocations of *more senior* authority
//!    (shorter chain, then lower entry id). Each question about seniority has fewer seniors left, so
//!    the rule ends, and a removed admin cannot pull down a senior one by dating back.
//! 4. If a more senior revocation removes the authority and this one strikes back at whoever made
//!    that, it is void even inside the cut.
//!
//! All of it looks at the set of entries only: no clock, no order of arrival.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use cosmic_common::{
    heads::Heads,
    id::{EntryId, LogId, WriterId},
};

use super::{Act, Membership, Node, causality::Causality};
use crate::{
    delegation::{Bearer, Delegation},
    rights::Right,
};

/// Revocations in force, as nodes, by the delegation they take back.
pub(super) type Revoked = BTreeMap<EntryId, BTreeSet<usize>>;

/// How senior an authority is, most senior first: links to the root, then the delegation's entry.
type Rank = (usize, Option<EntryId>);

#[derive(Debug)]
pub(super) struct Verdicts {
    /// Nodes on branches of forked logs that do not count.
    pub(super) aside: BTreeSet<usize>,
    /// For each node, whether it counts.
    pub(super) counting: Vec<bool>,
    /// Delegations that were given by somebody who could; they may have been taken back since.
    pub(super) given: BTreeSet<EntryId>,
    /// Delegations that stand, by audience.
    pub(super) members: BTreeMap<WriterId, Vec<EntryId>>,
    /// Revocations in force.
    pub(super) revoked: Revoked,
}

impl Verdicts {
    pub(super) fn of(set: &Membership) -> Self {
        let causality = set.causality();
        let mut candidates = candidates(set);
        candidates.sort_unstable();
        let mut level = Level::new(set, &causality, Revoked::new());
        for peers in candidates.chunk_by(|(one, _), (other, _)| one == other) {
            let mut revoked = level.revoked.clone();
            for (rank, revocation) in peers {
                if level.is_in_force(*revocation, rank.1) {
                    level
                        .target(*revocation, |target| revoked.entry(target).or_default().insert(*revocation));
                }
            }
            if revoked != level.revoked {
                level = Level::new(set, &causality, revoked);
            }
        }
        level.conclude()
    }

    /// Adds the last node of `set`, if nothing else can change with it: while nothing was ever revoked
    /// or forked, an entry counts if its writer has a delegation that allows it.
    pub(super) fn extend(&mut self, set: &Membership) -> bool {
        let quiet = set.revocations.is_empty() && set.contested.is_empty() && set.forks.is_empty();
        let Some(node) = set.nodes.last().filter(|_| quiet) else { return false };
        let Act::Delegation(delegation) = &node.act else {
            self.counting.push(!authorities(set, node).is_empty());
            return true;
        };
        if self.counting.contains(&false) {
            return false;
        }
        self.counting.push(true);
        self.given.insert(node.id);
        let standing = self.members.entry(delegation.audience).or_default();
        standing.insert(standing.partition_point(|other| *other < node.id), node.id);
        true
    }
}

/// What an entry other than a revocation may rest on: the delegation it names if it gives rights, or
/// else each delegation to its writer that allows what it does. `None` stands for the root.
fn authorities(set: &Membership, node: &Node) -> Vec<Option<EntryId>> {
    let needed = match &node.act {
        Act::Delegation(delegation) => return vec![delegation.parent],
        Act::Epoch(_) => Some(Right::Write),
        Act::Copy { .. } => Some(Right::Read),
        Act::Presence | Act::KemKey(_) | Act::Fork(_) | Act::Revocation(_) => None,
    };
    if set.is_root(&node.writer) {
        return vec![None];
    }
    let allows = |id: &&EntryId| {
        let rights = set.delegation(id).map(Delegation::own_rights);
        rights.is_some_and(|rights| needed.is_none_or(|right| rights.has(right)))
    };
    set.by_audience.get(&node.writer).into_iter().flatten().filter(allows).copied().map(Some).collect()
}

/// Every revocation with each authority its writer might have for it.
fn candidates(set: &Membership) -> Vec<(Rank, usize)> {
    let mut candidates = Vec::new();
    for position in &set.revocations {
        let Some(node) = set.nodes.get(*position) else { continue };
        let Act::Revocation(revocation) = &node.act else { continue };
        let Some(target) = set.delegation(&revocation.target) else { continue };
        if set.is_root(&node.writer) {
            candidates.push(((0, None), *position));
        }
        for id in set.by_audience.get(&node.writer).into_iter().flatten() {
            let allows = |delegation| is_authority(set, id, delegation, &revocation.target, target);
            if set.delegation(id).is_some_and(allows) {
                candidates.push(((set.depth(Some(*id)), Some(*id)), *position));
            }
        }
    }
    candidates
}

/// Whether a delegation allows taking back `target`: as admin, or as a link of the target's own chain,
/// itself included (leaving). The key of a ticket is in too many hands for either.
fn is_authority(
    set: &Membership,
    id: &EntryId,
    delegation: &Delegation,
    target_id: &EntryId,
    target: &Delegation,
) -> bool {
    let admin = delegation.rights.has(Right::Admin) && target.channels.is_within(&delegation.channels);
    delegation.bearer == Bearer::Member && (admin || set.chain(target_id).any(|link| link == *id))
}

impl Membership {
    /// A delegation and those it rests on, up to the one the root gave.
    fn chain(&self, delegation: &EntryId) -> impl Iterator<Item = EntryId> {
        let parent = |id: &EntryId| self.delegation(id).and_then(|delegation| delegation.parent);
        std::iter::successors(Some(*delegation), parent)
    }

    pub(super) fn causality(&self) -> Causality {
        Causality::new(self.nodes.iter().map(|node| {
            let names = node.previous.iter().chain(&node.dependencies);
            names.filter_map(|id| self.index.get(id)).copied().collect()
        }))
    }
}

/// The world as it looks when exactly some revocations are in force.
struct Level<'a> {
    set: &'a Membership,
    causality: &'a Causality,
    revoked: Revoked,
    aside: BTreeSet<usize>,
    /// Delegations whose chain counts by rule 1 alone, as far as worked out.
    plain: BTreeMap<EntryId, bool>,
    /// Delegations whose chain counts by rules 1 and 2, as far as worked out.
    given: BTreeMap<EntryId, bool>,
    /// For each node, whether it counts by rule 1 alone, once somebody asked.
    plain_entries: Option<Rc<[bool]>>,
    /// By revocation, the nodes that rule 2 keeps from it, as far as worked out.
    kept: BTreeMap<usize, Vec<bool>>,
}

impl<'a> Level<'a> {
    fn new(set: &'a Membership, causality: &'a Causality, revoked: Revoked) -> Self {
        let cuts = revoked.values().flatten().filter_map(|revocation| set.cut(*revocation));
        let aside = set.aside(cuts);
        Self {
            set,
            causality,
            revoked,
            aside,
            plain: BTreeMap::new(),
            plain_entries: None,
            given: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    fn target<T>(&self, revocation: usize, then: impl FnOnce(EntryId) -> T) -> Option<T> {
        match &self.set.nodes.get(revocation)?.act {
            Act::Revocation(revocation) => Some(then(revocation.target)),
            _ => None,
        }
    }

    /// Rules 3 and 4 for one revocation under one authority.
    fn is_in_force(&mut self, revocation: usize, authority: Option<EntryId>) -> bool {
        self.counts_under(revocation, authority) && !self.strikes_back(revocation, authority)
    }

    fn strikes_back(&self, revocation: usize, authority: Option<EntryId>) -> bool {
        let target = self.target(revocation, |target| target);
        let Some(victim) = target.and_then(|target| self.set.delegation(&target)) else { return false };
        let Some(removals) = authority.and_then(|authority| self.revoked.get(&authority)) else {
            return false;
        };
        let by_victim = |removal: &usize| {
            self.set.nodes.get(*removal).is_some_and(|removal| removal.writer == victim.audience)
        };
        removals.iter().any(by_victim)
    }

    /// Whether the entry at `position` counts as made under `authority`.
    fn counts_under(&mut self, position: usize, authority: Option<EntryId>) -> bool {
        if self.aside.contains(&position) {
            return false;
        }
        let Some(id) = authority else { return true };
        self.is_given(&id) && self.revocations_of(&id).into_iter().all(|r| self.spares(r, position))
    }

    fn revocations_of(&self, delegation: &EntryId) -> Vec<usize> {
        self.revoked.get(delegation).into_iter().flatten().copied().collect()
    }

    /// Whether the chain of a delegation counts, by rules 1 and 2.
    fn is_given(&mut self, id: &EntryId) -> bool {
        if let Some(known) = self.given.get(id) {
            return *known;
        }
        let (Some(granted), Some(delegation)) = (self.set.delegations.get(id), self.set.delegation(id))
        else {
            return false;
        };
        let given = self.counts_under(granted.node, delegation.parent);
        self.given.insert(*id, given);
        given
    }

    /// Whether `revocation` leaves the entry at `position` untouched: inside the cut, or kept by rule 2.
    fn spares(&mut self, revocation: usize, position: usize) -> bool {
        if self.is_inside(revocation, position) {
            return true;
        }
        let is_work = !matches!(self.set.nodes.get(position).map(|node| &node.act), Some(Act::Revocation(_)));
        is_work && self.is_kept(revocation, position)
    }

    fn is_inside(&self, revocation: usize, position: usize) -> bool {
        let (Some(cut), Some(node)) = (self.set.cut(revocation), self.set.nodes.get(position)) else {
            return false;
        };
        self.set.is_inside(position, node, cut)
    }

    fn is_kept(&mut self, revocation: usize, position: usize) -> bool {
        if self.causality.is_last(position) {
            return false;
        }
        if !self.kept.contains_key(&revocation) {
            let plain = self.plain_entries();
            let knows = self.causality.knows([revocation]);
            let honest = plain.iter().zip(knows).enumerate();
            let honest =
                honest.filter_map(|(position, (plain, knows))| (*plain && !knows).then_some(position));
            let kept = self.causality.past(honest);
            self.kept.insert(revocation, kept);
        }
        self.kept.get(&revocation).and_then(|kept| kept.get(position)).copied().unwrap_or(false)
    }

    /// For each node, whether it counts by rule 1 under any delegation to its writer.
    fn plain_entries(&mut self) -> Rc<[bool]> {
        if let Some(known) = &self.plain_entries {
            return Rc::clone(known);
        }
        let plain: Rc<[bool]> =
            (0..self.set.nodes.len()).map(|position| self.is_plain_entry(position)).collect();
        self.plain_entries = Some(Rc::clone(&plain));
        plain
    }

    fn is_plain_entry(&mut self, position: usize) -> bool {
        let Some(node) = self.set.nodes.get(position).filter(|_| !self.aside.contains(&position)) else {
            return false;
        };
        let delegations = self.set.by_audience.get(&node.writer).into_iter().flatten();
        self.set.is_root(&node.writer) || delegations.into_iter().any(|id| self.is_plain_under(position, id))
    }

    fn is_plain_under(&mut self, position: usize, id: &EntryId) -> bool {
        self.is_plain(id) && self.revocations_of(id).into_iter().all(|r| self.is_inside(r, position))
    }

    /// Whether the chain of a delegation counts by rule 1 alone.
    fn is_plain(&mut self, id: &EntryId) -> bool {
        if let Some(known) = self.plain.get(id) {
            return *known;
        }
        let (Some(granted), Some(delegation)) = (self.set.delegations.get(id), self.set.delegation(id))
        else {
            return false;
        };
        let plain = !self.aside.contains(&granted.node)
            && delegation.parent.is_none_or(|parent| self.is_plain_under(granted.node, &parent));
        self.plain.insert(*id, plain);
        plain
    }

    /// Everything that follows once all revocations have been judged.
    fn conclude(mut self) -> Verdicts {
        let counting = (0..self.set.nodes.len()).map(|position| self.counts(position)).collect();
        let mut members = BTreeMap::<WriterId, Vec<EntryId>>::new();
        let mut given = BTreeSet::new();
        for id in self.set.delegations.keys() {
            if self.is_given(id) {
                given.insert(*id);
                let standing = self.set.delegation(id).filter(|_| !self.revoked.contains_key(id));
                if let Some(delegation) = standing {
                    members.entry(delegation.audience).or_default().push(*id);
                }
            }
        }
        Verdicts { aside: self.aside, counting, given, members, revoked: self.revoked }
    }

    fn counts(&mut self, position: usize) -> bool {
        let Some(node) = self.set.nodes.get(position) else { return false };
        if let Act::Revocation(revocation) = &node.act {
            return self.revoked.get(&revocation.target).is_some_and(|all| all.contains(&position));
        }
        authorities(self.set, node).into_iter().any(|authority| self.counts_under(position, authority))
    }
}

/// The cut of each revocation in force against a delegation.
pub(super) fn cuts<'a>(
    set: &'a Membership,
    delegation: &EntryId,
) -> impl Iterator<Item = (usize, &'a Heads)> + use<'a> {
    let revocations = set.verdicts().revoked.get(delegation).into_iter().flatten();
    revocations.filter_map(|revocation| Some((*revocation, set.cut(*revocation)?)))
}

/// Whether a place in a log lies inside a cut; the branch is the caller's to choose, by [`Membership::pins`].
pub(super) fn reaches(cut: &Heads, log: &LogId, seq: u64) -> bool {
    cut.get(log).is_some_and(|head| seq <= head.seq)
}
