//! Whether others reach this peer from outside: a pure table of what servers saw and tried.
//!
//! A peer learns from others under which addresses it appears, and asks several servers (`/cosmic/reach/1`) to dial it there
//! from a port it has never spoken to. libp2p's own AutoNAT asks one server once about each address and never again
//! (`docs/decisions/0020-reachability.md`).

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::PeerId;
use libp2p::{Multiaddr, multiaddr::Protocol as Part};

use crate::address::{Transport, bare, ip, is_circuit, transport};

pub(crate) mod message;
pub(crate) mod service;

/// Addresses of its own that a peer has tried; more are a sign that each server sees another one.
pub(crate) const CANDIDATES_MAX: usize = 8;
/// Servers that are asked, if there are so many.
pub(crate) const SERVERS: usize = 4;
/// Servers that have to agree, unless fewer are known.
const AGREEING: usize = 3;
/// Peers whose sight of this one is remembered.
const OBSERVERS_MAX: usize = 16;

/// Whether others reach this peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reachability {
    /// Too few servers have answered.
    #[default]
    Unknown,
    /// As many servers as needed reached it.
    Public,
    /// None of its addresses was reached by as many as needed.
    Private,
}

/// What the router in front of a peer does, as far as it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, prometheus_client::encoding::EncodeLabelValue)]
pub enum Nat {
    /// Fewer than two servers have told what they see.
    #[default]
    Unknown,
    /// There is none: others see an address of this machine.
    Open,
    /// Everybody sees the same address (RFC 4787: endpoint-independent mapping): holes can be punched.
    Independent,
    /// Everybody sees another one (a symmetric NAT): only a relay or a mapped port helps, unless the other side is open.
    Dependent,
}

/// How the clock of this machine stands to those of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// By how many milliseconds it is ahead of theirs; behind if it is less than nothing.
    pub ahead_ms: i64,
    /// How many servers have told theirs.
    pub servers: usize,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    servers: BTreeSet<PeerId>,
    candidates: Vec<Multiaddr>,
    /// What each server said of each candidate.
    verdicts: BTreeMap<PeerId, BTreeMap<Multiaddr, bool>>,
    /// Servers that were asked, and about how many candidates.
    asked: BTreeMap<PeerId, usize>,
    /// Under which address each peer sees this one, over QUIC, where every dial leaves from one port.
    observed: BTreeMap<PeerId, Multiaddr>,
    /// By how many milliseconds the clock here is ahead of each server's.
    clocks: BTreeMap<PeerId, i64>,
}

impl Reach {
    /// The servers that may be asked.
    pub(crate) fn set_servers(&mut self, servers: impl IntoIterator<Item = PeerId>) {
        self.servers = servers.into_iter().take(SERVERS).collect();
        self.verdicts.retain(|server, _| self.servers.contains(server));
        self.asked.retain(|server, _| self.servers.contains(server));
        self.clocks.retain(|server, _| self.servers.contains(server));
    }

    /// This peer may be reachable there.
    pub(crate) fn candidate(&mut self, address: &Multiaddr) {
        let address = bare(address);
        let known = self.candidates.contains(&address);
        if !known && !is_circuit(&address) && self.candidates.len() < CANDIDATES_MAX {
            self.candidates.push(address);
        }
    }

    /// `peer` sees this one at `address`.
    pub(crate) fn observed(&mut self, peer: PeerId, address: &Multiaddr) {
        let has_room = self.observed.len() < OBSERVERS_MAX || self.observed.contains_key(&peer);
        if has_room && transport(address) == Some(Transport::Quic) {
            self.observed.insert(peer, bare(address));
        }
    }

    /// Whom to ask now about which addresses; they count as asked.
    pub(crate) fn questions(&mut self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut questions = Vec::new();
        for server in &self.servers {
            let asked = self.asked.entry(*server).or_default();
            let new: Vec<_> = self.candidates.iter().skip(*asked).cloned().collect();
            if !new.is_empty() {
                *asked = self.candidates.len();
                questions.push((*server, new));
            }
        }
        questions
    }

    /// What a server said; nothing of an address that it may not try.
    pub(crate) fn answered(
        &mut self,
        server: PeerId,
        verdicts: impl IntoIterator<Item = (Multiaddr, Option<bool>)>,
    ) {
        if self.servers.contains(&server) {
            let told = verdicts.into_iter().filter_map(|(address, verdict)| Some((address, verdict?)));
            self.verdicts.entry(server).or_default().extend(told);
        }
    }

    /// The clock here is ahead of that of `server` by so many milliseconds.
    pub(crate) fn compared(&mut self, server: PeerId, ahead_ms: i64) {
        if self.servers.contains(&server) {
            self.clocks.insert(server, ahead_ms);
        }
    }

    /// How the clock here stands to those of the servers: the median, which one that goes wrong does not change.
    pub(crate) fn clock(&self) -> Option<Compared> {
        let mut ahead: Vec<i64> = self.clocks.values().copied().collect();
        ahead.sort_unstable();
        let ahead_ms = *ahead.get(ahead.len() / 2)?;
        Some(Compared { ahead_ms, servers: ahead.len() })
    }

    /// A server did not answer: it is asked again.
    pub(crate) fn silent(&mut self, server: &PeerId) {
        self.asked.remove(server);
    }

    /// The way to everybody has changed: nothing holds that was known of it.
    pub(crate) fn forget(&mut self) {
        let (servers, clocks) = (std::mem::take(&mut self.servers), std::mem::take(&mut self.clocks));
        *self = Self { servers, clocks, ..Self::default() };
    }

    /// Asks everybody once more; what was known holds until they answer.
    pub(crate) fn again(&mut self) {
        self.asked.clear();
    }

    /// The addresses that as many servers reached as needed.
    pub(crate) fn confirmed(&self) -> Vec<Multiaddr> {
        let is_confirmed =
            |address: &&Multiaddr| self.count(|said| said.get(*address) == Some(&true)) >= self.needed();
        self.candidates.iter().filter(is_confirmed).cloned().collect()
    }

    /// Whether others reach this peer.
    pub(crate) fn state(&self) -> Reachability {
        if !self.confirmed().is_empty() {
            Reachability::Public
        } else if self.count(|said| said.values().any(|reached| !reached)) >= self.needed() {
            Reachability::Private
        } else {
            Reachability::Unknown
        }
    }

    /// What the router does, when this machine has `own` addresses.
    pub(crate) fn nat<'a>(&self, own: impl IntoIterator<Item = &'a Multiaddr>) -> Nat {
        let own: BTreeSet<_> = own.into_iter().filter_map(ip).collect();
        if self.observed.values().filter_map(ip).any(|seen| own.contains(&seen)) {
            return Nat::Open;
        }
        let seen: BTreeSet<_> = self.observed.values().map(host_and_port).collect();
        match (self.observed.len(), seen.len()) {
            (0 | 1, _) => Nat::Unknown,
            (_, 1) => Nat::Independent,
            _ => Nat::Dependent,
        }
    }

    fn count(&self, said: impl Fn(&BTreeMap<Multiaddr, bool>) -> bool) -> usize {
        self.verdicts.values().filter(|verdicts| said(verdicts)).count()
    }

    fn needed(&self) -> usize {
        AGREEING.min(self.servers.len()).max(1)
    }
}

fn host_and_port(address: &Multiaddr) -> (Option<std::net::IpAddr>, Option<u16>) {
    let port = address.iter().find_map(|part| match part {
        Part::Udp(port) | Part::Tcp(port) => Some(port),
        _ => None,
    });
    (ip(address), port)
}

#[cfg(test)]
mod tests;
