//! The settings of a bootstrap node: those of its rooms in tables of their own, and where it listens.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use cosmic_cli::Flags;
use cosmic_common::address::{Address, ParseAddressError};
use cosmic_runtime::{
    admin,
    config::{self, Mistakes, Settings},
    telemetry,
};
use serde::{Deserialize, Serialize};

/// The name of the settings file in the data directory.
const FILE: &str = "bootstrap.toml";
/// Where others reach a bootstrap node unless told otherwise, over TCP and UDP.
const PEER_PORT: u16 = 7400;
/// Where its admin door is.
const ADMIN_PORT: u16 = 7401;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that names the network, for a further bootstrap node. Absent: the network made in the data directory, or
    /// the file given before.
    pub network: Option<PathBuf>,
    /// Where others reach this bootstrap node, over TCP and over QUIC; port 0 takes free ones.
    pub listen: SocketAddr,
    /// Addresses to tell others instead of those listened on (behind a router, in a container).
    pub advertise: Vec<Address>,
    /// Connections others may open.
    pub connections_in_max: u32,
    /// What others may do before they are refused or kept out.
    pub guard: cosmic_net::GuardConfig,
    /// The way in through firewalls that let nothing out but the web.
    pub websocket: cosmic_net::WebSocket,
    /// The admin door.
    pub admin: admin::Config,
    /// Logs.
    pub log: telemetry::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: None,
            listen: ([0, 0, 0, 0], PEER_PORT).into(),
            advertise: Vec::new(),
            // Joiners stay for one exchange; supernodes stay connected, and there are up to 500 of them.
            connections_in_max: 1024,
            guard: cosmic_net::GuardConfig::default(),
            websocket: cosmic_net::WebSocket::default(),
            admin: admin::Config::on(ADMIN_PORT),
            log: telemetry::Config::default(),
        }
    }
}

impl Settings for Config {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("guard", |mistakes| self.guard.check(mistakes));
        mistakes.within("websocket", |mistakes| self.websocket.check(mistakes));
        mistakes.within("admin", |mistakes| self.admin.check(mistakes));
        mistakes.within("log", |mistakes| self.log.check(mistakes));
        if self.connections_in_max == 0 {
            mistakes
                .refuse("connections_in_max", "a bootstrap node is there to be reached; allow at least 1");
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
        Ok(cosmic_net::Config {
            listen: listen.iter().map(|address| address.parse()).collect::<Result<_, _>>()?,
            external: self.advertise.clone(),
            connections_in_max: self.connections_in_max,
            pending_in_max: 256,
            directory_server: true,
            guard: self.guard,
            websocket: self.websocket.clone(),
            // Nothing of that kind passes here.
            bulk: false,
            circuits: false,
            ..cosmic_net::Config::default()
        })
    }
}
