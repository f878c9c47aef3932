//! The gate: the behaviour of the swarm that lets connections in, before any cryptography where their transport allows it,
//! measures how busy the loop is, and closes what has to go.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_runtime::clock::Monotonic;
use libp2p::{
    Multiaddr,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol as Part,
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, ListenError, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
    },
};
use tokio::time::{Interval, MissedTickBehavior};

use super::{
    Guard, Standing, Visit,
    load::{Guest, Saturation, leave_first},
    origin::Origin,
    places::Phase,
};
use crate::{
    address::{from_peer, to_peer},
    incoming::Inlets,
    metrics::Refused,
};

/// How often is looked how late the loop is, and whether somebody has to go.
const LOOK: Duration = Duration::from_millis(250);
/// One look weighs an eighth, so that what counts are the last two seconds.
const WEIGHT: u32 = 8;
/// No single look counts for more: a machine that slept is not overloaded.
const LATE_MAX: Duration = Duration::from_secs(4);
/// Of the handshakes that may be under way, three quarters may be of addresses that need not be their senders': TCP stays open to
/// others while somebody floods QUIC.
const UNPROVEN_SHARE: (usize, usize) = (3, 4);
/// Once so many thousandths of the connections are taken, strangers have to go until it is enough.
const FULL: usize = 900;
const ENOUGH: usize = 850;
/// From here on idle members have to go as well: they would only come back if there was room.
const BRIM: usize = 980;

pub(crate) struct Gate {
    guard: Guard,
    inlets: Inlets,
    connections_max: usize,
    unproven_max: usize,
    guests: HashMap<ConnectionId, Entered>,
    /// Handshakes under way of addresses that need not be their senders'.
    unproven: HashSet<ConnectionId>,
    closing: VecDeque<(libp2p::PeerId, CloseConnection)>,
    looks: Interval,
    looked: Monotonic,
    late: Duration,
}

/// A connection others opened.
struct Entered {
    visit: Option<Visit>,
    origin: Option<Origin>,
    peer: Option<PeerId>,
    since: Timestamp,
}

/// Why a connection was not let in.
#[derive(Debug, thiserror::Error)]
#[error("refused by the guard: {0:?}")]
struct Denied(Refused);

impl Gate {
    /// To be called where timers run.
    pub(crate) fn new(inlets: Inlets, connections_max: u32, pending_max: u32) -> Self {
        let guard = inlets.guard().clone();
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let (part, whole) = UNPROVEN_SHARE;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            looked: guard.0.clock.monotonic(),
            inlets,
            connections_max: count(connections_max),
            unproven_max: count(pending_max).saturating_mul(part).div_ceil(whole),
            guests: HashMap::new(),
            unproven: HashSet::new(),
            closing: VecDeque::new(),
            looks,
            late: Duration::ZERO,
            guard,
        }
    }

    fn admit(&self, origin: Option<Origin>, phase: Phase) -> Result<Option<Visit>, ConnectionDenied> {
        let visit = origin.map(|origin| self.guard.admit(origin, phase)).transpose();
        visit.map_err(|reason| ConnectionDenied::new(Denied(reason)))
    }

    /// The address is not known to be the sender's, so it uses up nothing of what the address may have.
    fn admit_unproven(&self, origin: Option<Origin>) -> Result<(), ConnectionDenied> {
        let reason = if origin.is_some_and(|origin| self.guard.is_banned(origin)) {
            Refused::Banned
        } else if self.unproven.len() >= self.unproven_max {
            Refused::Pending
        } else {
            return Ok(());
        };
        Err(ConnectionDenied::new(Denied(self.guard.refused(reason))))
    }

    fn look(&mut self) {
        let now = self.guard.0.clock.monotonic();
        let late = now.since(self.looked).saturating_sub(LOOK).min(LATE_MAX);
        self.looked = now;
        self.late = (self.late * (WEIGHT - 1) + late) / WEIGHT;
        let established = self.guests.values().filter(|guest| guest.peer.is_some()).count();
        let full = established.saturating_mul(1000) / self.connections_max.max(1);
        self.guard.measured(Saturation {
            connections: u16::try_from(full).unwrap_or(u16::MAX),
            queue: self.inlets.fullest_permille(),
            late: self.late,
        });
        if full >= FULL {
            let enough = self.connections_max.saturating_mul(ENOUGH) / 1000;
            let highest = if full >= BRIM { Standing::Member } else { Standing::Stranger };
            self.shed(established.saturating_sub(enough), highest);
        }
    }

    fn shed(&mut self, count: usize, highest: Standing) {
        let now = self.guard.now();
        let state = self.guard.lock();
        let guest = |(id, entered): (&ConnectionId, &Entered)| {
            let peer = entered.peer?;
            Some(Guest {
                id: (*id, peer),
                standing: state.standings.of(&peer, now),
                streams: state.streams.get(&peer).copied().unwrap_or_default(),
                age: now.since(entered.since),
            })
        };
        let guests = self.guests.iter().filter_map(guest).filter(|guest| guest.standing <= highest);
        let leaving = leave_first(guests, count);
        drop(state);
        for (id, peer) in leaving {
            if let Some(peer) = from_peer(&peer) {
                self.guard.0.metrics.shed();
                self.closing.push_back((peer, CloseConnection::One(id)));
            }
        }
    }

    fn forget(&mut self, id: ConnectionId) {
        self.unproven.remove(&id);
        if let Some(Entered { peer: Some(peer), origin, .. }) = self.guests.remove(&id) {
            self.guard.disconnected(&peer, origin);
        }
    }
}

