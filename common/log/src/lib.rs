//! Logs: signed, hash-chained entries of one writer, their heads, and the proof when they fork.
//!
//! Pure: no clock, no randomness, no disk. Bytes: `docs/protocol/log.md`.

pub mod chain;
pub mod entry;
pub mod fork;
mod frame;
pub mod kind;
pub mod open;
mod strict;

#[cfg(test)]
mod tests;
