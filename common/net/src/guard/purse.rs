//! What a stream that a peer opened is paid from: an empty purse makes its reader wait, and so its writer.

use std::time::Duration;

use cosmic_common::{id::PeerId, protocol::Protocol};
use cosmic_runtime::clock::Monotonic;

use super::{Cost, Guard, Offence};

/// Bytes are paid for in pieces, so that small frames do not ask for the lock each time.
const PIECE_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Purse {
    guard: Guard,
    peer: PeerId,
    protocol: Protocol,
    unpaid_bytes: usize,
    until: Option<Monotonic>,
}

impl Purse {
    pub(super) fn new(guard: &Guard, peer: PeerId, protocol: Protocol, wait: Duration) -> Self {
        let mut purse = Self { guard: guard.clone(), peer, protocol, unpaid_bytes: 0, until: None };
        purse.wait_for(wait);
        purse
    }

    /// Waits until nothing is owed. Safe to cancel.
    pub(crate) async fn ready(&mut self) {
        if let Some(until) = self.until {
            self.guard.0.clock.sleep_until(until).await;
            self.until = None;
        }
    }

    /// So many bytes came.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.unpaid_bytes += bytes;
        if self.unpaid_bytes >= PIECE_BYTES {
            let wait = self.guard.charge(self.peer, self.protocol, Cost::Bytes(self.unpaid_bytes));
            self.unpaid_bytes = 0;
            self.wait_for(wait);
        }
    }

    /// A frame was announced that is longer than it may be.
    pub(crate) fn oversized(&self) {
        self.guard.offence(self.peer, Offence::OversizedFrame);
    }

    fn wait_for(&mut self, wait: Duration) {
        if !wait.is_zero() {
            self.guard.0.metrics.throttled();
            self.until = Some(self.guard.0.clock.monotonic().after(wait));
        }
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        if self.unpaid_bytes > 0 {
            self.guard.charge(self.peer, self.protocol, Cost::Bytes(self.unpaid_bytes));
        }
        let mut state = self.guard.lock();
        if let Some(streams) = state.streams.get_mut(&self.peer) {
            *streams -= 1;
            if *streams == 0 {
                state.streams.remove(&self.peer);
            }
        }
    }
}
