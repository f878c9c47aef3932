//! The guard: who may connect, open streams and go on sending, asked by whoever takes something from others.
//!
//! ```text
//! connection ──▶ banned? a place for the address? ──▶ handshake ──▶ peer banned? room for its standing? ──▶ stream
//!                                                                                                            │
//!   houses report: proofs that hold, offences, costs ──▶ standing, bans, purses ◀── streams and bytes cost ──┘
//! ```
//! The rules are pure and stand in files of their own; here is the lock, the clock and the counting.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{id::PeerId, protocol::Protocol, time::Timestamp};
use cosmic_runtime::clock::{Clock, Monotonic};
use futures::task::AtomicWaker;

use self::{
    load::{Pressure, Saturation},
    offences::{Offences, Offender},
    places::{Full, Places},
    purses::Purses,
    standing::Standings,
};
use crate::metrics::{Metrics, Refused};

mod bucket;
mod config;
mod cost;
pub(crate) mod gate;
mod load;
mod offences;
mod origin;
mod places;
mod purse;
mod purses;
mod standing;
mod visit;
mod vouch;

pub(crate) use self::{
    origin::{Block, Origin},
    places::Phase,
};
pub use config::{Config, Limits};
pub use cost::Cost;
pub use offences::Offence;
pub(crate) use purse::Purse;
pub use standing::Standing;
pub(crate) use visit::Visit;
pub use vouch::Vouch;

/// A stream is refused to a peer that would have to wait for longer than this before anything is read from it.
const DEBT_MAX: Duration = Duration::from_secs(2);

/// The guard of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    clock: Clock,
    began: Monotonic,
    metrics: Metrics,
    state: Mutex<State>,
    /// Wakes the gate, which closes connections.
    gate: AtomicWaker,
}

#[derive(Debug)]
struct State {
    places: Places,
    purses: Purses,
    standings: Standings,
    offences: Offences,
    pressure: Pressure,
    /// Bits of work that a stranger brings while there is any pressure.
    work_bits: u8,
    /// Where peers have come from, by connections that stand.
    origins: HashMap<PeerId, Vec<Option<Origin>>>,
    /// Streams that peers have open here.
    streams: HashMap<PeerId, usize>,
    /// Peers whose connections have to be closed.
    condemned: Vec<PeerId>,
}

/// Who is kept out, and for how long still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// A peer id, or an address as `192.0.2.7/32`.
    pub who: String,
    /// How long still.
    pub left: Duration,
}

/// What an operator may want to know of the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// `calm`, `busy` or `overloaded`.
    pub pressure: &'static str,
    /// Who is kept out, the longest first.
    pub bans: Vec<Ban>,
}

impl Guard {
    /// For a process that may have so many `connections`, pending ones included.
    pub(crate) fn new(config: Config, connections: usize, metrics: Metrics) -> Self {
        let clock = Clock::system();
        let state = State {
            places: Places::new(&config, connections),
            purses: Purses::new(&config),
            standings: Standings::default(),
            offences: Offences::default(),
            pressure: Pressure::default(),
            work_bits: Saturation::default().work_bits(),
            origins: HashMap::new(),
            streams: HashMap::new(),
            condemned: Vec::new(),
        };
        let (began, state) = (clock.monotonic(), Mutex::new(state));
        Self(Arc::new(Inner { config, clock, began, metrics, state, gate: AtomicWaker::new() }))
    }

    /// One that counts what it is told and refuses only the banned, for the network in memory.
    pub(crate) fn in_memory(metrics: Metrics) -> Self {
        let unlimited = u64::from(u32::MAX);
        let config =
            Config { stranger_us_per_sec: unlimited, member_us_per_sec: unlimited, ..Config::default() };
        Self::new(config, 0, metrics)
    }

