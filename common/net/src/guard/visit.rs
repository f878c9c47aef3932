//! A place that a connection takes, given back when it is dropped.

use super::{Guard, origin::Origin, places::Phase};

#[derive(Debug)]
pub(crate) struct Visit {
    guard: Guard,
    origin: Origin,
    phase: Phase,
}

impl Visit {
    pub(super) fn new(guard: &Guard, origin: Origin, phase: Phase) -> Self {
        Self { guard: guard.clone(), origin, phase }
    }

    /// The handshake has succeeded.
    pub(crate) fn establish(&mut self) {
        if self.phase == Phase::Pending {
            self.guard.lock().places.establish(self.origin);
            self.phase = Phase::Established;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let now = self.guard.now();
        self.guard.lock().places.leave(self.origin, self.phase, now);
    }
}
