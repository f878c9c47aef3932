//! Joining a network: its signed configuration, its members, and the ring table that follows from them.
//!
//! ```text
//! Handle ──announce, apply_config──▶ Ledger ◀──what peers tell── driver (patrols, pushes) and served streams
//!    ▲                                │  │
//!    └──────── RingView (watch) ──────┘  └──▶ keeper: one state file, so that bootstrap nodes are needed once
//! ```
//!
//! What is accepted is decided in `ring`; here are the sockets, the timers and the file.

mod directory_file;
mod driver;
mod error;
mod handle;
mod keeper;
mod ledger;
mod link;
mod listings;
mod metrics;
mod network_file;
mod start;
mod state;
mod view;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use handle::Handle;
pub use listings::Listings;
pub use metrics::Metrics;
pub use network_file::{BootstrapPeer, NetworkFile};
pub use start::{Config, PROTOCOLS, start};
pub use view::{RingView, presentable};
