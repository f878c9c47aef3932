//! Being reached: reservations at relays, what servers say of the own addresses, neighbours, the router, and the moment at
//! which the way to everybody changes.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    pin::Pin,
    time::Duration,
};

use cosmic_common::{id::PeerId, protocol::REACH};
use cosmic_runtime::clock::{Clock, Monotonic};
use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{
    Multiaddr,
    core::transport::ListenerId,
    dcutr, mdns,
    multiaddr::Protocol as Part,
    relay,
    swarm::{
        ConnectionId, FromSwarm, NetworkBehaviour as _, NewExternalAddrCandidate,
        dial_opts::{DialOpts, PeerCondition},
    },
    upnp,
};
use tokio::sync::mpsc;

use super::{Actor, Timer, Waiter};
use crate::{
    address::{bare, circuit, from_multiaddr, from_peer, ip, is_circuit, is_loopback, to_peer},
    command::{Command, Reply, answer},
    incoming::Incoming,
    metrics::{CircuitOutcome, PunchOutcome},
    reach::{
        Reach, Reachability, SERVERS,
        service::{self, Answer},
    },
    relays::{RelayPeer, Relays},
    situation::{Path, Router, Situation},
};

/// How often relays and questions are looked after; a relay that is gone is replaced within this time.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the own addresses are tried again although nothing has changed that this process can see.
const TRY_AGAIN: Duration = Duration::from_secs(15 * 60);
/// Dials for others that may be under way.
const PROBES_MAX: usize = 64;
/// Questions of others that are answered at once.
const SERVED_MAX: usize = 64;
/// Peers of the local network that are remembered.
const NEARBY_MAX: usize = 256;
/// An address that goes is told by every listener; they all do it within this time.
const GOING: Duration = Duration::from_secs(1);

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;
type Asked = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What there is to know of being reached.
pub(super) struct Reaching {
    clock: Clock,
    relays: Relays,
    pub(super) reach: Reach,
    /// The listeners that are reservations.
    reservations: HashMap<ListenerId, PeerId>,
    /// Dials for others.
    probes: HashMap<ConnectionId, Reply<Option<bool>>>,
    inquiries: Option<Incoming>,
    commands: mpsc::WeakSender<Command>,
    served: FuturesUnordered<Served>,
    asked: FuturesUnordered<Asked>,
    /// The addresses that servers confirmed, as the swarm knows them.
    confirmed: Vec<Multiaddr>,
    tried: Option<Monotonic>,
    nearby: HashSet<PeerId>,
    router: Router,
    punched: [u64; 2],
    /// Peers with a reservation here.
    reserved: HashSet<libp2p::PeerId>,
    gone: Option<(IpAddr, Monotonic)>,
}

/// What happened.
pub(super) enum Happened {
    Inquiry(crate::Stream),
    Answer(Answer),
    Nothing,
}

impl Reaching {
    pub(super) fn new(
        local: PeerId,
        inquiries: Option<Incoming>,
        commands: mpsc::WeakSender<Command>,
    ) -> Self {
        Self {
            clock: Clock::system(),
            relays: Relays::new(local),
            reach: Reach::default(),
            reservations: HashMap::new(),
            probes: HashMap::new(),
            inquiries,
            commands,
            served: FuturesUnordered::new(),
            asked: FuturesUnordered::new(),
            confirmed: Vec::new(),
            tried: None,
            nearby: HashSet::new(),
            router: Router::default(),
            punched: [0; 2],
            reserved: HashSet::new(),
            gone: None,
        }
    }

    /// The next thing that happened. Safe to cancel.
    pub(super) async fn step(&mut self) -> Happened {
        let has_room = self.served.len() < SERVED_MAX;
        let inquiry = async {
            match &mut self.inquiries {
                Some(inquiries) if has_room => inquiries.next().await,
                _ => None,
            }
        };
        tokio::select! {
            Some(stream) = inquiry => Happened::Inquiry(stream),
            Some(()) = self.served.next() => Happened::Nothing,
            Some(answer) = self.asked.next() => Happened::Answer(answer),
            else => std::future::pending().await,
        }
    }
}

