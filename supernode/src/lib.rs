//! The supernode: takes entries and objects from devices, keeps and passes on what it cannot read.

pub mod accounts;
pub mod admin;
pub mod audit;
pub mod care;
pub mod cli;
pub mod cold;
pub mod config;
pub mod context;
pub mod covers;
pub mod deletion;
pub mod duty;
mod easing;
pub mod entries;
pub mod gateway;
pub mod holders;
pub mod home;
pub mod key_file;
pub mod meeting;
pub mod metrics;
pub mod moves;
pub mod objects;
mod outbox;
pub mod packs;
pub mod quota;
pub mod replica;
pub mod residences;
pub mod retire;
pub mod scrub;
pub mod session;
pub mod shards;
pub mod source;
pub mod spaces;
pub mod start;
mod streams;
pub mod summary;
pub mod tables;
pub mod turn;

/// The version of this build, with the commit it was made from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("COSMIC_COMMIT"), ")");

#[cfg(test)]
mod tests;
