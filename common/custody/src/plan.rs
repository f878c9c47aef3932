//! Plans: who should keep what, who has not signed for it yet, and whom a reader asks in which order.

pub mod fill;
pub mod place;
pub mod rendezvous;
pub mod search;
pub mod target;

#[cfg(test)]
mod tests;
