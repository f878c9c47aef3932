//! Who is in the network and where things belong: signed configuration, member records, ring tables.
//!
//! Pure: no clock, no randomness, no sockets. Bytes and rules: `docs/protocol/ring.md`.

pub mod atlas;
pub mod class;
pub mod config;
mod draw;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod gateway;
pub mod label;
mod list;
pub mod listing;
pub mod member;
pub mod members;
pub mod network;
mod newcomers;
pub mod presence;
pub mod regions;
pub mod remembered;
pub mod table;
pub mod trust;
pub mod vouches;
mod web;

pub use atlas::{Atlas, RegionShape};
pub use class::{Class, ClassStep};
pub use config::{Admission, Door, NetworkConfig, NetworkKey};
pub use endpoint::{Edition, Endpoint};
pub use error::Error;
pub use exchange::{Exchange, Outcome, RingMessage, Step, Summary};
pub use gateway::{Candidate, GatewayReport};
pub use label::Label;
pub use listing::Listing;
pub use member::{Consent, Member, State};
pub use members::{Inserted, Members, Version};
pub use network::{NetworkAnswer, NetworkRequest};
pub use presence::Presence;
pub use regions::Regions;
pub use table::{Partition, Site, Table};
pub use trust::{Place, Trusted};
pub use vouches::Vouches;
pub use web::Taken;

#[cfg(test)]
mod tests;
