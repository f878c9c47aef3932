//! Hand-off: what becomes of a shard that is kept for a holder who was away when it was written.
//!
//! ```text
//! Waiting ─ owner is there ─▶ give it ─ owner signed ─▶ drop
//!    └─ 3 h over ─▶ repair's: taken over, made elsewhere, or given to the owner after all
//! ```

use std::time::Duration;

use cosmic_common::{
    id::{ObjectId, PeerId},
    time::Timestamp,
};

use crate::{
    liveness::{Liveness, Presence},
    standing::Standing,
};

/// How long the keeper waits for the owner alone; afterwards repair decides where the shard belongs.
pub const HAND_OFF: Duration = Duration::from_hours(3);

/// A shard kept for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandOff {
    /// The object.
    pub object: ObjectId,
    /// Which shard.
    pub index: u8,
    /// Whose it is.
    pub owner: PeerId,
    /// Since when it is kept.
    pub since: Timestamp,
}

/// What the keeper does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the owner is not there yet.
    Wait {
        /// When repair takes it.
        until: Timestamp,
    },
    /// Give it to its owner.
    Give,
    /// The owner signed for it: drop it.
    Drop,
    /// The owner did not come: repair examines the object, and the keeper may take the shard over
    /// ([`crate::repair::plan::RepairPlan::adopt`]).
    Repair,
}

impl HandOff {
    /// What to do now. `signed` says that somebody who should have it, the owner or another, signed for this shard as its own.
    #[must_use]
    pub fn verdict(&self, signed: bool, liveness: &Liveness, standing: &Standing, now: Timestamp) -> Verdict {
        let until = self.since.after(HAND_OFF);
        if signed {
            Verdict::Drop
        } else if !standing.contains(&self.owner) {
            Verdict::Repair
        } else if liveness.presence(&self.owner, now) == Presence::Present && was_heard_since(self, liveness)
        {
            Verdict::Give
        } else if now < until {
            Verdict::Wait { until }
        } else {
            Verdict::Repair
        }
    }
}

/// Whether the owner was heard after the shard was handed off: before that, being present only means that it has not been
/// silent for an hour yet.
fn was_heard_since(hand_off: &HandOff, liveness: &Liveness) -> bool {
    liveness.last_heard(&hand_off.owner).is_some_and(|heard| heard > hand_off.since)
}
