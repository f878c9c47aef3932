//! What the swarm tells the actor.

use libp2p::{Multiaddr, core::ConnectedPoint, identify, ping, swarm::ConnectionError};

use super::{Actor, BehaviourEvent, ConnectionId, Event, OVERTAKEN_GRACE, SURPLUS_GRACE, SwarmEvent, Timer};
use crate::{
    address::{bare, from_multiaddr, is_circuit, is_loopback, to_peer, transport},
    behaviour::DIRECTORY,
    event::Direction,
    metrics::DialOutcome,
    peers::Connection,
    version::Version,
};

type FromSwarm = SwarmEvent<BehaviourEvent>;

impl Actor {
    pub(super) fn on_event(&mut self, event: FromSwarm) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(&peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                self.on_closed(&peer_id, connection_id, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id: Some(peer), error } => {
                if !self.probe_ended(connection_id, false)
                    && let Some(peer) = to_peer(&peer)
                    && let Some(next) = self.on_dial_failed(peer, connection_id, error)
                {
                    self.dial(peer, next);
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, %error, "refused a connection");
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                tracing::info!(%address, "listening");
                if !self.reservation_stands(listener_id) {
                    self.address_came(&address);
                }
                self.tell_listening();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "no longer listening");
                if !is_circuit(&address) {
                    self.address_went(&address);
                }
                self.tell_listening();
            }
            SwarmEvent::NewExternalAddrCandidate { address } => self.reaching.reach.candidate(&address),
            SwarmEvent::ExternalAddrConfirmed { address } => {
                tracing::info!(%address, "reachable from outside");
                self.tell_listening();
            }
            SwarmEvent::ExternalAddrExpired { .. } => self.tell_listening(),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener has trouble"),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                if !self.reservation_ended(listener_id)
                    && let Err(error) = reason
                {
                    tracing::error!(%error, "a listener has stopped; restart the process");
                }
            }
            _ => {}
        }
    }

    fn on_established(&mut self, peer: &libp2p::PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        // The streams behaviour refuses every other kind of key.
        let Some(peer) = to_peer(peer) else { return };
        let (direction, address) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (Direction::Outbound, address),
            // Of who comes through a relay nothing is known but the relay.
            ConnectedPoint::Listener { local_addr, .. } if endpoint.is_relayed() => {
                (Direction::Inbound, local_addr)
            }
            ConnectedPoint::Listener { send_back_addr, .. } => (Direction::Inbound, send_back_addr),
        };
        self.metrics.connected();
        if self.probe_ended(id, true) {
            self.swarm.close_connection(id);
            return;
        }
        if direction == Direction::Outbound {
            self.metrics.dialed(DialOutcome::Connected);
        }
        let connection = Connection { id, address: bare(address), direction };
        let told = from_multiaddr(&connection.address);
        let established = self.peers.established(peer, connection);
        for waiter in established.waiters {
            self.serve(peer, id, waiter);
        }
        if established.surplus {
            self.after(SURPLUS_GRACE, Timer::SurplusDue(peer));
        }
        if !self.peers.overtaken(&peer).is_empty() {
            self.after(OVERTAKEN_GRACE, Timer::OvertakenDue(peer));
        }
        if established.first
            && let Some(address) = told
        {
            tracing::debug!(peer = %peer.short(), %address, "connected");
            self.tell(Event::Connected { peer, address, direction });
        }
    }

    fn on_closed(&mut self, peer: &libp2p::PeerId, id: ConnectionId, cause: Option<&ConnectionError>) {
        let Some(peer) = to_peer(peer) else { return };
        self.metrics.disconnected();
        if let Some(gone) = self.peers.closed(&peer, id)
            && let Some(address) = from_multiaddr(&gone.address)
        {
            let cause = cause.map(ToString::to_string);
            tracing::debug!(peer = %peer.short(), cause, "disconnected");
            self.tell(Event::Disconnected { peer, address, direction: gone.direction });
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(
                identify::Event::Received { peer_id, info, .. }
                | identify::Event::Pushed { peer_id, info, .. },
            ) => self.on_introduction(&peer_id, info),
            BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
                ..
            }) => {
                // The system still believes in a TCP connection to a process that stands still. Its first failure is not
                // told, and the second is another: not even a stream for the next ping could be negotiated.
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Directory(event) => self.on_directory(event),
            BehaviourEvent::Relay(event) => self.on_relay(event),
            BehaviourEvent::Punching(event) => self.on_punched(&event),
            BehaviourEvent::Neighbours(event) => self.on_neighbours(event),
            BehaviourEvent::Router(event) => self.on_router(event),
            BehaviourEvent::Identify(_) | BehaviourEvent::Ping(_) | BehaviourEvent::Circuits(_) => {}
            BehaviourEvent::Gate(never) | BehaviourEvent::Limits(never) | BehaviourEvent::Streams(never) => {
                match never {}
            }
        }
    }

    /// A peer told where it listens: worth knowing, but only of itself and only what can be dialed.
    fn on_introduction(&mut self, named: &libp2p::PeerId, info: identify::Info) {
        let Some(peer) = to_peer(named) else { return };
        self.peers.runs(&peer, Version::of_agent(&info.agent_version));
        self.on_observed(peer, &info.observed_addr);
        let nearby = is_loopback(&info.observed_addr);
        let usable = |address: &Multiaddr| transport(address).is_some() && (nearby || !is_loopback(address));
        let mut addresses: Vec<Multiaddr> = info.listen_addrs.iter().map(bare).filter(usable).collect();
        addresses.truncate(cosmic_common::limit::ADDRESSES_MAX);
        if addresses.is_empty() {
            return;
        }
        if info.protocols.contains(&DIRECTORY) {
            self.server_introduced(named, &addresses);
        }
        self.told(peer, addresses.iter().cloned());
        let addresses = addresses.iter().filter_map(from_multiaddr).collect();
        self.tell(Event::AddressesTold { peer, addresses });
    }

    pub(super) fn tell_listening(&self) {
        let mut addresses: Vec<_> =
            self.swarm.listeners().filter_map(|found| from_multiaddr(&bare(found))).collect();
        for external in self.swarm.external_addresses().filter_map(|found| from_multiaddr(&bare(found))) {
            if !addresses.contains(&external) {
                addresses.push(external);
            }
        }
        self.listening.send_replace(addresses);
    }
}
