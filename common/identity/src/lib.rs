//! Who somebody is: Ed25519 keys, domain-separated signatures, signed records, `did:key`.
//!
//! Pure: no clock, no randomness; seeds come from outside. Bytes: `docs/protocol/identity.md`.

pub mod did;
pub mod key;
pub mod signature;
pub mod signed;

#[cfg(test)]
mod tests;