impl Actor {
    pub(super) fn begin_reaching(&mut self) {
        if self.config.circuits {
            self.after(LOOK_EVERY, Timer::ReachingDue);
        }
    }

    pub(super) fn set_relays(&mut self, relays: &[RelayPeer]) {
        self.reaching.relays.set(relays);
        // What is told of the ring comes in pieces: one that had no address may have one now.
        self.reaching.relays.forgive();
        self.reaching.reach.set_servers(self.reaching.relays.nearest(SERVERS));
        if self.config.circuits {
            self.reserve();
        }
    }

    pub(super) fn on_reaching(&mut self, happened: Happened) {
        match happened {
            Happened::Inquiry(stream) => {
                let serving = service::serve(stream, self.reaching.commands.clone());
                self.reaching.served.push(Box::pin(serving));
            }
            Happened::Answer(Answer { server, told: Some(told) }) => {
                self.reaching.reach.compared(server, told.ahead_ms);
                self.reaching.reach.answered(server, told.verdicts);
                self.tell_confirmed();
            }
            Happened::Answer(Answer { server, told: None }) => self.reaching.reach.silent(&server),
            Happened::Nothing => {}
        }
    }

    pub(super) fn on_reaching_due(&mut self) {
        let now = self.reaching.clock.monotonic();
        if self.reaching.tried.is_some_and(|tried| now.since(tried) >= TRY_AGAIN) {
            self.reaching.reach.again();
            self.reaching.tried = None;
        }
        self.reserve();
        self.inquire(now);
        self.after(LOOK_EVERY, Timer::ReachingDue);
    }

    /// Asks for the reservations that are missing.
    fn reserve(&mut self) {
        for relay in self.reaching.relays.wanted(self.reaching.clock.monotonic()) {
            self.want(relay, Waiter::Reserve);
        }
    }

    /// Asks a relay that is connected for a reservation.
    pub(super) fn reserve_at(&mut self, relay: PeerId) {
        let connected = self.peers.connection(&relay).filter(|connection| !connection.is_relayed());
        let address = connected.map(|connection| connection.address.clone());
        let asked = address
            .zip(from_peer(&relay))
            .map(|(address, named)| self.swarm.listen_on(circuit(&address, named)));
        match asked {
            Some(Ok(listener)) => drop(self.reaching.reservations.insert(listener, relay)),
            Some(Err(error)) => {
                tracing::debug!(relay = %relay.short(), %error, "a relay cannot be asked");
                self.relay_lost(relay);
            }
            None => self.relay_lost(relay),
        }
    }

    /// A relay is not reached, or has nothing left to give; others are asked when the next look is due.
    pub(super) fn relay_lost(&mut self, relay: PeerId) {
        self.reaching.relays.lost(&relay, self.reaching.clock.monotonic());
    }

    /// A peer sees this one at `address`.
    pub(super) fn on_observed(&mut self, peer: PeerId, address: &Multiaddr) {
        self.reaching.reach.observed(peer, address);
        // Who dials over QUIC alone never learns how its TCP port looks from outside; mostly as it is.
        let Some(host) = ip(address).filter(|_| self.config.circuits && !is_circuit(address)) else { return };
        let ports = self.swarm.listeners().filter_map(|listener| {
            listener.iter().find_map(|part| match part {
                Part::Tcp(port) if !is_circuit(listener) => Some(port),
                _ => None,
            })
        });
        let ports: HashSet<u16> = ports.collect();
        for port in ports {
            let candidate = Multiaddr::from(host).with(Part::Tcp(port));
            self.reaching.reach.candidate(&candidate);
            if let Some(punching) = self.swarm.behaviour_mut().punching.as_mut() {
                let told = NewExternalAddrCandidate { addr: &candidate };
                punching.on_swarm_event(FromSwarm::NewExternalAddrCandidate(told));
            }
        }
    }

    /// A listener has got an address: whether it is a reservation.
    pub(super) fn reservation_stands(&mut self, listener: ListenerId) -> bool {
        let Some(relay) = self.reaching.reservations.get(&listener) else { return false };
        self.reaching.relays.granted(relay);
        true
    }