    /// A place for a connection of `origin`, held until the result is dropped.
    pub(crate) fn admit(&self, origin: Origin, phase: Phase) -> Result<Visit, Refused> {
        let (mut state, now) = (self.lock(), self.now());
        if state.offences.is_banned(Offender::Address(origin.host), now) {
            return Err(self.refused(Refused::Banned));
        }
        let arrived = state.places.arrive(origin, phase, now);
        drop(state);
        arrived.map(|()| Visit::new(self, origin, phase)).map_err(|full| {
            self.refused(match full {
                Full::Address => Refused::Address,
                Full::Subnet => Refused::Subnet,
                Full::Pending => Refused::Pending,
                Full::Arrivals => Refused::Arrivals,
            })
        })
    }

    /// Whether the address of `origin` is kept out.
    pub(crate) fn is_banned(&self, origin: Origin) -> bool {
        self.lock().offences.is_banned(Offender::Address(origin.host), self.now())
    }

    /// Whether `peer`, whose handshake succeeded, may stay.
    pub(crate) fn admit_peer(&self, peer: PeerId) -> Result<(), Refused> {
        let (state, now) = (self.lock(), self.now());
        if state.offences.is_banned(Offender::Peer(peer), now) {
            return Err(self.refused(Refused::Banned));
        }
        if state.pressure.refuses(state.standings.of(&peer, now)) {
            return Err(self.refused(Refused::Overload));
        }
        Ok(())
    }

    /// Whether `peer` may open a stream; what it sends there is paid from the purse.
    pub(crate) fn admit_stream(&self, peer: PeerId, protocol: Protocol) -> Result<Purse, Refused> {
        self.admit_peer(peer)?;
        let wait = self.charge(peer, protocol, Cost::Stream);
        if wait > DEBT_MAX {
            return Err(self.refused(Refused::Budget));
        }
        *self.lock().streams.entry(peer).or_default() += 1;
        Ok(Purse::new(self, peer, protocol, wait))
    }

    /// `peer` has caused this; how long it should be made to wait.
    pub(crate) fn charge(&self, peer: PeerId, protocol: Protocol, cost: Cost) -> Duration {
        let now = self.now();
        let mut state = self.lock();
        let State { places, purses, standings, origins, .. } = &mut *state;
        let standing = standings.of(&peer, now);
        let origin = origins.get(&peer).and_then(|all| all.iter().flatten().next());
        purses.charge((peer, standing), protocol, origin.map(|origin| (*origin, &*places)), cost.units(), now)
    }

    /// A connection of `peer` stands.
    pub(crate) fn connected(&self, peer: PeerId, origin: Option<Origin>) {
        self.lock().origins.entry(peer).or_default().push(origin);
    }

    /// It stands no more.
    pub(crate) fn disconnected(&self, peer: &PeerId, origin: Option<Origin>) {
        let mut state = self.lock();
        if let Some(origins) = state.origins.get_mut(peer) {
            if let Some(place) = origins.iter().position(|known| *known == origin) {
                origins.swap_remove(place);
            }
            if origins.is_empty() {
                state.origins.remove(peer);
            }
        }
    }

    /// `peer` did what nobody honest does: it counts against it and against the addresses it comes from. The ring's operators
    /// answer for theirs, and a ring that bans its own falls apart.
    pub(crate) fn offence(&self, peer: PeerId, offence: Offence) {
        let now = self.now();
        self.0.metrics.offended(offence);
        let mut state = self.lock();
        if state.standings.of(&peer, now) == Standing::Ring {
            return;
        }
        if state.offences.count_peer(peer, offence, self.0.config.ban(), now) {
            tracing::warn!(peer = %peer.short(), ?offence, "a peer is kept out for a while");
            self.0.metrics.banned();
            state.condemned.push(peer);
            self.0.gate.wake();
        }
        let origins: HashSet<Origin> =
            state.origins.get(&peer).into_iter().flatten().flatten().copied().collect();
        for origin in origins {
            self.address_offence(&mut state, origin, offence, now);
        }
    }

    /// A handshake from `origin`, whose address is its own, was none.
    pub(crate) fn bad_handshake(&self, origin: Origin) {
        let now = self.now();
        self.0.metrics.offended(Offence::Handshake);
        self.address_offence(&mut self.lock(), origin, Offence::Handshake, now);
    }