/// Whether whoever sends from `address` has shown that it is his by the time he is heard of.
fn is_proven(address: &Multiaddr) -> bool {
    !address.iter().any(|part| matches!(part, Part::Udp(_)))
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let origin = Origin::of_multiaddr(remote);
        let visit = if is_proven(remote) {
            self.admit(origin, Phase::Pending)?
        } else {
            self.admit_unproven(origin)?;
            self.unproven.insert(id);
            None
        };
        let since = self.guard.now();
        self.guests.insert(id, Entered { visit, origin, peer: None, since });
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: libp2p::PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.unproven.remove(&id);
        let Some(peer) = to_peer(&peer) else { return Ok(dummy::ConnectionHandler) };
        let admitted = self.guard.admit_peer(peer);
        admitted.map_err(|reason| ConnectionDenied::new(Denied(reason)))?;
        let Some(entered) = self.guests.get_mut(&id) else { return Ok(dummy::ConnectionHandler) };
        let origin = entered.origin;
        match &mut entered.visit {
            Some(visit) => visit.establish(),
            None => {
                let visit = self.admit(origin, Phase::Established)?;
                if let Some(entered) = self.guests.get_mut(&id) {
                    entered.visit = visit;
                }
            }
        }
        if let Some(entered) = self.guests.get_mut(&id) {
            entered.peer = Some(peer);
        }
        self.guard.connected(peer, origin);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _id: ConnectionId,
        _peer: libp2p::PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.forget(closed.connection_id),
            FromSwarm::ListenFailure(failure) => {
                let is_garbage = matches!(failure.error, ListenError::Transport(_));
                if let Some(origin) = Origin::of_multiaddr(failure.send_back_addr)
                    && is_garbage
                    && is_proven(failure.send_back_addr)
                {
                    self.guard.bad_handshake(origin);
                }
                self.forget(failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: libp2p::PeerId,
        _connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.guard.0.gate.register(cx.waker());
        while self.looks.poll_tick(cx).is_ready() {
            self.look();
        }
        let condemned = std::mem::take(&mut self.guard.lock().condemned);
        for peer in condemned {
            self.closing.extend(from_peer(&peer).map(|peer| (peer, CloseConnection::All)));
        }
        self.closing.pop_front().map_or(Poll::Pending, |(peer_id, connection)| {
            Poll::Ready(ToSwarm::CloseConnection { peer_id, connection })
        })
    }
}
