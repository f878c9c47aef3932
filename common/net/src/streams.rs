//! Opening and accepting streams: a libp2p behaviour that opens on a chosen connection.
//!
//! `libp2p-stream` opens on a random connection of a peer, drops inbound streams when one waits already
//! and never forgets closed connections (`docs/protocol/net.md`), so this room has its own.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
};

use cosmic_common::{id::PeerId, protocol::Protocol};
use libp2p::{
    Multiaddr,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use crate::{
    address::to_peer,
    command::Reply,
    error::Error,
    incoming::Inlets,
    metrics::Metrics,
    stream::{Stream, Usage},
};

mod handler;

pub(crate) use handler::Handler;

/// Somebody's wish for a stream.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) protocol: Protocol,
    pub(crate) reply: Reply<Stream>,
}

/// The behaviour.
pub(crate) struct Behaviour {
    inlets: Inlets,
    metrics: Metrics,
    /// How many streams each connection carries.
    usage: HashMap<ConnectionId, Usage>,
    /// Wishes on their way to the handlers; the swarm takes them as fast as they come.
    openings: VecDeque<(libp2p::PeerId, ConnectionId, Opening)>,
}

impl Behaviour {
    pub(crate) fn new(inlets: Inlets, metrics: Metrics) -> Self {
        Self { inlets, metrics, usage: HashMap::new(), openings: VecDeque::new() }
    }

    /// Opens a stream on this connection; the reply is dropped if the connection is gone by then.
    pub(crate) fn open(&mut self, peer: libp2p::PeerId, connection: ConnectionId, opening: Opening) {
        self.openings.push_back((peer, connection, opening));
    }

    /// How many streams live on a connection.
    pub(crate) fn streams(&self, connection: ConnectionId) -> usize {
        self.usage.get(&connection).map_or(0, Usage::streams)
    }

    fn handler(
        &mut self,
        connection: ConnectionId,
        peer: &libp2p::PeerId,
    ) -> Result<Handler, ConnectionDenied> {
        let peer: PeerId = to_peer(peer).ok_or_else(|| {
            ConnectionDenied::new(Error::Identity(Error::shared(std::io::Error::other("not an Ed25519 key"))))
        })?;
        let usage = Usage::default();
        self.usage.insert(connection, usage.clone());
        Ok(Handler::new(peer, self.inlets.clone(), usage, self.metrics.clone()))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(connection, &peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(connection, &peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => drop(self.usage.remove(&closed.connection_id)),
            // A connection another behaviour refused after this one had made its handler.
            FromSwarm::ListenFailure(failure) => drop(self.usage.remove(&failure.connection_id)),
            FromSwarm::DialFailure(failure) => drop(self.usage.remove(&failure.connection_id)),
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

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // No waker: the actor polls the swarm after every call of `open`.
        self.openings.pop_front().map_or(Poll::Pending, |(peer_id, connection, event)| {
            Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event })
        })
    }
}
