//! Sealing: key epochs, copies of their secrets, bodies of entries and chunks of files.
//!
//! The one room that can read what the others carry; only the node may depend on it. Pure: seeds come
//! from outside. Bytes, key schedule and reasons: `docs/protocol/seal.md`.

pub mod body;
pub mod chunk;
pub mod epoch;
pub mod error;
pub mod kem;
pub mod padding;
pub mod secret;

#[cfg(test)]
mod tests;
