//! Plans: who should keep what, who has not signed for it yet, and whom a reader asks in which order.

pub mod place;
pub mod search;

#[cfg(test)]
mod tests;
