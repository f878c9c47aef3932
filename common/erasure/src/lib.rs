//! Objects in shards: Reed-Solomon coding, manifests, and finding out which shard is wrong.
//!
//! Pure and synchronous: bytes in, bytes out. Bytes and rules: `docs/protocol/erasure.md`.

pub mod codec;
pub mod coder;
pub mod error;
pub mod manifest;
mod matrix;
pub mod rebuild;

pub use codec::Codec;
pub use coder::{Coder, Encoded};
pub use error::Error;
pub use manifest::{Manifest, coded_anew, codings};
pub use rebuild::Rebuilt;

#[cfg(test)]
mod tests;
