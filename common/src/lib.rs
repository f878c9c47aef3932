//! The vocabulary of CosmicSync: ids, hashes, times, limits and the shape every record shares.
//!
//! Nouns only. Rules live in the crates next door (`common/log`, `common/space`, …).

pub mod address;
pub mod hash;
pub mod heads;
pub mod id;
pub mod limit;
pub mod protocol;
pub mod record;
pub mod time;

#[cfg(test)]
mod tests;
