//! How two replicas of a space come to hold the same entries: the messages and the machine.
//!
//! [`session::Session`] is one side of one conversation. It has one door, [`session::Session::handle`]:
//! inputs are what a peer said, what the store did and which timer fired; outputs are what to say, to
//! load, to store and to wait for. It knows no clock, no disk and no socket, and it never looks into an
//! entry: whether an entry may be stored is decided where it is stored. A driver is a loop around it.
//!
//! Pure: no clock, no randomness, no disk. Bytes and states: `docs/protocol/sync.md`.

pub mod config;
pub mod door;
mod ledger;
pub mod message;
pub mod refusal;
pub mod session;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
