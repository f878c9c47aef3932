//! Relaying for peers that nobody reaches from outside (circuit relay v2): what a relay grants, and to whom.
//!
//! libp2p's defaults carry 128 KiB or two minutes; people who sync through a relay noticed (`docs/protocol/net.md`).

use std::time::Duration;

use cosmic_runtime::clock::Clock;
use libp2p::{Multiaddr, PeerId, relay};
use serde::{Deserialize, Serialize};

use crate::address;

mod share;

pub(crate) use share::Share;

/// The part of a relay that one address may take, as a divisor: 1 % of it.
const SHARE_OF_ONE: usize = 100;
/// What one address may take of the smallest relay: a household.
const SHARE_MIN: usize = 8;

/// What a relay grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Whether to relay at all; supernodes do.
    pub enabled: bool,
    /// Peers that may be reachable here at once; one address may hold 1 % of them, or 8.
    pub reservations_max: usize,
    /// How long a reservation lasts unless it is renewed.
    pub reservation_secs: u32,
    /// Circuits at once; one address may hold 1 % of them, or 8.
    pub circuits_max: usize,
    /// Circuits one peer may hold at once.
    pub circuits_per_peer_max: usize,
    /// How long a circuit may stand.
    pub circuit_secs: u32,
    /// How much a circuit may carry each way.
    pub circuit_bytes_max: u64,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            enabled: false,
            reservations_max: 10_000,
            reservation_secs: 3600,
            circuits_max: 4096,
            circuits_per_peer_max: 16,
            circuit_secs: 6 * 3600,
            circuit_bytes_max: 4 * 1024 * 1024 * 1024,
        }
    }
}

impl Relay {
    /// The relay as libp2p runs it.
    pub(crate) fn behaviour(&self, local: PeerId) -> relay::Behaviour {
        let reservation = Duration::from_secs(self.reservation_secs.into());
        let circuit = Duration::from_secs(self.circuit_secs.into());
        let mut config = relay::Config {
            max_reservations: self.reservations_max,
            max_reservations_per_peer: 2,
            reservation_duration: reservation,
            reservation_rate_limiters: Vec::new(),
            max_circuits: self.circuits_max,
            max_circuits_per_peer: self.circuits_per_peer_max,
            max_circuit_duration: circuit,
            max_circuit_bytes: self.circuit_bytes_max,
            circuit_src_rate_limiters: Vec::new(),
        };
        let clock = Clock::system();
        let reserving = clock.clone();
        let mut reservations = Share::new(part(self.reservations_max), reservation);
        config.reservation_rate_limiters.push(Box::new(move |peer, from: &Multiaddr, _now| {
            address::ip(from).is_none_or(|ip| reservations.grants(ip, peer, reserving.monotonic()))
        }));
        let mut sources = Share::new(part(self.circuits_max), CIRCUIT_COUNTS);
        config.circuit_src_rate_limiters.push(Box::new(move |peer, from: &Multiaddr, _now| {
            address::ip(from).is_none_or(|ip| sources.grants(ip, peer, clock.monotonic()))
        }));
        let mut relay = relay::Behaviour::new(local, config);
        // A supernode is reachable; it does not wait to be told so.
        relay.set_status(Some(relay::Status::Enable));
        relay
    }
}

/// How long a peer that opened a circuit counts against the part of its address.
const CIRCUIT_COUNTS: Duration = Duration::from_secs(10 * 60);

fn part(whole: usize) -> usize {
    (whole / SHARE_OF_ONE).max(SHARE_MIN)
}