    /// A listener has ended: whether it was a reservation, which is then made elsewhere.
    pub(super) fn reservation_ended(&mut self, listener: ListenerId) -> bool {
        let Some(relay) = self.reaching.reservations.remove(&listener) else { return false };
        tracing::debug!(relay = %relay.short(), "a reservation has ended");
        self.relay_lost(relay);
        self.reserve();
        true
    }

    /// Asks servers about the own addresses that they have not been asked about.
    fn inquire(&mut self, now: Monotonic) {
        for (server, addresses) in self.reaching.reach.questions() {
            self.reaching.tried.get_or_insert(now);
            let (reply, opening) = tokio::sync::oneshot::channel();
            self.want(server, Waiter::Open(REACH, reply));
            self.reaching.asked.push(Box::pin(service::inquire(server, addresses, opening)));
        }
    }

    /// Tells the swarm, and by it everybody, which addresses are good.
    fn tell_confirmed(&mut self) {
        let confirmed = self.reaching.reach.confirmed();
        for address in confirmed.iter().filter(|address| !self.reaching.confirmed.contains(address)) {
            self.swarm.add_external_address(address.clone());
        }
        for address in self.reaching.confirmed.iter().filter(|address| !confirmed.contains(address)) {
            self.swarm.remove_external_address(address);
        }
        self.reaching.confirmed = confirmed;
        self.reaching.relays.set_public(self.reaching.reach.state() == Reachability::Public);
        self.tell_listening();
    }

    /// Dials a peer at an address of its own host from a new port, if it may.
    pub(super) fn probe(&mut self, peer: PeerId, address: Multiaddr, reply: Reply<Option<bool>>) {
        let from = self.peers.connection(&peer).filter(|connection| !connection.is_relayed());
        // Another host's address would make this process throw packets at strangers.
        let is_its_own = !is_circuit(&address)
            && from
                .and_then(|connection| ip(&connection.address))
                .is_some_and(|host| ip(&address) == Some(host));
        let named = from_peer(&peer).filter(|_| is_its_own && self.reaching.probes.len() < PROBES_MAX);
        let Some(named) = named else { return answer(reply, Ok(None)) };
        let dial = DialOpts::peer_id(named)
            .condition(PeerCondition::Always)
            .addresses(vec![address])
            .allocate_new_port()
            .build();
        let id = dial.connection_id();
        match self.swarm.dial(dial) {
            Ok(()) => drop(self.reaching.probes.insert(id, reply)),
            Err(error) => {
                tracing::debug!(%error, "an address of a peer is not tried");
                answer(reply, Ok(None));
            }
        }
    }

    /// A dial has ended: whether it was one for somebody else.
    pub(super) fn probe_ended(&mut self, dial: ConnectionId, reached: bool) -> bool {
        let Some(reply) = self.reaching.probes.remove(&dial) else { return false };
        answer(reply, Ok(Some(reached)));
        true
    }

    /// This machine has a new address.
    pub(super) fn address_came(&mut self, address: &Multiaddr) {
        // A supernode is reachable where it listens, unless its operator named other places.
        let is_told = self.config.external.is_empty() && !self.is_mere_loopback(address);
        if self.config.relay.enabled && is_told {
            self.swarm.add_external_address(bare(address));
        }
        self.way_changed();
    }

    /// This machine has lost an address: what went out by it is dead, although nobody has said so.
    pub(super) fn address_went(&mut self, address: &Multiaddr) {
        self.swarm.remove_external_address(address);
        let (Some(host), now) = (ip(address), self.reaching.clock.monotonic()) else { return };
        let told = self.reaching.gone.is_some_and(|(gone, at)| gone == host && now.since(at) < GOING);
        if told || host.is_loopback() {
            return;
        }
        self.reaching.gone = Some((host, now));
        let dead: Vec<_> = self.peers.over_the_network().map(|connection| connection.id).collect();
        tracing::info!(%host, connections = dead.len(), "the way to others has changed; connecting anew");
        for connection in dead {
            self.swarm.close_connection(connection);
        }
        self.way_changed();
    }

    fn way_changed(&mut self) {
        self.reaching.reach.forget();
        self.reaching.relays.forgive();
        self.reaching.tried = None;
        self.tell_confirmed();
    }

