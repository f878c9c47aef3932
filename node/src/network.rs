//! The node on the network: gateways, sessions of spaces with them and with other devices, chunks in and out.

mod choosing;
pub mod drive;
mod flight;
pub mod gateways;
pub mod meeting;
pub mod objects;
pub mod opening;
mod resting;
pub mod review;
pub mod serve;
pub mod sessions;
pub mod sharing;
#[cfg(test)]
mod tests;
pub mod turn;
pub mod upload;

use std::time::Duration;

/// How long a stream may take to open and a peer to answer the opening.
pub const OPEN_PATIENCE: Duration = Duration::from_secs(10);
