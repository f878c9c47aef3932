//! The light node: documents and files of local-first apps, sealed, offline first, synced.

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
pub mod uplinks;

#[cfg(test)]
mod testing;
