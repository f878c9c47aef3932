//! Audits: a holder proves that it has what it signed for, or loses its shards to others and its repute.
//!
//! ```text
//! each 10 min, for each holder:  challenge (3 random groups of a shard) ─▶ proof ─▶ proved | failed
//!   failed ─▶ evidence, signed, to all ─▶ docket: two witnesses, or twice the same ─▶ lost ─▶ repair elsewhere
//! ```

pub mod docket;
pub mod evidence;
pub mod proof;
pub mod repute;
pub mod rota;

#[cfg(test)]
mod tests;
