//! Leases: one supernode repairs an object, the next takes over when it has not done so in time.
//!
//! Those who can repair are ordered by rendezvous. The first may begin at once, the second after one lease, and so on:
//! everybody finds his turn alone. Who begins asks the keepers of the object's placement record for a lease. The grant of
//! one of them suffices: two repairs at once cost work, never safety.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    id::{ObjectId, PeerId},
    time::Timestamp,
};
use minicbor::{Decode, Encode};

/// How long one repair may take before the next of those who can do it takes over: an object of 4 MiB at 64 KiB/s takes a
/// tenth of it.
pub const LEASE: Duration = Duration::from_mins(10);
/// Leases a granter remembers. Who comes beyond that is told to come later, which a repair queue survives.
pub const LEASES_MAX: usize = 16 * 1024;

/// Whose turn a repair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Mine, now.
    Mine,
    /// Mine from this moment on, if nobody has done it until then; before me it is the turn of `peer`.
    Later {
        /// Who may do it now.
        peer: PeerId,
        /// When I may.
        from: Timestamp,
    },
    /// I cannot do it: I have no part of the object.
    Never,
}

/// Whose turn a repair is that was wanted since `since`, when those who can do it stand in this `order`
/// ([`rendezvous`](crate::plan::rendezvous::rendezvous())).
#[must_use]
pub fn turn(order: &[PeerId], me: PeerId, since: Timestamp, now: Timestamp) -> Turn {
    let Some(rank) = order.iter().position(|peer| *peer == me) else { return Turn::Never };
    let wait = LEASE.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
    let from = since.after(wait);
    if from <= now {
        return Turn::Mine;
    }
    let passed = now.since(since).as_millis() / LEASE.as_millis();
    let current = usize::try_from(passed).ok().and_then(|passed| order.get(passed)).copied();
    Turn::Later { peer: current.unwrap_or(me), from }
}

/// A lease that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Lease {
    /// Who may repair.
    #[n(0)]
    pub peer: PeerId,
    /// Until when, by the clock of the one who gave it: who gets it counts `LEASE` by his own.
    #[n(1)]
    pub until: Timestamp,
}

/// The leases a keeper of placement records gave. Not kept over a restart: forgetting one costs work at most.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    given: BTreeMap<ObjectId, Lease>,
}

impl Leases {
    /// The lease that holds: a new one for `peer`, its own again, or that of another. None if there are too many.
    pub fn ask(&mut self, object: ObjectId, peer: PeerId, now: Timestamp) -> Option<Lease> {
        let fresh = Lease { peer, until: now.after(LEASE) };
        match self.given.get(&object).copied() {
            Some(lease) if lease.peer != peer && now < lease.until => return Some(lease),
            Some(_) => {}
            None if self.given.len() < LEASES_MAX => {}
            None => {
                self.given.retain(|_object, lease| now < lease.until);
                if self.given.len() >= LEASES_MAX {
                    return None;
                }
            }
        }
        self.given.insert(object, fresh);
        Some(fresh)
    }

    /// `peer` is done with `object`.
    pub fn end(&mut self, object: &ObjectId, peer: &PeerId) {
        if self.given.get(object).is_some_and(|lease| lease.peer == *peer) {
            self.given.remove(object);
        }
    }
}
