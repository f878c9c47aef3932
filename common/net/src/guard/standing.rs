//! What is known of a peer: nothing, that it is a member of a space served here, or that it is a member of the ring.
//!
//! ```text
//! stranger ── session proof holds ──▶ member ── last session over, an hour passed ──▶ stranger
//! any ── in the ring ──▶ ring ── out of it ──▶ what it was
//! ```

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use cosmic_common::{id::PeerId, time::Timestamp};

/// How long a member counts as one after its last session: a laptop that was closed over lunch.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
/// Members remembered; beyond that, those whose sessions are long over go first. 2 MB.
const MEMBERS_MAX: usize = 16_384;

/// What is known of a peer, in ascending order of what it is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It has proven nothing but its key.
    Stranger,
    /// A proof of it was accepted.
    Member,
    /// A supernode of the ring: its operator answers for it.
    Ring,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    members: HashMap<PeerId, Membership>,
    ring: HashSet<PeerId>,
}

#[derive(Debug)]
struct Membership {
    /// Proofs that stand now.
    proofs: u32,
    /// When the last one was given or withdrawn.
    at: Timestamp,
}

impl Standings {
    pub(crate) fn of(&self, peer: &PeerId, now: Timestamp) -> Standing {
        if self.ring.contains(peer) {
            return Standing::Ring;
        }
        match self.members.get(peer) {
            Some(membership) if membership.holds(now) => Standing::Member,
            _ => Standing::Stranger,
        }
    }

    /// A proof of `peer` was accepted, and stands until it is [withdrawn](Self::withdraw).
    pub(crate) fn prove(&mut self, peer: PeerId, now: Timestamp) {
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(&peer) {
            self.forget(now);
        }
        let membership = self.members.entry(peer).or_insert(Membership { proofs: 0, at: now });
        membership.proofs += 1;
        membership.at = now;
    }

    /// A proof stands no more: its session is over.
    pub(crate) fn withdraw(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(membership) = self.members.get_mut(peer) {
            membership.proofs = membership.proofs.saturating_sub(1);
            membership.at = now;
        }
    }

    /// These are the members of the ring.
    pub(crate) fn set_ring(&mut self, ring: HashSet<PeerId>) {
        self.ring = ring;
    }

    /// Those whose hour has passed, and if all are fresh the older half of those without a session.
    fn forget(&mut self, now: Timestamp) {
        self.members.retain(|_peer, membership| membership.holds(now));
        if self.members.len() < MEMBERS_MAX {
            return;
        }
        let resting = self.members.iter().filter(|(_, membership)| membership.proofs == 0);
        let mut resting: Vec<_> = resting.map(|(peer, membership)| (membership.at, *peer)).collect();
        resting.sort_unstable();
        for (_, peer) in resting.iter().take(resting.len().div_ceil(2)) {
            self.members.remove(peer);
        }
    }
}

impl Membership {
    fn holds(&self, now: Timestamp) -> bool {
        self.proofs > 0 || now.since(self.at) < REMEMBERED_FOR
    }
}

#[cfg(test)]
mod tests;
