//! Whether somebody is there to take what is written, and whether they are busy: what adaptive batching asks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use cosmic_common::id::SpaceId;

/// Pending changes that are sealed together even if nobody is there to take them.
const BULK_BYTES: usize = 64 * 1024;

/// What is known of the sessions of each space.
#[derive(Debug, Default)]
pub struct Uplinks(Mutex<BTreeMap<SpaceId, Uplink>>);

#[derive(Debug, Clone, Copy, Default)]
struct Uplink {
    sessions: usize,
    in_flight: usize,
}

impl Uplinks {
    /// Whether pending changes of `space` should be sealed now: somebody waits for them and is idle, or they are many.
    #[must_use]
    pub fn should_seal(&self, space: &SpaceId, pending_bytes: usize) -> bool {
        let uplinks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = uplinks.get(space).is_some_and(|uplink| uplink.sessions > 0 && uplink.in_flight == 0);
        pending_bytes >= BULK_BYTES || (idle && pending_bytes > 0)
    }

    /// A session that takes entries of `space` has begun (`true`) or ended.
    pub fn session(&self, space: &SpaceId, begun: bool) {
        self.change(space, |uplink| {
            uplink.sessions = if begun { uplink.sessions + 1 } else { uplink.sessions.saturating_sub(1) };
            if uplink.sessions == 0 {
                uplink.in_flight = 0;
            }
        });
    }

    /// `entries` were sent to the gateway and not signed for yet.
    pub fn in_flight(&self, space: &SpaceId, entries: usize) {
        self.change(space, |uplink| uplink.in_flight = entries);
    }

    fn change(&self, space: &SpaceId, change: impl FnOnce(&mut Uplink)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(*space).or_default());
    }
}
