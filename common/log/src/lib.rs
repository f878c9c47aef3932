//! Logs: signed, hash-chained entries of one writer, their heads, and the proof when they fork.
//!
//! Pure: no clock, no randomness, no disk. Bytes: `docs/protocol/log.md`.

pub mod chain;
pub mod entry;
pub mod fork;
pub mod kind;
pub mod open;

#[cfg(test)]
mod tests;
