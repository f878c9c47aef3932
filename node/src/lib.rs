//! The light node: documents and files of local-first apps, sealed, offline first, synced.

pub mod api;
pub mod cli;
pub mod config;
pub mod content;
pub mod core;
pub mod database;
pub mod device;
pub mod documents;
pub mod error;
pub mod event;
pub mod files;
pub mod metrics;
pub mod network;
pub mod node;
pub mod safety;
pub mod spaces;
pub mod start;
#[cfg(test)]
mod testing;
pub mod uplinks;

/// The version with the commit it was built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("COSMIC_COMMIT"), ")");
