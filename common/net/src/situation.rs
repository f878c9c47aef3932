//! How a process is reached and reaches others, as one picture for people who ask why.

use cosmic_common::{address::Address, id::PeerId};
use serde::Serialize;

use crate::{
    directory,
    event::Direction,
    reach::{Compared, Nat, Reachability},
    version::Version,
};

/// The picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Situation {
    /// Whether others reach this process from outside.
    pub reachability: Reachability,
    /// What the router in front of it does.
    pub nat: Nat,
    /// Under which addresses others reach it from outside.
    pub external: Vec<Address>,
    /// The relays at which it is reachable.
    pub reservations: Vec<PeerId>,
    /// How many relays are known.
    pub relays_known: usize,
    /// Holes that were punched, and those that were not.
    pub punched: u64,
    /// Holes that could not be punched.
    pub not_punched: u64,
    /// Peers of the local network.
    pub nearby: usize,
    /// What the router said to the wish for a port.
    pub router: Router,
    /// How the clock stands to those of supernodes.
    pub clock: Option<Compared>,
    /// How the directory is.
    pub directory: directory::Health,
    /// The connections to peers, the one in use for each.
    pub paths: Vec<Path>,
}

/// What the router said to the wish for a port (UPnP).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Router {
    /// It was not asked, or has not answered.
    #[default]
    Silent,
    /// It gave one.
    Mapped,
    /// No router speaks UPnP here.
    Absent,
    /// Its own address is not one of the internet: another router stands before it.
    Nested,
}

/// The way to one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The peer.
    pub peer: PeerId,
    /// Where it was reached, or where it came from.
    pub address: Address,
    /// Who dialed.
    pub direction: Direction,
    /// Whether it leads through a relay.
    pub relayed: bool,
    /// The version of CosmicSync it says it runs.
    pub version: Option<Version>,
}
