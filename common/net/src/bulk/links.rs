//! Which connections of the plane stand, who may make more, and to whom it is not worth trying for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use cosmic_common::id::PeerId;

use super::link::Link;
use crate::{config::Config, event::Direction, metrics::Fallback};

/// Peers remembered as out of reach of the plane; of more it is found out again each time.
const AVOIDED_MAX: usize = 4096;

/// The table.
pub(super) struct Links {
    table: Mutex<Table>,
    limits: Limits,
}

struct Limits {
    inbound: u32,
    outbound: u32,
    per_peer: u32,
}

#[derive(Default)]
struct Table {
    links: HashMap<PeerId, Vec<Arc<Link>>>,
    /// How often a peer was told where the plane is, by streams that still stand.
    leashes: HashMap<PeerId, u32>,
    avoided: HashMap<PeerId, Fallback>,
    turns: HashMap<PeerId, Weak<tokio::sync::Mutex<()>>>,
    inbound: u32,
    outbound: u32,
}

/// The right of a peer to connect, for as long as the stream stands on which it was told where.
pub(super) struct Leash<'a> {
    links: &'a Links,
    peer: PeerId,
}

/// A link's place in the table.
pub(super) struct Place {
    links: Arc<Links>,
    pub(super) link: Arc<Link>,
}

impl Links {
    pub(super) fn new(config: &Config) -> Self {
        let limits = Limits {
            inbound: config.connections_in_max,
            outbound: config.connections_out_max,
            per_peer: config.connections_per_peer_max,
        };
        Self { table: Mutex::default(), limits }
    }

    /// The newest connection to `peer` that stands, whoever dialed: an older one may be dead, and nobody has said so.
    pub(super) fn best(&self, peer: &PeerId) -> Option<Arc<Link>> {
        self.lock().links.get(peer)?.iter().rev().find(|link| link.is_open()).cloned()
    }

    /// Takes a connection up, or refuses it: there are too many, or the peer was not told of this port.
    pub(super) fn admit(self: &Arc<Self>, link: Link) -> Option<Place> {
        let mut table = self.lock();
        let of_peer = table.links.get(&link.peer).map_or(0, Vec::len);
        let full = |count: u32, most: u32| count >= most;
        let refused = match link.direction {
            Direction::Inbound => {
                !table.leashes.contains_key(&link.peer) || full(table.inbound, self.limits.inbound)
            }
            Direction::Outbound => full(table.outbound, self.limits.outbound),
        };
        if refused || u32::try_from(of_peer).map_or(true, |count| full(count, self.limits.per_peer)) {
            drop(table);
            link.refuse();
            return None;
        }
        let link = Arc::new(link);
        *table.count(link.direction) += 1;
        table.links.entry(link.peer).or_default().push(Arc::clone(&link));
        Some(Place { links: Arc::clone(self), link })
    }

    /// Lets `peer` connect while the result lives, unless it was told often enough.
    pub(super) fn leash(&self, peer: PeerId) -> Option<Leash<'_>> {
        let mut table = self.lock();
        let told = table.leashes.entry(peer).or_default();
        if *told >= self.limits.per_peer {
            return None;
        }
        *told += 1;
        Some(Leash { links: self, peer })
    }

    /// Whoever dials `peer` holds this meanwhile.
    pub(super) fn turn(&self, peer: PeerId) -> Arc<tokio::sync::Mutex<()>> {
        let mut table = self.lock();
        if let Some(turn) = table.turns.get(&peer).and_then(Weak::upgrade) {
            return turn;
        }
        table.turns.retain(|_peer, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        table.turns.insert(peer, Arc::downgrade(&turn));
        turn
    }

    /// Why the plane was not to be had of `peer` lately, if so.
    pub(super) fn avoided(&self, peer: &PeerId) -> Option<Fallback> {
        self.lock().avoided.get(peer).copied()
    }

    /// Remembers that the plane of `peer` is not to be had; whether there is room to.
    pub(super) fn avoid(&self, peer: PeerId, reason: Fallback) -> bool {
        let mut table = self.lock();
        let room = table.avoided.len() < AVOIDED_MAX;
        room && table.avoided.insert(peer, reason).is_none()
    }

    /// The plane of `peer` may be tried again.
    pub(super) fn forgive(&self, peer: &PeerId) {
        self.lock().avoided.remove(peer);
    }

    /// Closes every connection.
    pub(super) fn close_all(&self) {
        let table = self.lock();
        table.links.values().flatten().for_each(|link| link.close());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    const fn count(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.links.lock();
        *table.count(self.link.direction) -= 1;
        if let Some(links) = table.links.get_mut(&self.link.peer) {
            links.retain(|link| !Arc::ptr_eq(link, &self.link));
            if links.is_empty() {
                table.links.remove(&self.link.peer);
            }
        }
    }
}

impl Drop for Leash<'_> {
    fn drop(&mut self) {
        let mut table = self.links.lock();
        let Some(told) = table.leashes.get_mut(&self.peer) else { return };
        *told -= 1;
        if *told > 0 {
            return;
        }
        table.leashes.remove(&self.peer);
        let inbound = |link: &&Arc<Link>| link.direction == Direction::Inbound;
        table.links.get(&self.peer).into_iter().flatten().filter(inbound).for_each(|link| link.close());
    }
}
