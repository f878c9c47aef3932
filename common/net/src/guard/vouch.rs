//! A proof of a peer that stands: while it does the peer counts as a member, and for an hour after.

use cosmic_common::id::PeerId;

use super::Guard;

/// Kept by whoever accepted the proof, as long as what it opened goes on.
#[derive(Debug)]
pub struct Vouch {
    guard: Guard,
    peer: PeerId,
}

impl Vouch {
    pub(super) fn new(guard: &Guard, peer: PeerId) -> Self {
        Self { guard: guard.clone(), peer }
    }
}

impl Drop for Vouch {
    fn drop(&mut self) {
        let now = self.guard.now();
        self.guard.lock().standings.withdraw(&self.peer, now);
    }
}
