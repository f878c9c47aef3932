//! What an operator may set about the guard.

use std::time::Duration;

use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

/// A day.
const BAN_MAX_SECS: u64 = 86_400;

/// The settings of the guard; the defaults let a household and a company behind one address in, and stop a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a peer or address is kept out that did what nobody honest does.
    pub ban_secs: u64,
    /// What a peer that has proven nothing may cost, on each protocol, in microseconds of a core each second.
    pub stranger_us_per_sec: u64,
    /// The same of a device with a session.
    pub member_us_per_sec: u64,
    /// Addresses of the internet.
    pub public: Limits,
    /// Loopback and private addresses: this machine, and its own network.
    pub nearby: Limits,
}

/// What one address may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections from one address: /32 of IPv4, /64 of IPv6.
    pub connections_per_address: u32,
    /// Connections from one subnet: /24 of IPv4, /48 of IPv6.
    pub connections_per_subnet: u32,
    /// Handshakes of one address that may be under way; a subnet may have four times as many.
    pub pending_per_address: u32,
    /// Connections one address may begin in a minute; a subnet may begin four times as many.
    pub arrivals_per_minute: u32,
    /// What all strangers at one address may cost together, in microseconds of a core each second.
    pub strangers_us_per_sec: u64,
    /// The score of offences at which the whole address is kept out; 0 never does that.
    pub ban_score: u32,
}

impl Limits {
    /// For addresses of the internet.
    pub const PUBLIC: Self = Self {
        // Below one hundredth of a supernode's 4,096, and enough for the devices of a household and for most small companies.
        connections_per_address: 32,
        connections_per_subnet: 128,
        // A handshake takes two round trips: 16 of them make at least 50 connections in a second.
        pending_per_address: 16,
        // Thirty devices that come back four times a minute.
        arrivals_per_minute: 120,
        // A twentieth of a core.
        strangers_us_per_sec: 50_000,
        // Twice what bans a peer: two of its peers lied, or many handshakes were garbage.
        ban_score: 160,
    };
    /// For loopback and private addresses: a hundred processes on one machine, as in tests, demos and offices.
    pub const NEARBY: Self = Self {
        connections_per_address: 16_384,
        connections_per_subnet: 16_384,
        pending_per_address: 4_096,
        arrivals_per_minute: 600_000,
        strangers_us_per_sec: 10_000_000,
        // A proxy on this machine would be banned for what those behind it do.
        ban_score: 0,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ban_secs: 600,
            // A fiftieth of a core: a new device opens a hundred spaces at once from what it may have saved up.
            stranger_us_per_sec: 20_000,
            // A whole core, or 1 GB/s.
            member_us_per_sec: 1_000_000,
            public: Limits::PUBLIC,
            nearby: Limits::NEARBY,
        }
    }
}

impl Config {
    pub(crate) const fn ban(&self) -> Duration {
        Duration::from_secs(self.ban_secs)
    }

    /// Whether the settings can be meant.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.ban_secs > BAN_MAX_SECS {
            mistakes.refuse("ban_secs", "addresses change hands; a ban lasts 86400, a day, at most");
        }
        if self.stranger_us_per_sec == 0 || self.member_us_per_sec < self.stranger_us_per_sec {
            mistakes.refuse(
                "stranger_us_per_sec",
                "strangers need something to prove themselves with, and members no less; give at least 1, and members as much",
            );
        }
        for (name, limits) in [("public", &self.public), ("nearby", &self.nearby)] {
            let smallest = limits.connections_per_address.min(limits.connections_per_subnet);
            let smallest = smallest.min(limits.pending_per_address).min(limits.arrivals_per_minute);
            if smallest == 0 || limits.strangers_us_per_sec == 0 {
                mistakes.refuse(name, "nobody could connect with a limit of 0; give at least 1 of each");
            }
        }
    }
}
