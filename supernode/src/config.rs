//! The settings of a supernode: those of its rooms in tables of their own, and where it listens.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use cosmic_cli::Flags;
use cosmic_common::address::{Address, ParseAddressError};
use cosmic_net::{Relay, Transport, WebSocket};
use cosmic_runtime::{
    admin,
    config::{self, Mistakes, Settings},
    telemetry,
};
use serde::{Deserialize, Serialize};

use crate::{care, cold, context::Limits, deletion, moves, objects, packs, quota, scrub, summary, turn};

/// The name of the settings file in the data directory.
const FILE: &str = "supernode.toml";
/// Where others reach a supernode unless told otherwise, over TCP and UDP.
const PEER_PORT: u16 = 7410;
/// Where its admin door is.
const ADMIN_PORT: u16 = 7412;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that names the network and its bootstrap nodes. Absent: the one given to `init`.
    pub network: Option<PathBuf>,
    /// Where others reach this supernode, over TCP and over QUIC; port 0 takes free ones.
    pub listen: SocketAddr,
    /// Whether objects and shards travel by the bulk plane, a UDP port of their own; else with everything else.
    pub bulk: bool,
    /// The port of the bulk plane, at the address of `listen`. Absent: the port after that of `listen`.
    pub bulk_port: Option<u16>,
    /// Addresses to tell others instead of those listened on (behind a router, in a container).
    pub advertise: Vec<Address>,
    /// Connections others may open to this supernode.
    pub connections_in_max: u32,
    /// What others may do before they are refused or kept out.
    pub guard: cosmic_net::GuardConfig,
    /// What is relayed for devices that nobody reaches from outside.
    pub relay: Relay,
    /// The way in through firewalls that let nothing out but the web.
    pub websocket: WebSocket,
    /// The admin door.
    pub admin: admin::Config,
    /// Logs.
    pub log: telemetry::Config,
    /// Objects of devices.
    pub objects: objects::Config,
    /// Care for what is kept.
    pub care: care::Config,
    /// What nobody claims any more, and what nobody has claimed yet.
    pub deletion: deletion::Config,
    /// Packs of entries.
    pub packs: packs::Config,
    /// What belongs elsewhere after a change of the ring.
    pub moves: moves::Config,
    /// What a space may keep here unless a quota was set for it.
    pub quota: quota::Config,
    /// Reading everything again.
    pub scrub: scrub::Config,
    /// Where the bytes of old shards lie.
    pub cold: cold::Config,
    /// What the network says of itself.
    pub summary: summary::Config,
    /// STUN and TURN for browsers.
    pub turn: turn::Config,
    /// Sessions of devices.
    pub sessions: Sessions,
    /// The disk.
    pub store: cosmic_store::Config,
}

/// The settings of sessions and spaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Sessions of devices open at once.
    pub sessions_max: usize,
    /// Spaces held in memory at once; the least recently used rest on the disk.
    pub spaces_max: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        let Limits { sessions_max, spaces_max, .. } = Limits::default();
        Self { sessions_max, spaces_max }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: None,
            listen: ([0, 0, 0, 0], PEER_PORT).into(),
            bulk: true,
            bulk_port: None,
            advertise: Vec::new(),
            // As many as there may be sessions.
            connections_in_max: 4096,
            guard: cosmic_net::GuardConfig::default(),
            relay: Relay { enabled: true, ..Relay::default() },
            websocket: WebSocket::default(),
            admin: admin::Config::on(ADMIN_PORT),
            log: telemetry::Config::default(),
            objects: objects::Config::default(),
            care: care::Config::default(),
            deletion: deletion::Config::default(),
            packs: packs::Config::default(),
            moves: moves::Config::default(),
            quota: quota::Config::default(),
            scrub: scrub::Config::default(),
            cold: cold::Config::default(),
            summary: summary::Config::default(),
            turn: turn::Config::default(),
            sessions: Sessions::default(),
            store: cosmic_store::Config::default(),
        }
    }
}

impl Settings for Config {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("guard", |mistakes| self.guard.check(mistakes));
        mistakes.within("websocket", |mistakes| self.websocket.check(mistakes));
        mistakes.within("admin", |mistakes| self.admin.check(mistakes));
        mistakes.within("log", |mistakes| self.log.check(mistakes));
        mistakes.within("objects", |mistakes| self.objects.check(mistakes));
        mistakes.within("care", |mistakes| self.care.check(mistakes));
        mistakes.within("deletion", |mistakes| self.deletion.check(mistakes));
        mistakes.within("packs", |mistakes| self.packs.check(mistakes));
        mistakes.within("moves", |mistakes| self.moves.check(mistakes));
        mistakes.within("scrub", |mistakes| self.scrub.check(mistakes));
        mistakes.within("cold", |mistakes| self.cold.check(mistakes));
        mistakes.within("summary", |mistakes| self.summary.check(mistakes));
        mistakes.within("turn", |mistakes| self.turn.check(mistakes));
        mistakes.within("store", |mistakes| self.store.check(mistakes));
        if self.sessions.sessions_max == 0 || self.sessions.spaces_max == 0 {
            mistakes.refuse(
                "sessions",
                "a supernode without sessions or spaces is of no use; give at least 1 of each",
            );
        }
    }
}

/// The settings of `flags` over those of the environment, over those of the file.
///
/// # Errors
/// All [`Mistakes`] at once.
pub fn load(flags: &Flags, data_dir: &Path) -> Result<Config, Mistakes> {
    config::load(&flags.sources(data_dir, FILE, "admin.listen"))
}

impl Config {
    /// The settings of the network that follow.
    ///
    /// # Errors
    /// If the address to listen on cannot be written as a multiaddress.
    pub fn net(&self) -> Result<cosmic_net::Config, ParseAddressError> {
        let (ip, port) = (self.listen.ip(), self.listen.port());
        let host = cosmic_net::host(ip);
        let listen = [format!("{host}/udp/{port}/quic-v1"), format!("{host}/tcp/{port}")];
        // Port 0 takes a free one for bulk as well.
        let next = if port == 0 { 0 } else { port.checked_add(1).unwrap_or_default() };
        Ok(cosmic_net::Config {
            listen: listen.iter().map(|address| address.parse()).collect::<Result<_, _>>()?,
            bulk: self.bulk,
            bulk_listen: self.bulk.then(|| (ip, self.bulk_port.unwrap_or(next)).into()),
            external: self.advertise.clone(),
            // Half the CPU of QUIC per byte (docs/protocol/net.md); devices that dial choose for themselves.
            prefer: Transport::Tcp,
            connections_in_max: self.connections_in_max,
            pending_in_max: 256,
            directory_server: true,
            guard: self.guard,
            circuits: false,
            relay: self.relay.clone(),
            websocket: self.websocket.clone(),
            ..cosmic_net::Config::default()
        })
    }

    /// The limits of the parts that serve devices.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let Sessions { sessions_max, spaces_max } = self.sessions;
        let (lease, removal_delay) = (self.deletion.lease(), self.deletion.delay());
        Limits { sessions_max, spaces_max, quota: (&self.quota).into(), lease, removal_delay }
    }
}

#[cfg(test)]
mod tests;