    /// Whether `address` is one of this machine alone, found because all addresses are listened on.
    fn is_mere_loopback(&self, address: &Multiaddr) -> bool {
        let said = ip(address).map(|host| format!("/{host}/"));
        let is_meant =
            said.is_some_and(|said| self.config.listen.iter().any(|listen| listen.as_str().contains(&said)));
        is_loopback(address) && !is_meant
    }

    pub(super) fn on_relay(&mut self, event: relay::Event) {
        use relay::Event as Told;
        match event {
            Told::ReservationReqAccepted { src_peer_id, .. } => {
                self.reaching.reserved.insert(src_peer_id);
            }
            Told::ReservationClosed { src_peer_id } | Told::ReservationTimedOut { src_peer_id } => {
                self.reaching.reserved.remove(&src_peer_id);
            }
            Told::ReservationReqDenied { .. } => self.metrics.circuit(CircuitOutcome::ReservationRefused),
            Told::CircuitReqDenied { .. } => self.metrics.circuit(CircuitOutcome::Refused),
            Told::CircuitReqAccepted { .. } => self.metrics.circuit(CircuitOutcome::Opened),
            Told::CircuitClosed { .. } => self.metrics.circuit(CircuitOutcome::Closed),
            _ => {}
        }
        self.metrics.reservations(self.reaching.reserved.len());
    }

    pub(super) fn on_punched(&mut self, event: &dcutr::Event) {
        let nat = self.reaching.reach.nat(self.swarm.listeners());
        let [failed, punched] = &mut self.reaching.punched;
        let outcome = match &event.result {
            Ok(_connection) => {
                *punched += 1;
                PunchOutcome::Punched
            }
            Err(error) => {
                tracing::debug!(peer = %event.remote_peer_id, %error, "no hole was punched");
                *failed += 1;
                PunchOutcome::Failed
            }
        };
        self.metrics.punched(nat, outcome);
    }

    pub(super) fn on_neighbours(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    let Some(peer) = to_peer(&peer) else { continue };
                    if self.reaching.nearby.len() < NEARBY_MAX && self.reaching.nearby.insert(peer) {
                        tracing::debug!(peer = %peer.short(), "a peer of the local network");
                    }
                    self.told(peer, [bare(&address)]);
                }
            }
            mdns::Event::Expired(gone) => {
                for peer in gone.iter().filter_map(|(peer, _)| to_peer(peer)) {
                    self.reaching.nearby.remove(&peer);
                }
            }
        }
    }

    pub(super) fn on_router(&mut self, event: upnp::Event) {
        match event {
            upnp::Event::NewExternalAddr { external_addr, .. } => {
                tracing::info!(address = %external_addr, "the router gave a port");
                self.reaching.router = Router::Mapped;
                self.reaching.reach.candidate(&external_addr);
            }
            upnp::Event::ExpiredExternalAddr { .. } => self.reaching.router = Router::Silent,
            upnp::Event::GatewayNotFound => self.reaching.router = Router::Absent,
            upnp::Event::NonRoutableGateway => self.reaching.router = Router::Nested,
        }
    }

    pub(super) fn situation(&mut self) -> Situation {
        let directory = self.health();
        let [not_punched, punched] = self.reaching.punched;
        let paths = self.peers.connected().filter_map(|peer| {
            let connection = self.peers.connection(&peer)?;
            let address = from_multiaddr(&connection.address)?;
            let (direction, relayed) = (connection.direction, connection.is_relayed());
            Some(Path { peer, address, direction, relayed, version: self.peers.version(&peer) })
        });
        Situation {
            reachability: self.reaching.reach.state(),
            nat: self.reaching.reach.nat(self.swarm.listeners()),
            external: self.reaching.confirmed.iter().filter_map(from_multiaddr).collect(),
            reservations: self.reaching.relays.standing().collect(),
            relays_known: self.reaching.relays.known(),
            punched,
            not_punched,
            nearby: self.reaching.nearby.len(),
            router: self.reaching.router,
            clock: self.reaching.reach.clock(),
            directory,
            paths: paths.collect(),
        }
    }
}
