//! The settings of the relay for browsers.

use std::net::{IpAddr, SocketAddr};

use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

/// The first port nobody needs a privilege for; the ones below belong to services.
const PORT_MIN: u16 = 1024;
/// The shortest a credential counts: a call has to begin with it.
const CREDENTIAL_MIN_SECS: u64 = 60;
/// The longest: a device that was removed from a space keeps what it has.
const CREDENTIAL_MAX_SECS: u64 = 7 * 24 * 60 * 60;

/// Where browsers are served, and how much they may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen for STUN and TURN, over UDP and TCP; unset: nowhere.
    pub listen: Option<SocketAddr>,
    /// The address of this relay as browsers and their peers see it; unset: that of `listen`.
    pub external: Option<IpAddr>,
    /// The first of the UDP ports that are given to browsers.
    pub first_port: u16,
    /// The last one.
    pub last_port: u16,
    /// Networks that are relayed into besides the public internet, `10.0.0.0/8`.
    pub peers: Vec<String>,
    /// How long a credential counts.
    pub credential_secs: u64,
    /// Ports given to browsers at once.
    pub allocations_max: usize,
    /// The same to the browsers of one device.
    pub allocations_per_device_max: usize,
    /// Bytes relayed in a second, both ways.
    pub bytes_per_sec_max: u64,
    /// The same of the browsers of one device.
    pub bytes_per_device_per_sec_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            external: None,
            // The dynamic ports (RFC 6335).
            first_port: 49152,
            last_port: 65535,
            peers: Vec::new(),
            // 4 h: longer than most calls, and not for long once a device is no member any more.
            credential_secs: 4 * 60 * 60,
            allocations_max: 1024,
            // Two calls, each with a few components over UDP and TCP.
            allocations_per_device_max: 16,
            // A hundred megabits.
            bytes_per_sec_max: 12_500_000,
            // Some calls in high resolution: 20 Mbit/s.
            bytes_per_device_per_sec_max: 2_500_000,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.listen.is_some() && cfg!(not(feature = "turn")) {
            mistakes.refuse("listen", "cannot be set: this build has no TURN (the cargo feature turn)");
        }
        if self.listen.is_some() && self.external().is_none() {
            mistakes.refuse(
                "external",
                "must be set, since listen is every address: browsers are told where the relay is",
            );
        }
        if let (Some(listen), Some(external)) = (self.listen, self.external)
            && (listen.is_ipv4() != external.is_ipv4() || external.is_unspecified())
        {
            mistakes.refuse("external", "must be an address of the same kind as listen");
        }
        if self.first_port < PORT_MIN || self.last_port < self.first_port {
            mistakes
                .refuse("first_port", format!("must be at least {PORT_MIN}, and last_port not less than it"));
        }
        #[cfg(feature = "turn")]
        for subnet in &self.peers {
            if let Err(error) = subnet.parse::<cosmic_turn::Subnet>() {
                mistakes.refuse("peers", error.to_string());
            }
        }
        if !(CREDENTIAL_MIN_SECS..=CREDENTIAL_MAX_SECS).contains(&self.credential_secs) {
            mistakes.refuse(
                "credential_secs",
                format!("must lie between {CREDENTIAL_MIN_SECS} and {CREDENTIAL_MAX_SECS}"),
            );
        }
        let limits = [self.allocations_max, self.allocations_per_device_max];
        let rates = [self.bytes_per_sec_max, self.bytes_per_device_per_sec_max];
        if limits.contains(&0) || rates.contains(&0) {
            mistakes
                .refuse("allocations_max", "and the other limits must be at least 1; unset listen for none");
        }
    }

    /// The address others see, if it is known.
    pub(super) fn external(&self) -> Option<IpAddr> {
        let listen = self.listen.map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified());
        self.external.or(listen)
    }

    /// How long a credential counts.
    #[cfg(feature = "turn")]
    pub(super) const fn credential(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.credential_secs)
    }

    /// The rules of the machine.
    #[cfg(feature = "turn")]
    pub(super) fn rules(&self, external: IpAddr) -> cosmic_turn::Rules {
        cosmic_turn::Rules {
            realm: super::server::REALM.to_owned(),
            external,
            ports: self.first_port..=self.last_port,
            peers: self.peers.iter().filter_map(|subnet| subnet.parse().ok()).collect(),
            limits: cosmic_turn::Limits {
                allocations: self.allocations_max,
                allocations_per_user: self.allocations_per_device_max,
                bytes_per_sec: self.bytes_per_sec_max,
                bytes_per_user_per_sec: self.bytes_per_device_per_sec_max,
            },
        }
    }
}
