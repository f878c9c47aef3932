//! The network: one libp2p swarm, framed streams over QUIC and TCP, and a network in memory for tests.
//!
//! [`spawn`] starts an actor that owns the swarm alone and gives a [`Handle`]; streams bypass the actor
//! once they are open. The room carries opaque bytes: what they mean is the houses' matter.

mod address;
mod command;
mod config;
mod directory;
mod error;
mod event;
mod handle;
mod incoming;
mod memory;
mod metrics;
mod stream;

#[cfg(test)]
mod tests;

pub use address::Transport;
pub use config::Config;
pub use directory::{KEY_MAX_BYTES, RefuseAll, VALUE_MAX_BYTES, Validator};
pub use error::{Error, SharedCause, within};
pub use event::{Direction, Event, Events};
pub use handle::Handle;
pub use incoming::Incoming;
pub use memory::MemoryNetwork;
pub use metrics::Metrics;
pub use stream::{FRAME_MAX_BYTES, PATIENCE, Receiver, Sender, Stream};
