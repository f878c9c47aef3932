//! Settings of the node: one struct, read once, from flags, environment, file and defaults.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use cosmic_common::address::Address;
use cosmic_net::WebSocket;
use cosmic_runtime::{
    config::{self, Mistakes, Settings},
    telemetry,
};
use serde::{Deserialize, Serialize};

/// The binary, as it calls itself.
pub const PROGRAM: &str = "cosmic-node";
/// The name of the settings file in the data directory.
const FILE: &str = "config.toml";

/// All settings of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The network to join, a `network.json`; without one the node syncs only with devices that tickets name.
    pub network: Option<PathBuf>,
    /// Address and port for peers, UDP and TCP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether files travel by the bulk plane of a supernode, where it has one; else with everything else.
    pub bulk: bool,
    /// Whether to be reachable through relays, and to punch holes from there, where nobody reaches this device directly.
    pub relays: bool,
    /// Whether to find devices of the same local network, and be found by them (mDNS).
    pub mdns: bool,
    /// Whether to ask the router for a port (UPnP).
    pub upnp: bool,
    /// Whom to believe in when a supernode is reached through a WebSocket, besides the authorities of the web.
    pub websocket: WebSocket,
    /// Address and port of the API; port 0 takes a free one.
    pub http: SocketAddr,
    /// Host names, besides IP addresses and `localhost`, under which the API may be reached.
    pub host_names: Vec<String>,
    /// Start offline.
    pub offline: bool,
    /// What is logged and how.
    pub log: telemetry::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: None,
            listen: ([0, 0, 0, 0], 7420).into(),
            bulk: true,
            relays: true,
            mdns: true,
            upnp: true,
            websocket: WebSocket::default(),
            http: ([127, 0, 0, 1], 7421).into(),
            host_names: Vec::new(),
            offline: false,
            log: telemetry::Config::default(),
        }
    }
}

impl Settings for Config {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("log", |mistakes| self.log.check(mistakes));
        mistakes.within("websocket", |mistakes| self.websocket.check(mistakes));
    }
}

impl Config {
    /// The multiaddresses to listen on.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        let (ip, port) = (self.listen.ip(), self.listen.port());
        let host = cosmic_net::host(ip);
        [format!("{host}/udp/{port}/quic-v1"), format!("{host}/tcp/{port}")]
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    }
}

/// Flags of `run`.
#[derive(Debug, Default, Args)]
pub struct Flags {
    #[command(flatten)]
    pub(crate) common: cosmic_cli::Flags,
    /// Start offline
    #[arg(long)]
    offline: bool,
}

/// The settings that follow from `flags`, the environment, and the file in `directory` (or the one named).
///
/// # Errors
/// [`Mistakes`]: all of them at once.
pub fn load(flags: &Flags, directory: &Path) -> Result<Config, Mistakes> {
    let sources = flags.common.sources(directory, FILE, "http");
    config::load(&sources.flag("--offline", "offline", flags.offline.then(|| "true".to_owned())))
}

#[cfg(test)]
mod tests;
