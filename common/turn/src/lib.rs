//! STUN and TURN for browsers: a relay as a machine without sockets, and the credentials it takes.
//!
//! Pure: no clock, no randomness, no sockets. RFC 8489 and RFC 8656 over UDP and TCP; what is left out, and the credentials:
//! `docs/protocol/turn.md`.
//!
//! ```text
//! client ── datagram ──▶ Relay::handle ──▶ answer to the client
//!                          │      ▲
//!                     to peers  from peers, at the port of an allocation
//! ```

pub mod address;
mod allocation;
pub mod attribute;
mod bucket;
pub mod credential;
mod door;
pub mod frame;
pub mod integrity;
pub mod message;
mod nonce;
pub mod peers;
pub mod relay;
mod strangers;

pub use credential::{Credential, Issuer};
pub use peers::{Subnet, is_public};
pub use relay::{Client, Counts, Input, Limits, Output, Relay, Rules, Transport};

#[cfg(test)]
mod tests;
