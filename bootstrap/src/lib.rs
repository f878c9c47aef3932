//! The bootstrap node: the first door of a network, which hands out its signed configuration and first peers.

pub mod admin;
pub mod change;
pub mod cli;
pub mod config;
pub mod home;
pub mod start;

#[cfg(test)]
mod tests;

/// The version of this build, with the commit it was made from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("COSMIC_COMMIT"), ")");
