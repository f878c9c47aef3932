//! Who is connected and who is being dialed: a pure table that decides, while the actor performs.
//!
//! ```text
//! absent ──want──▶ dialing the preferred transport ──failed or head start over──▶ dialing the others, circuits last
//!    ▲                        │                                                      │
//!    │ last closed            └──────────────── established ◀────────────────────────┘
//!    └──────────────────────────────────── connected          (all failed: waiters are refused)
//! ```
//!
//! A refusal says that nobody serves the port: other transports then get a moment, and whoever wants the peer in the next
//! moments is told at once that it is away, unless it was heard of or has another address meanwhile.
//!
//! Everyone who wants one peer shares one dial. Two connections to one peer may stand for a moment, when
//! both dialed or both transports answered; the peer with the lower id then closes the worse one, so that
//! the two never close different ones. A circuit that a direct connection overtook is closed by both, streams or not.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
};

use cosmic_common::id::PeerId;
use libp2p::{Multiaddr, swarm::ConnectionId};

use crate::{
    address::{Transport, is_circuit, is_loopback, transport},
    book::Book,
    event::Direction,
    version::Version,
};

/// Callers that may wait for dials, over all peers.
const WAITERS_MAX: usize = 4096;
/// Peers remembered to be away; of more the others are dialed again at once.
const AWAY_MAX: usize = 1024;

/// One established connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
}

impl Connection {
    /// Whether it leads through a relay.
    pub(crate) fn is_relayed(&self) -> bool {
        is_circuit(&self.address)
    }
}

/// What to do for somebody who wants a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Want<W> {
    /// One stands already.
    Connected(W, ConnectionId),
    /// Dial these; with none, whatever the directory knows.
    Dial(Vec<Multiaddr>),
    /// Somebody else's dial will serve.
    Join,
    /// It was away a moment ago.
    Away(W),
    /// Too many wait already.
    Busy(W),
}

/// What follows a failed dial.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed<W> {
    /// Dial the other transport.
    Dial(Vec<Multiaddr>),
    /// Another dial is still under way, or a connection stands.
    Wait,
    /// Nothing is left to try.
    Refuse(Vec<W>),
}

/// What follows an established connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Established<W> {
    /// Whether the peer was not connected before.
    pub(crate) first: bool,
    /// Whether this side has to close surplus connections.
    pub(crate) surplus: bool,
    /// Who waited.
    pub(crate) waiters: Vec<W>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Peers<W> {
    local: PeerId,
    prefer: Transport,
    peers: HashMap<PeerId, Peer<W>>,
    away: HashSet<PeerId>,
    waiting: usize,
    pub(crate) book: Book,
}

#[derive(Debug)]
struct Peer<W> {
    connections: Vec<Connection>,
    dials: Vec<ConnectionId>,
    /// Addresses of the other transports, not tried yet; each stage is dialed when those before had their head start.
    later: VecDeque<Vec<Multiaddr>>,
    /// Whether a port was refused since the first dial.
    refused: bool,
    waiters: Vec<W>,
    /// What it says it runs.
    version: Option<Version>,
}

impl<W> Peers<W> {
    pub(crate) fn new(local: PeerId, prefer: Transport) -> Self {
        let (peers, away) = (HashMap::new(), HashSet::new());
        Self { local, prefer, peers, away, waiting: 0, book: Book::default() }
    }

    /// Whether this is the own peer.
    pub(crate) fn is_local(&self, peer: &PeerId) -> bool {
        self.local == *peer
    }

    /// Forgets every dial of a peer that can never be dialed; who waited for them.
    pub(crate) fn give_up(&mut self, peer: &PeerId) -> Vec<W> {
        let waiters = self.peers.remove(peer).map(|entry| entry.waiters).unwrap_or_default();
        self.waiting -= waiters.len();
        waiters
    }

    /// Somebody wants a connection to `peer`.
    pub(crate) fn want(&mut self, peer: PeerId, waiter: W) -> Want<W> {
        if let Some(best) = self.best(&peer) {
            return Want::Connected(waiter, best);
        }
        if self.away.contains(&peer) {
            return Want::Away(waiter);
        }
        if self.waiting >= WAITERS_MAX {
            return Want::Busy(waiter);
        }
        self.waiting += 1;
        let entry = self.peers.entry(peer).or_insert_with(Peer::new);
        let dialing = !entry.waiters.is_empty() || !entry.dials.is_empty();
        entry.waiters.push(waiter);
        if dialing {
            return Want::Join;
        }
        entry.later = stages(self.book.of(&peer), self.prefer).collect();
        Want::Dial(entry.later.pop_front().unwrap_or_default())
    }

