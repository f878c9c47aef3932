//! What an operator may set about the network.

use std::{net::SocketAddr, time::Duration};

use cosmic_common::address::Address;
use serde::{Deserialize, Serialize};

use crate::{address::Transport, guard, relay::Relay, websocket::WebSocket};

/// The settings of the network; every default is safe for a light node at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one. Empty: only dial.
    pub listen: Vec<Address>,
    /// Addresses to tell others, when they differ from those listened on (behind a router, in a container).
    pub external: Vec<Address>,
    /// The transport tried first and kept when two connections to one peer stand.
    pub prefer: Transport,
    /// How long the other transport waits for the preferred one.
    pub head_start_ms: u64,
    /// Whether objects and shards travel by the bulk plane, where the other side has one.
    pub bulk: bool,
    /// Where the bulk plane listens, over UDP; port 0 takes a free one. Unset: it only dials.
    pub bulk_listen: Option<SocketAddr>,
    /// A connection without streams is closed after this time.
    pub idle_timeout_secs: u64,
    /// Connections others may open to this process.
    pub connections_in_max: u32,
    /// Connections this process may open.
    pub connections_out_max: u32,
    /// Handshakes of others that may be under way.
    pub pending_in_max: u32,
    /// Handshakes of ours that may be under way.
    pub pending_out_max: u32,
    /// Connections to one peer; one is kept, a second stands while it replaces the first.
    pub connections_per_peer_max: u32,
    /// Whether to answer queries of the directory (bootstrap nodes and supernodes) or only to ask.
    pub directory_server: bool,
    /// Directory records kept in memory.
    pub directory_records_max: usize,
    /// What others may do.
    pub guard: guard::Config,
    /// Whether to be reachable through relays, and to punch holes from there.
    pub circuits: bool,
    /// Whether to find peers of the same local network, and be found by them (mDNS).
    pub mdns: bool,
    /// Whether to ask the router for a port (UPnP).
    pub upnp: bool,
    /// What this process relays for others.
    pub relay: Relay,
    /// Certificates for WebSockets; without any, addresses that end in `/ws` are listened on, and those of the web are dialed.
    pub websocket: WebSocket,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external: Vec::new(),
            prefer: Transport::Quic,
            // RFC 8305 (happy eyeballs) recommends 250 ms between attempts.
            head_start_ms: 250,
            bulk: true,
            bulk_listen: None,
            // libp2p's 10 s would end a connection between two syncs of a quiet space.
            idle_timeout_secs: 120,
            // Home routers fall over at some hundreds of flows (kubo #3429); supernodes set more.
            connections_in_max: 128,
            connections_out_max: 64,
            pending_in_max: 32,
            pending_out_max: 32,
            connections_per_peer_max: 4,
            directory_server: false,
            directory_records_max: 1024,
            guard: guard::Config::default(),
            circuits: true,
            mdns: false,
            upnp: false,
            relay: Relay::default(),
            websocket: WebSocket::default(),
        }
    }
}

impl Config {
    /// A process that listens on free ports of loopback over both transports and for bulk, for tests and demos.
    #[must_use]
    #[expect(clippy::expect_used, reason = "two constant addresses, parsed by a test")]
    pub fn loopback() -> Self {
        let address = |text: &str| text.parse().expect("a constant address parses");
        Self {
            listen: vec![address("/ip4/127.0.0.1/udp/0/quic-v1"), address("/ip4/127.0.0.1/tcp/0")],
            bulk_listen: Some(([127, 0, 0, 1], 0).into()),
            ..Self::default()
        }
    }

    pub(crate) const fn head_start(&self) -> Duration {
        Duration::from_millis(self.head_start_ms)
    }

    /// Connections of others there may be, with those being set up.
    pub(crate) fn connections_in_all(&self) -> usize {
        usize::try_from(self.connections_in_max.saturating_add(self.pending_in_max)).unwrap_or(usize::MAX)
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_secs)
    }
}
