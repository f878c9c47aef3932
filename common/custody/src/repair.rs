//! Repair: which objects are in danger, who mends them in which order, at what speed, and how.
//!
//! ```text
//! what holders say ─▶ health ─▶ queue ─▶ lease ─▶ plan ─▶ (the house reads k, rebuilds, places) ─▶ health
//! ```
//! Every member that has a part in an object may examine it; the order of rendezvous and a lease keep two from doing the
//! same work. Twice the same work is wasted, never harmful: shards of one object are equal wherever they are made.

pub mod budget;
pub mod health;
pub mod lease;
pub mod plan;
pub mod queue;

#[cfg(test)]
mod tests;
