//! Entries and hash-chained logs: their bytes, appending, checking, forks.
//!
//! Pure: no clock, no randomness, no disk. Bytes: `docs/protocol/log.md`.

pub mod append;
pub mod entry;
pub mod fork;
pub mod header;
pub mod kind;
pub mod open;
pub mod refusal;
pub mod state;
mod strict;

#[cfg(test)]
mod tests;
