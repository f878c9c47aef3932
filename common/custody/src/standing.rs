//! Standing: who may be counted now, in which zone, and which life of its data its word is good for.

use std::collections::BTreeMap;

use cosmic_common::{
    id::{Incarnation, PeerId},
    time::Timestamp,
};
use cosmic_ring::Members;

use crate::receipt::Receipt;

/// The members whose receipts count. Build it once per change of membership; let it see every receipt that arrives,
/// whatever it is for, because a holder that lost its data signs with a new life, and that voids what it said before.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    members: BTreeMap<PeerId, MemberStanding>,
}

#[derive(Debug, Clone)]
struct MemberStanding {
    zone: String,
    life: Life,
}

/// What is known of a member's present life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its member record names it.
    Recorded(Incarnation),
    /// The newest life it signed with, and when.
    Seen(Timestamp, Incarnation),
    /// Nothing yet.
    Unknown,
}

impl MemberStanding {
    fn see(&mut self, time: Timestamp, life: Incarnation) {
        let seen = (time, life);
        match self.life {
            Life::Recorded(_) => {}
            Life::Seen(time, life) if (time, life) >= seen => {}
            Life::Seen(..) | Life::Unknown => self.life = Life::Seen(time, life),
        }
    }
}

impl Standing {
    /// The standing of these members: peer, zone, and the life its record names, if it does.
    pub fn new<'a>(members: impl IntoIterator<Item = (PeerId, &'a str, Option<Incarnation>)>) -> Self {
        let members = members
            .into_iter()
            .map(|(peer, zone, life)| {
                let life = life.map_or(Life::Unknown, Life::Recorded);
                (peer, MemberStanding { zone: zone.to_owned(), life })
            })
            .collect();
        Self { members }
    }

    /// The standing of the active members. Let it [`inherit`](Self::inherit) from the one before.
    #[must_use]
    pub fn of(members: &Members) -> Self {
        Self::new(members.active().map(|member| (member.peer, member.zone.as_str(), member.incarnation)))
    }

    /// Takes over which lives were seen, when the members have changed.
    pub fn inherit(&mut self, earlier: &Self) {
        for (peer, before) in &earlier.members {
            if let (Some(member), Life::Seen(time, life)) = (self.members.get_mut(peer), before.life) {
                member.see(time, life);
            }
        }
    }

    /// Learns from a verified receipt which life its holder lives. The latest by the holder's clock counts.
    pub fn observe(&mut self, receipt: &Receipt) {
        if let Some(member) = self.members.get_mut(&receipt.holder) {
            member.see(receipt.time, receipt.incarnation);
        }
    }

    /// Leaves out those that `counts` does not: of a space whose data may lie in some regions only, the members elsewhere.
    pub fn retain(&mut self, counts: impl Fn(&PeerId) -> bool) {
        self.members.retain(|peer, _member| counts(peer));
    }

    /// Whether `peer` is a current member.
    #[must_use]
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.members.contains_key(peer)
    }

    /// The current members, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = &PeerId> {
        self.members.keys()
    }

    /// The zone of a current member.
    #[must_use]
    pub fn zone(&self, peer: &PeerId) -> Option<&str> {
        self.members.get(peer).map(|member| member.zone.as_str())
    }

    /// What is known of the life of a current member; None for others.
    pub(crate) fn life(&self, peer: &PeerId) -> Option<Life> {
        self.members.get(peer).map(|member| member.life)
    }
}
