//! A space: who belongs to it, what they may do, and how a peer proves it.
//!
//! Membership is a set of signed, clear entries that every replica can check. Three questions are
//! answered here, and they are kept apart on purpose:
//!
//! - *May this entry be stored?* ([`admission`]) depends only on what was ever granted, so that
//!   replicas store the same entries in whatever order they arrive.
//! - *Does it count?* ([`membership`]) also knows revocations, their cuts and seniority; it is a
//!   function of the set of membership entries and of nothing else.
//! - *May this peer speak with me now?* ([`session`]) also knows the clock.
//!
//! Pure: no clock, no randomness, no disk. Bytes: `docs/protocol/space.md`.

pub mod admission;
pub mod card;
pub mod covers;
pub mod delegation;
pub mod genesis;
pub mod membership;
pub mod record;
pub mod refusal;
pub mod rights;
pub mod root;
pub mod session;
pub mod ticket;

#[cfg(test)]
mod tests;
