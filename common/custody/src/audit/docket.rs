//! The docket: which shards count as lost by what was found, and what that does to their holders' repute.
//!
//! A shard counts as lost at its holder when two of different operators, none of them the holder's, failed to get a proof,
//! or one, who must be this supernode itself, failed twice with time between. One auditor alone can lie; a disk can
//! have a bad moment. A proof given to this supernode clears its own findings and outweighs what others said before it.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    id::{OperatorId, PeerId},
    time::Timestamp,
};

use super::{
    evidence::{Finding, Suspect},
    repute::Repute,
    rota::AUDIT_EVERY,
};

/// Shards one docket remembers findings about. Beyond that the oldest are forgotten, and found again.
pub const CASES_MAX: usize = 64 * 1024;

/// A finding: somebody did not get a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// About what.
    pub suspect: Suspect,
    /// Whose supernode asked.
    pub witness: OperatorId,
    /// Whose supernode was asked.
    pub accused: OperatorId,
    /// What came instead of a proof.
    pub finding: Finding,
    /// When, by the clock of who asked; a moment ahead counts as now.
    pub time: Timestamp,
}

/// What is known about one shard at one holder.
#[derive(Debug, Clone, Default)]
struct Case {
    /// The first and last own finding since the last own proof.
    own: Option<(Timestamp, Timestamp)>,
    /// The latest finding of each other operator.
    others: BTreeMap<OperatorId, Timestamp>,
    proved: Timestamp,
    lost: bool,
}

impl Case {
    fn is_proved_lost(&self, pause: Duration) -> bool {
        let twice = self.own.is_some_and(|(first, last)| last.since(first) >= pause);
        let after = self.others.values().filter(|time| **time > self.proved).count();
        twice || after + usize::from(self.own.is_some()) >= 2
    }

    fn latest(&self) -> Timestamp {
        let others = self.others.values().copied().max();
        self.own.map(|(_first, last)| last).max(others).max(Some(self.proved)).unwrap_or_default()
    }
}

/// What one supernode knows of the honesty and health of holders.
#[derive(Debug, Clone)]
pub struct Docket {
    operator: OperatorId,
    /// What has to lie between two own findings.
    pause: Duration,
    cases: BTreeMap<Suspect, Case>,
    reputes: BTreeMap<PeerId, Repute>,
}

impl Docket {
    /// The docket of a supernode of `operator`.
    #[must_use]
    pub const fn new(operator: OperatorId) -> Self {
        Self { operator, pause: AUDIT_EVERY, cases: BTreeMap::new(), reputes: BTreeMap::new() }
    }

    /// The same, of a supernode that audits once in `pause`.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The supernode is `operator`'s from now on.
    pub const fn belongs_to(&mut self, operator: OperatorId) {
        self.operator = operator;
    }

    /// Takes in a finding of this supernode (`witness` is its own operator's and `is_mine`) or of another's evidence.
    /// Whether the shard counts as lost from now on, and did not before.
    pub fn failed(&mut self, failure: Failure, is_mine: bool, now: Timestamp) -> bool {
        let Failure { suspect, witness, accused, finding, time } = failure;
        // An operator cannot speak against, or for, its own; and one voice of ours is enough.
        if !is_mine && (witness == accused || witness == self.operator) {
            return false;
        }
        let time = time.min(now);
        if !self.cases.contains_key(&suspect) && self.cases.len() >= CASES_MAX {
            let oldest = self.cases.iter().min_by_key(|(_, case)| case.latest()).map(|(suspect, _)| *suspect);
            oldest.into_iter().for_each(|oldest| drop(self.cases.remove(&oldest)));
        }
        let case = self.cases.entry(suspect).or_default();
        if is_mine {
            case.own = Some(case.own.map_or((time, time), |(first, last)| (first, last.max(time))));
        } else {
            let latest = case.others.entry(witness).or_default();
            *latest = time.max(*latest);
        }
        let is_news = !case.lost && case.is_proved_lost(self.pause);
        if is_news {
            case.lost = true;
            self.reputes.entry(suspect.holder).or_default().lost(finding, now);
        }
        is_news
    }

    /// The holder proved to this supernode that it has the shard.
    pub fn proved(&mut self, suspect: Suspect, now: Timestamp) {
        if let Some(case) = self.cases.get_mut(&suspect) {
            *case = Case { proved: now, others: std::mem::take(&mut case.others), ..Case::default() };
        }
    }

    /// The holder was given the shard again and signed for it: what was found before is over, but not forgotten in its repute.
    pub fn restored(&mut self, suspect: &Suspect) {
        self.cases.remove(suspect);
    }

    /// Whether a shard counts as lost at its holder: by findings about it, or because nothing the holder says is believed.
    #[must_use]
    pub fn is_lost(&self, suspect: &Suspect, now: Timestamp) -> bool {
        self.is_found_lost(suspect) || !self.repute(&suspect.holder).is_believed(now)
    }

    /// Whether there are findings enough about this shard. If its holder says that it has it, it is challenged before anybody
    /// acts on them: another may have given it the shard again.
    #[must_use]
    pub fn is_found_lost(&self, suspect: &Suspect) -> bool {
        self.cases.get(suspect).is_some_and(|case| case.lost)
    }

    /// Whether anything was found about this shard that no proof has cleared since.
    #[must_use]
    pub fn is_doubted(&self, suspect: &Suspect) -> bool {
        self.cases.contains_key(suspect)
    }

    /// Shards whose own first finding is as old as a second one has to be: they are asked for again.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = Suspect> {
        let is_due = move |case: &Case| {
            !case.lost && case.own.is_some_and(|(_first, last)| now.since(last) >= self.pause)
        };
        self.cases.iter().filter(move |(_suspect, case)| is_due(case)).map(|(suspect, _case)| *suspect)
    }

    /// All shards that something was found about, and whether they count as lost.
    pub fn cases(&self) -> impl Iterator<Item = (&Suspect, bool)> {
        self.cases.iter().map(|(suspect, case)| (suspect, case.lost))
    }

    /// The repute of a holder.
    #[must_use]
    pub fn repute(&self, holder: &PeerId) -> Repute {
        self.reputes.get(holder).copied().unwrap_or_default()
    }

    /// Forgets those who are no members any more.
    pub fn retain(&mut self, is_member: impl Fn(&PeerId) -> bool) {
        self.cases.retain(|suspect, _case| is_member(&suspect.holder));
        self.reputes.retain(|holder, _repute| is_member(holder));
    }
}