    fn address_offence(&self, state: &mut State, origin: Origin, offence: Offence, now: Timestamp) {
        let limit = state.places.limits(origin).ban_score;
        let offender = (Offender::Address(origin.host), limit);
        if limit > 0 && state.offences.count(offender, offence, self.0.config.ban(), now) {
            tracing::warn!(address = %origin.host, ?offence, "an address is kept out for a while");
            self.0.metrics.banned();
            let there =
                |origins: &Vec<Option<Origin>>| origins.iter().flatten().any(|from| from.host == origin.host);
            let peers = state.origins.iter().filter(|(_, origins)| there(origins)).map(|(peer, _)| *peer);
            let strangers: Vec<_> =
                peers.filter(|peer| state.standings.of(peer, now) == Standing::Stranger).collect();
            state.condemned.extend(strangers);
            self.0.gate.wake();
        }
    }

    /// What is known of `peer`.
    pub(crate) fn standing(&self, peer: &PeerId) -> Standing {
        self.lock().standings.of(peer, self.now())
    }

    /// Bits of work that `peer` has to bring before it is looked at what it wants: none from whoever has proven something.
    pub(crate) fn work_bits(&self, peer: &PeerId) -> Option<u8> {
        let (state, now) = (self.lock(), self.now());
        let wanted = state.pressure > Pressure::Calm && state.standings.of(peer, now) == Standing::Stranger;
        wanted.then_some(state.work_bits)
    }

    /// A proof of `peer` was accepted; it stands until the result is dropped.
    pub(crate) fn vouch(&self, peer: PeerId) -> Vouch {
        self.lock().standings.prove(peer, self.now());
        Vouch::new(self, peer)
    }

    /// These are the members of the ring.
    pub(crate) fn set_ring(&self, ring: HashSet<PeerId>) {
        self.lock().standings.set_ring(ring);
    }

    /// What follows from what was measured.
    pub(crate) fn measured(&self, saturation: Saturation) -> Pressure {
        let now = self.now();
        let mut state = self.lock();
        let pressure = saturation.pressure(state.pressure);
        if pressure != state.pressure {
            tracing::info!(?pressure, ?saturation, "the load has changed");
            state.pressure = pressure;
        }
        state.work_bits = saturation.work_bits();
        self.0.metrics.load(pressure.level(), state.offences.banned(now).len());
        pressure
    }

    /// As if the queues were two thirds full.
    pub(crate) fn press(&self) {
        self.measured(Saturation { queue: 666, ..Saturation::default() });
    }

    /// Whether there is more to do than is good.
    pub(crate) fn is_pressed(&self) -> bool {
        self.lock().pressure > Pressure::Calm
    }

    /// Whether there is more to do than this process can.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.lock().pressure >= Pressure::Overloaded
    }

    pub(crate) fn watch(&self) -> Watch {
        let (state, now) = (self.lock(), self.now());
        let ban = |(offender, left)| Ban { who: written(offender), left };
        let bans = state.offences.banned(now).into_iter().map(ban).collect();
        Watch { pressure: state.pressure.name(), bans }
    }

    /// Lets whoever [`Ban::who`] names in again; whether it was kept out.
    pub(crate) fn pardon(&self, who: &str) -> bool {
        let (mut state, now) = (self.lock(), self.now());
        let found = state.offences.banned(now).into_iter().find(|(offender, _)| written(*offender) == who);
        found.is_some_and(|(offender, _)| state.offences.pardon(offender, now))
    }

    fn refused(&self, reason: Refused) -> Refused {
        self.0.metrics.refused(reason);
        reason
    }

    fn now(&self) -> Timestamp {
        Timestamp::default().after(self.0.clock.monotonic().since(self.0.began))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn written(offender: Offender) -> String {
    match offender {
        Offender::Peer(peer) => peer.to_string(),
        Offender::Address(block) => block.to_string(),
    }
}

#[cfg(test)]
mod tests;