    /// A dial has begun.
    pub(crate) fn dialing(&mut self, peer: PeerId, dial: ConnectionId) {
        self.peers.entry(peer).or_insert_with(Peer::new).dials.push(dial);
    }

    /// Whether `peer` has addresses that wait for the head start of others.
    pub(crate) fn has_later(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|entry| !entry.later.is_empty())
    }

    /// The head start of the preferred transport is over: what to dial beside it, if nothing stands yet.
    pub(crate) fn head_start_over(&mut self, peer: &PeerId) -> Option<Vec<Multiaddr>> {
        let entry = self.peers.get_mut(peer)?;
        let next = entry.later.pop_front();
        next.filter(|_stage| entry.connections.is_empty())
    }

    /// A port of `peer` was refused; whether anybody still waits for another dial.
    pub(crate) fn refused(&mut self, peer: &PeerId) -> bool {
        // Behind a relay it may be there all the same.
        let has_circuits = self.book.of(peer).iter().any(is_circuit);
        let Some(entry) = self.peers.get_mut(peer).filter(|entry| !entry.waiters.is_empty()) else {
            return false;
        };
        !has_circuits && !mem::replace(&mut entry.refused, true)
    }

    /// The other transports had their moment after a refusal: who waited in vain. The peer counts as away from now on.
    pub(crate) fn refusal_stands(&mut self, peer: &PeerId) -> Vec<W> {
        let stands = |entry: &Peer<W>| entry.refused && entry.connections.is_empty();
        if !self.peers.get(peer).is_some_and(stands) {
            return Vec::new();
        }
        if self.away.len() < AWAY_MAX {
            self.away.insert(*peer);
        }
        self.give_up(peer)
    }

    /// Where `peer` may be reached. A new address is a reason to dial again at once; whether somebody waits for a dial that
    /// is under way without it, and that has to go on with it.
    pub(crate) fn told(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) -> bool {
        let known = self.book.of(&peer).to_vec();
        if !self.book.add(peer, addresses) {
            return false;
        }
        self.away.remove(&peer);
        let Some(entry) = self.peers.get_mut(&peer) else { return false };
        let waits = entry.connections.is_empty() && !entry.waiters.is_empty();
        if waits {
            let new: Vec<_> =
                self.book.of(&peer).iter().filter(|address| !known.contains(address)).cloned().collect();
            entry.later.extend(stages(&new, self.prefer));
        }
        waits
    }

    /// Nothing speaks against dialing `peer` again.
    pub(crate) fn forgive(&mut self, peer: &PeerId) {
        self.away.remove(peer);
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, peer: &PeerId, dial: ConnectionId) -> Failed<W> {
        let Some(entry) = self.peers.get_mut(peer) else { return Failed::Wait };
        let Some(place) = entry.dials.iter().position(|pending| *pending == dial) else {
            return Failed::Wait; // a dial of the directory, not of ours
        };
        entry.dials.remove(place);
        if !entry.connections.is_empty() {
            return Failed::Wait;
        }
        if let Some(next) = entry.later.pop_front() {
            return Failed::Dial(next);
        }
        if !entry.dials.is_empty() {
            return Failed::Wait;
        }
        let waiters = mem::take(&mut entry.waiters);
        self.waiting -= waiters.len();
        self.peers.remove(peer);
        Failed::Refuse(waiters)
    }

    /// A connection stands.
    pub(crate) fn established(&mut self, peer: PeerId, connection: Connection) -> Established<W> {
        if connection.direction == Direction::Outbound {
            self.book.worked(&peer, &connection.address);
        }
        self.away.remove(&peer);
        let entry = self.peers.entry(peer).or_insert_with(Peer::new);
        entry.dials.retain(|pending| *pending != connection.id);
        entry.later.clear();
        entry.refused = false;
        let first = entry.connections.is_empty();
        entry.connections.push(connection);
        let waiters = mem::take(&mut entry.waiters);
        self.waiting -= waiters.len();
        Established { first, surplus: !first && self.local < peer, waiters }
    }

    /// A connection is gone; the connection, if it was the last one.
    pub(crate) fn closed(&mut self, peer: &PeerId, connection: ConnectionId) -> Option<Connection> {
        let entry = self.peers.get_mut(peer)?;
        let place = entry.connections.iter().position(|known| known.id == connection)?;
        let gone = entry.connections.remove(place);
        if !entry.connections.is_empty() {
            return None;
        }
        if entry.dials.is_empty() && entry.waiters.is_empty() {
            self.peers.remove(peer);
        }
        Some(gone)
    }

    /// The connections beside the best one, for the side that has to close them.
    pub(crate) fn surplus(&self, peer: &PeerId) -> Vec<ConnectionId> {
        let best = self.best(peer);
        let connections = self.peers.get(peer).map(|entry| entry.connections.as_slice()).unwrap_or_default();
        connections.iter().map(|connection| connection.id).filter(|id| Some(*id) != best).collect()
    }

    /// The circuits to a peer that is connected directly as well.
    pub(crate) fn overtaken(&self, peer: &PeerId) -> Vec<ConnectionId> {
        let connections = self.peers.get(peer).map(|entry| entry.connections.as_slice()).unwrap_or_default();
        let (circuits, direct): (Vec<_>, Vec<_>) =
            connections.iter().partition(|connection| connection.is_relayed());
        if direct.is_empty() { Vec::new() } else { circuits.iter().map(|circuit| circuit.id).collect() }
    }

    /// The connection to use.
    pub(crate) fn connection(&self, peer: &PeerId) -> Option<&Connection> {
        let best = self.best(peer)?;
        self.peers.get(peer)?.connections.iter().find(|connection| connection.id == best)
    }

    /// A peer that is connected says which version it runs.
    pub(crate) fn runs(&mut self, peer: &PeerId, version: Option<Version>) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.version = version;
        }
    }

    /// The version that a peer says it runs.
    pub(crate) fn version(&self, peer: &PeerId) -> Option<Version> {
        self.peers.get(peer)?.version
    }

    /// The connections that stand from outside or to outside: all but those through relays and within this machine.
    pub(crate) fn over_the_network(&self) -> impl Iterator<Item = &Connection> {
        let all = self.peers.values().flat_map(|entry| &entry.connections);
        all.filter(|connection| !connection.is_relayed() && !is_loopback(&connection.address))
    }

    /// The peers a connection stands to.
    pub(crate) fn connected(&self) -> impl Iterator<Item = PeerId> {
        let connected = self.peers.iter().filter(|(_, entry)| !entry.connections.is_empty());
        connected.map(|(peer, _)| *peer)
    }

    /// The connection to use: a direct one, of the preferred transport, and of those the newest. A peer that connects again
    /// has mostly been restarted, and what stood before is dead although nobody has said so.
    fn best(&self, peer: &PeerId) -> Option<ConnectionId> {
        let newest_first = self.peers.get(peer)?.connections.iter().rev();
        let worse = |connection: &&Connection| {
            (connection.is_relayed(), transport(&connection.address) != Some(self.prefer))
        };
        newest_first.min_by_key(worse).map(|connection| connection.id)
    }
}

/// What to dial first, then, and last: the preferred transport, the other ones, the web, circuits.
fn stages(addresses: &[Multiaddr], prefer: Transport) -> impl Iterator<Item = Vec<Multiaddr>> {
    let mut stages: [Vec<Multiaddr>; 4] = Default::default();
    let [preferred, others, web, circuits] = &mut stages;
    for address in addresses {
        let stage = match transport(address) {
            Some(Transport::Relay) => &mut *circuits,
            known if known == Some(prefer) => &mut *preferred,
            Some(Transport::WebSocket) => &mut *web,
            _ => &mut *others,
        };
        stage.push(address.clone());
    }
    stages.into_iter().filter(|stage| !stage.is_empty())
}

impl<W> Peer<W> {
    const fn new() -> Self {
        Self {
            connections: Vec::new(),
            dials: Vec::new(),
            later: VecDeque::new(),
            refused: false,
            version: None,
            waiters: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
