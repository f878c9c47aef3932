//! What the network tells: connections that came and went.

use cosmic_common::{address::Address, id::PeerId};
use tokio::sync::broadcast;

/// Events a slow listener may lag behind before it is told that it missed some.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Who dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The other peer.
    Inbound,
    /// This one.
    Outbound,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first connection to a peer stands.
    Connected {
        /// The authenticated peer.
        peer: PeerId,
        /// Where it was reached, or where it came from.
        address: Address,
        /// Who dialed.
        direction: Direction,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// The peer.
        peer: PeerId,
        /// Where it was reached, or where it came from.
        address: Address,
        /// Who had dialed.
        direction: Direction,
    },
    /// A peer told where it can be reached; the network dials it there from now on.
    AddressesTold {
        /// The peer.
        peer: PeerId,
        /// Its addresses.
        addresses: Vec<Address>,
    },
    /// The listener was too slow and missed this many events: ask [`Handle::connected`](crate::Handle::connected).
    Missed(u64),
}

/// A subscription to events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    pub(crate) const fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self(receiver)
    }

    /// The next event, or `None` when the network has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Event::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
