//! The side of one connection: negotiates streams and hands them over without passing the actor.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    io,
    task::{Context, Poll},
};

use cosmic_common::{id::PeerId, protocol::Protocol};
use libp2p::{
    StreamProtocol,
    core::upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

use super::Opening;
use crate::{
    command::answer,
    error::Error,
    incoming::Inlets,
    metrics::{Metrics, StreamOutcome},
    stream::{Stream, Usage},
};

/// Streams one connection may carry before further ones of the peer are dropped: half of the room in the
/// queue of a protocol, and more than any house of ours opens to one peer.
const STREAMS_MAX: usize = 128;

/// The handler of one connection.
pub(crate) struct Handler {
    peer: PeerId,
    inlets: Inlets,
    usage: Usage,
    metrics: Metrics,
    openings: VecDeque<Opening>,
}

/// The protocols this side offers.
#[derive(Debug)]
pub(crate) struct Offer(Vec<Protocol>);

impl Handler {
    pub(super) const fn new(peer: PeerId, inlets: Inlets, usage: Usage, metrics: Metrics) -> Self {
        Self { peer, inlets, usage, metrics, openings: VecDeque::new() }
    }

    fn stream(&self, protocol: Protocol, pipe: libp2p::Stream) -> Stream {
        Stream::new(self.peer, protocol, pipe.compat(), self.usage.clone(), self.metrics.by_swarm())
    }

    /// One connection must not take all the room that others share.
    fn accepted(&self, protocol: Protocol, pipe: libp2p::Stream) {
        if self.usage.streams() < STREAMS_MAX {
            self.inlets.put(self.stream(protocol, pipe));
        } else {
            self.metrics.stream(StreamOutcome::Busy);
        }
    }

    fn opened(&self, opening: Opening, pipe: libp2p::Stream) {
        self.metrics.stream(StreamOutcome::Opened);
        answer(opening.reply, Ok(self.stream(opening.protocol, pipe)));
    }

    fn refused(&self, opening: Opening, error: StreamUpgradeError<Infallible>) {
        self.metrics.stream(StreamOutcome::Failed);
        let error = match error {
            StreamUpgradeError::NegotiationFailed => {
                Error::Unsupported { peer: self.peer, protocol: opening.protocol }
            }
            StreamUpgradeError::Timeout => Error::lost(self.peer, io::ErrorKind::TimedOut.into()),
            StreamUpgradeError::Io(source) => Error::lost(self.peer, source),
            StreamUpgradeError::Apply(never) => match never {},
        };
        answer(opening.reply, Err(error));
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Opening;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offer;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opening;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Offer(self.inlets.open().collect()), ())
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Opening, Self::ToBehaviour>> {
        // No waker: the connection polls its handler after every event of the behaviour.
        self.openings.pop_front().map_or(Poll::Pending, |opening| {
            let upgrade = ReadyUpgrade::new(StreamProtocol::new(opening.protocol.as_str()));
            let protocol = SubstreamProtocol::new(upgrade, opening);
            Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
        })
    }

    fn on_behaviour_event(&mut self, opening: Opening) {
        self.openings.push_back(opening);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Opening>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (protocol, pipe),
                info: (),
            }) => self.accepted(protocol, pipe),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opened(info, protocol);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => self.refused(info, error),
            _ => {}
        }
    }
}

/// A protocol as libp2p's negotiation wants it.
#[derive(Debug, Clone)]
pub(crate) struct Name(Protocol);

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}

impl UpgradeInfo for Offer {
    type Info = Name;
    type InfoIter = std::iter::Map<std::vec::IntoIter<Protocol>, fn(Protocol) -> Name>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter().map(Name)
    }
}

impl InboundUpgrade<libp2p::Stream> for Offer {
    type Output = (Protocol, libp2p::Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, pipe: libp2p::Stream, name: Name) -> Self::Future {
        ready(Ok((name.0, pipe)))
    }
}
