//! `/cosmic/replica/1`: supernodes append, read and follow the entries of spaces at each other.

pub mod arrivals;
pub mod client;
pub mod reconcile;
pub mod rounds;
pub mod server;
