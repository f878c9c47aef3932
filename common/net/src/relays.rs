//! Where a peer that nobody reaches from outside is reachable: a pure table of relays that decides, while the actor performs.
//!
//! ```text
//! known ──chosen──▶ asked ──granted──▶ stands ──lost──▶ resting ──rested──▶ known
//!                     └──refused────────────────────────▲
//! ```
//! Two relays of different operators, as long as there are such; one, once the peer turned out to be public: others may see
//! it from a place that nobody has tried.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use cosmic_common::id::{OperatorId, PeerId};
use cosmic_runtime::clock::Monotonic;

/// Reservations of a peer that is not known to be public.
const WANTED: usize = 2;
/// Those of one that is.
const WANTED_PUBLIC: usize = 1;
/// Relays that are remembered.
const KNOWN_MAX: usize = 256;
/// How long a relay that refused or was lost is left alone, at first and at most; others are asked at once.
const REST_FIRST: Duration = Duration::from_secs(2);
const REST_MAX: Duration = Duration::from_secs(120);
/// How long a relay may take to answer.
const ASKED_MAX: Duration = Duration::from_secs(8);

/// A supernode that relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayPeer {
    /// The supernode.
    pub peer: PeerId,
    /// Who runs it.
    pub operator: OperatorId,
}

/// The state of one relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Known,
    Asked(Monotonic),
    Stands,
    Resting(Monotonic),
}

#[derive(Debug)]
struct Entry {
    operator: OperatorId,
    state: State,
    failures: u32,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Relays {
    local: PeerId,
    entries: BTreeMap<PeerId, Entry>,
    public: bool,
}

impl Relays {
    pub(crate) const fn new(local: PeerId) -> Self {
        Self { local, entries: BTreeMap::new(), public: false }
    }

    /// The relays there are; what is known of those that stay stays.
    pub(crate) fn set(&mut self, relays: &[RelayPeer]) {
        let told: HashMap<PeerId, OperatorId> = relays
            .iter()
            .filter(|relay| relay.peer != self.local)
            .take(KNOWN_MAX)
            .map(|relay| (relay.peer, relay.operator))
            .collect();
        self.entries.retain(|peer, _entry| told.contains_key(peer));
        for (peer, operator) in told {
            let new = Entry { operator, state: State::Known, failures: 0 };
            self.entries.entry(peer).or_insert(new).operator = operator;
        }
    }

    /// Whether the peer is known to be reachable by itself.
    pub(crate) const fn set_public(&mut self, public: bool) {
        self.public = public;
    }

    /// Whom to ask now. They count as asked from now on.
    pub(crate) fn wanted(&mut self, now: Monotonic) -> Vec<PeerId> {
        self.wake(now);
        let wanted = if self.public { WANTED_PUBLIC } else { WANTED };
        let mut chosen = Vec::new();
        while self.held() < wanted
            && let Some(next) = self.next()
        {
            if let Some(entry) = self.entries.get_mut(&next) {
                entry.state = State::Asked(now);
            }
            chosen.push(next);
        }
        chosen
    }

    /// A relay granted what it was asked for.
    pub(crate) fn granted(&mut self, relay: &PeerId) {
        if let Some(entry) = self.entries.get_mut(relay) {
            (entry.state, entry.failures) = (State::Stands, 0);
        }
    }

    /// A relay refused, could not be reached, or is gone.
    pub(crate) fn lost(&mut self, relay: &PeerId, now: Monotonic) {
        if let Some(entry) = self.entries.get_mut(relay) {
            let rest = REST_FIRST.saturating_mul(2_u32.saturating_pow(entry.failures)).min(REST_MAX);
            entry.failures = entry.failures.saturating_add(1);
            entry.state = State::Resting(now.after(rest));
        }
    }

    /// The way to everybody has changed: whoever rested may answer now.
    pub(crate) fn forgive(&mut self) {
        for entry in self.entries.values_mut() {
            entry.failures = 0;
            if matches!(entry.state, State::Resting(_)) {
                entry.state = State::Known;
            }
        }
    }

    /// The relays where a reservation stands.
    pub(crate) fn standing(&self) -> impl Iterator<Item = PeerId> {
        let standing = self.entries.iter().filter(|(_, entry)| entry.state == State::Stands);
        standing.map(|(peer, _)| *peer)
    }

    /// The relays that this peer comes to first.
    pub(crate) fn nearest(&self, count: usize) -> Vec<PeerId> {
        let mut peers: Vec<PeerId> = self.entries.keys().copied().collect();
        peers.sort_unstable_by_key(|peer| self.score(peer));
        peers.truncate(count);
        peers
    }

    /// How many relays are known.
    pub(crate) fn known(&self) -> usize {
        self.entries.len()
    }

    fn wake(&mut self, now: Monotonic) {
        let mut silent = Vec::new();
        for (peer, entry) in &mut self.entries {
            match entry.state {
                State::Resting(until) if until <= now => entry.state = State::Known,
                State::Asked(since) if now.since(since) > ASKED_MAX => silent.push(*peer),
                _ => {}
            }
        }
        silent.iter().for_each(|peer| self.lost(peer, now));
    }

    fn held(&self) -> usize {
        self.busy().count()
    }

    fn busy(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| matches!(entry.state, State::Asked(_) | State::Stands))
    }

    /// The best of those that could be asked: of an operator that does not serve yet, and then by rendezvous, so that the
    /// peers of a network spread over its relays.
    fn next(&self) -> Option<PeerId> {
        let serves = |operator: OperatorId| self.busy().any(|entry| entry.operator == operator);
        let known = self.entries.iter().filter(|(_, entry)| entry.state == State::Known);
        let best = known.min_by_key(|(peer, entry)| (serves(entry.operator), self.score(peer)));
        best.map(|(peer, _)| *peer)
    }

    fn score(&self, relay: &PeerId) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.local.as_bytes(), relay.as_bytes()).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests;
