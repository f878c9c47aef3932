//! What a network says of itself: small signed summaries that merge from members to regions to the world, and lies that do not
//! carry far.
//!
//! Pure: no clock, no randomness, no sockets. Bytes and rules: `docs/protocol/summary.md`.
//!
//! ```text
//! member ── MemberSummary ──▶ three aggregators of its region ── merge ──▶ RegionSummary, ZoneTable
//!                                                                              │ exchanged among regions
//!                                            World ◀── median over aggregators ┘
//! ```

pub mod aggregators;
mod code;
pub mod collection;
pub mod devices;
pub mod error;
pub mod figures;
pub mod latency;
pub mod merge;
pub mod message;
pub mod record;
pub mod reports;
pub mod robust;
pub mod world;

pub use aggregators::{aggregators, hour};
pub use collection::Collection;
pub use devices::{DeviceSketch, Pseudonym, day};
pub use error::Error;
pub use figures::{Figures, Measure, MemberState, States};
pub use latency::LatencySketch;
pub use merge::{Frame, Reporter, Share, merge};
pub use message::{SummaryAnswer, SummaryRequest, Why};
pub use record::{MemberSummary, RegionSummary, ZoneLine, ZoneTable};
pub use reports::{Reports, Rhythm};
pub use world::{World, WorldRegion};

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
