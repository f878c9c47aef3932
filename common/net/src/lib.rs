//! The network: one libp2p swarm, a bulk plane beside it, framed streams over both, and a network in memory for tests.
//!
//! [`bind`] gives a [`Handle`] and an [`Actor`] that owns the swarm alone and that the house runs as a task;
//! streams bypass the actor once they are open. The room carries opaque bytes: what they mean is the houses' matter.

mod actor;
mod address;
mod behaviour;
mod book;
mod bulk;
mod clock;
mod command;
mod config;
mod directory;
mod error;
mod event;
mod guard;
mod handle;
mod incoming;
mod memory;
mod metrics;
mod peers;
mod queries;
mod reach;
mod relay;
mod relays;
mod situation;
mod stream;
mod streams;
mod transports;
mod version;
mod websocket;

#[cfg(test)]
mod tests;

pub use actor::{Actor, Options, bind};
pub use address::{Transport, host};
pub use config::Config;
pub use directory::{
    Health as DirectoryHealth, KEY_MAX_BYTES, Kept, RefuseAll, Search, Snapshot, VALUE_MAX_BYTES, Validator,
};
pub use error::{Error, SharedCause, within};
pub use event::{Direction, Event, Events};
pub use guard::{Ban, Config as GuardConfig, Cost, Limits, Offence, Standing, Vouch, Watch};
pub use handle::Handle;
pub use incoming::Incoming;
pub use memory::MemoryNetwork;
pub use metrics::Metrics;
pub use reach::{Compared, Nat, Reachability};
pub use relay::Relay;
pub use relays::RelayPeer;
pub use situation::{Path, Router, Situation};
pub use stream::{FRAME_MAX_BYTES, PATIENCE, Receiver, Sender, Stream};
pub use version::{ParseVersionError, Version};
pub use websocket::WebSocket;
