//! Objects in shards: Reed-Solomon coding, manifests, and finding out which shard is wrong.
//!
//! Pure and synchronous: bytes in, bytes out. Bytes and rules: `docs/protocol/erasure.md`.

pub mod codec;
pub mod coder;
pub mod error;
pub mod manifest;
mod matrix;

pub use codec::Codec;
pub use coder::{Coder, Encoded, Rebuilt};
pub use error::Error;
pub use manifest::Manifest;

#[cfg(test)]
mod tests;
