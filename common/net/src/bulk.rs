//! The bulk plane: QUIC on a port of its own for streams that move objects and shards, which the swarm then need not carry.
//!
//! ```text
//! stream wanted ──▶ a connection stands ──────────────────────────▶ stream
//!        │                                                            ▲
//!        └─▶ ask the peer over the swarm where its plane is ─▶ dial ──┘
//!                 │ it has none                           │ no answer
//!                 └──────▶ by the swarm, and so for a while ◀──┘
//! ```
//!
//! The stream of the swarm on which a peer told its port stays open as long as the connection: a **leash**. The listening
//! side lets nobody in without one, so the limits of the swarm are those of the plane, and the end of the peer, which
//! the swarm notices at once over TCP, ends both.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cosmic_common::{
    address::Address,
    id::PeerId,
    protocol::{BULK, Protocol},
};
use libp2p::{Multiaddr, identity::Keypair, multiaddr::Protocol as Part};
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig};
use tokio::sync::mpsc;

use self::{
    link::Link,
    links::{Links, Place},
    tls::Tls,
};
use crate::{
    address::host,
    command::{Command, ask},
    config::Config,
    error::Error,
    event::Direction,
    incoming::{Incoming, Inlets},
    metrics::{Fallback, Metrics, StreamOutcome},
    stream::Stream,
};

mod endpoint;
mod hello;
mod link;
mod links;
mod pipe;
mod service;
mod tls;

pub(crate) use service::Service;

/// How long a peer may take to say where its plane is and to answer there, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(5);
/// A dial that got less time says nothing about the way: one lost packet costs a second.
const FAIR_CHANCE: Duration = Duration::from_secs(1);
/// For how long a peer without a plane, or one that does not answer, is not asked again.
const AVOID: Duration = Duration::from_secs(300);
/// Work that may wait for the service; then dials wait in turn.
const CHORES_MAX: usize = 64;

/// The side of the plane that handles use.
pub(crate) struct Plane {
    shared: Arc<Shared>,
    chores: mpsc::Sender<Chore>,
}

/// What the plane knows, for handles and the service.
struct Shared {
    /// Taken at the end, so that the port is free although handles still live.
    endpoint: Mutex<Option<Endpoint>>,
    address: Option<SocketAddr>,
    tls: Tls,
    transport: Arc<TransportConfig>,
    links: Arc<Links>,
    metrics: Metrics,
}

/// Work for the service.
enum Chore {
    /// Serve a connection of ours until this leash of it ends.
    Serve(Place, Stream),
    /// Forget after a while that the plane of a peer is not to be had.
    Forgive(PeerId),
}

/// Why a stream does not travel by the plane.
pub(crate) enum Miss {
    /// It can travel by the swarm.
    Fallback(Fallback),
    /// It can not.
    Error(Error),
}

/// Binds the port of the plane.
pub(crate) fn bind(
    identity: &Keypair,
    config: &Config,
    inlets: Inlets,
    introductions: Option<Incoming>,
    metrics: Metrics,
) -> Result<(Plane, Service), Error> {
    let (tls, transport) = (Tls::new(identity)?, endpoint::transport());
    let server = match config.bulk_listen {
        Some(_) => Some(server_config(&tls, &transport, config)?),
        None => None,
    };
    let bound = endpoint::bind(config.bulk_listen, server)
        .and_then(|endpoint| endpoint.local_addr().map(|address| (endpoint, address)));
    let (endpoint, address) = bound.map_err(|cause| match config.bulk_listen.map(written) {
        Some(Some(address)) => Error::Listen { address, source: Error::shared(cause) },
        _ => Error::Transport { transport: "bulk", source: Error::shared(cause) },
    })?;
    let shared = Arc::new(Shared {
        endpoint: Mutex::new(Some(endpoint.clone())),
        address: config.bulk_listen.map(|_| address),
        tls,
        transport,
        links: Arc::new(Links::new(config)),
        metrics,
    });
    if let Some(address) = shared.address {
        tracing::info!(%address, "listening for bulk");
    }
    let (chores, queue) = mpsc::channel(CHORES_MAX);
    let service = Service::new(Arc::clone(&shared), endpoint, config, inlets, (introductions, queue));
    Ok((Plane { shared, chores }, service))
}

fn server_config(
    tls: &Tls,
    transport: &Arc<TransportConfig>,
    config: &Config,
) -> Result<ServerConfig, Error> {
    let mut server = ServerConfig::with_crypto(Arc::new(tls.server()?));
    let pending = usize::try_from(config.pending_in_max).unwrap_or(usize::MAX);
    server.transport_config(Arc::clone(transport)).max_incoming(pending);
    Ok(server)
}

/// An address of the plane as others are written.
fn written(address: SocketAddr) -> Option<Address> {
    format!("{}/udp/{}/quic-v1", host(address.ip()), address.port()).parse().ok()
}

impl Plane {
    /// Where others reach the plane of this process.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.shared.address
    }

    /// Opens a stream of `protocol`, at the connection that stands or at a new one, which must then answer
    /// within `patience`.
    ///
    /// # Errors
    /// [`Miss`], counted.
    pub(crate) async fn open(
        &self,
        swarm: &mpsc::Sender<Command>,
        peer: PeerId,
        protocol: Protocol,
        patience: Duration,
    ) -> Result<Stream, Miss> {
        let opened = self.open_or_reopen(swarm, peer, protocol, patience.min(PATIENCE)).await;
        match &opened {
            Ok(_) => self.shared.metrics.stream(StreamOutcome::Opened),
            Err(Miss::Fallback(reason)) => {
                tracing::debug!(peer = %peer.short(), %protocol, ?reason, "by the swarm instead");
                self.shared.metrics.fell_back(*reason);
            }
            Err(Miss::Error(_)) => self.shared.metrics.stream(StreamOutcome::Failed),
        }
        opened
    }

    /// A connection may end just when it was chosen: then a new one serves.
    async fn open_or_reopen(
        &self,
        swarm: &mpsc::Sender<Command>,
        peer: PeerId,
        protocol: Protocol,
        patience: Duration,
    ) -> Result<Stream, Miss> {
        for _ in 0..2 {
            let link = match self.shared.links.best(&peer) {
                Some(link) => link,
                None => self.dial(swarm, peer, patience).await?,
            };
            match link.open(protocol, &self.shared.metrics).await {
                Err(Error::Lost { .. }) => {}
                opened => return opened.map_err(Miss::Error),
            }
        }
        Err(Miss::Fallback(Fallback::Lost))
    }

    /// Everybody who wants one peer waits for one dial.
    async fn dial(
        &self,
        swarm: &mpsc::Sender<Command>,
        peer: PeerId,
        patience: Duration,
    ) -> Result<Arc<Link>, Miss> {
        let links = &self.shared.links;
        let turn = links.turn(peer);
        let _turn = turn.lock().await;
        if let Some(link) = links.best(&peer) {
            return Ok(link);
        }
        if let Some(reason) = links.avoided(&peer) {
            return Err(Miss::Fallback(reason));
        }
        let leash = match leash(swarm, peer).await {
            Err(Miss::Fallback(Fallback::Unsupported)) => {
                self.avoid(peer, Fallback::Unsupported);
                return Err(Miss::Fallback(Fallback::Unsupported));
            }
            other => other?,
        };
        match tokio::time::timeout(patience, self.connect(swarm, leash)).await {
            Ok(connected) => connected,
            Err(_elapsed) => {
                if patience >= FAIR_CHANCE {
                    self.avoid(peer, Fallback::Unreachable);
                }
                Err(Miss::Fallback(Fallback::Unreachable))
            }
        }
    }

    /// Learns where the plane of the peer is, and dials it there.
    async fn connect(&self, swarm: &mpsc::Sender<Command>, mut leash: Stream) -> Result<Arc<Link>, Miss> {
        let peer = leash.peer();
        let address = locate(swarm, &mut leash).await?;
        let endpoint = self.shared.endpoint().ok_or(Miss::Error(Error::Stopped))?;
        let crypto = self.shared.tls.client(peer).map_err(Miss::Error)?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::clone(&self.shared.transport));
        let unreachable = |cause: &dyn fmt::Display| {
            tracing::debug!(peer = %peer.short(), %address, %cause, "its bulk port does not serve");
            self.avoid(peer, Fallback::Unreachable);
            Miss::Fallback(Fallback::Unreachable)
        };
        let connecting =
            endpoint.connect_with(config, address, tls::SERVER_NAME).map_err(|cause| unreachable(&cause))?;
        let connection = connecting.await.map_err(|cause| unreachable(&cause))?;
        let place = self.shared.links.admit(Link::new(peer, Direction::Outbound, connection));
        let place = place.ok_or(Miss::Fallback(Fallback::Busy))?;
        let link = Arc::clone(&place.link);
        let chore = Chore::Serve(place, leash);
        self.chores.send(chore).await.map_err(|_closed| Miss::Error(Error::Stopped))?;
        Ok(link)
    }

    /// Does not try `peer` again for a while.
    fn avoid(&self, peer: PeerId, reason: Fallback) {
        let links = &self.shared.links;
        if links.avoid(peer, reason) && self.chores.try_send(Chore::Forgive(peer)).is_err() {
            // Nobody would ever forgive.
            links.forgive(&peer);
        }
    }
}

impl Shared {
    fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The stream on which `peer` tells where its plane is.
async fn leash(swarm: &mpsc::Sender<Command>, peer: PeerId) -> Result<Stream, Miss> {
    let opened = ask(swarm, |reply| Command::Open { peer, protocol: BULK, reply }).await;
    opened.map_err(|error| match error {
        Error::Unsupported { .. } => Miss::Fallback(Fallback::Unsupported),
        // The next connection of the swarm may serve.
        Error::Lost { .. } | Error::Stopped => Miss::Fallback(Fallback::Lost),
        error => Miss::Error(error),
    })
}

/// The port the peer tells, at the host where the swarm reaches it.
async fn locate(swarm: &mpsc::Sender<Command>, leash: &mut Stream) -> Result<SocketAddr, Miss> {
    let peer = leash.peer();
    let told = leash.recv(hello::PORT_BYTES).await;
    let port = told.ok().flatten().and_then(|frame| hello::read_port(&frame));
    let port = port.ok_or(Miss::Fallback(Fallback::Lost))?;
    let located = ask(swarm, |reply| Command::Locate { peer, reply }).await;
    let address = located.map_err(|_gone| Miss::Fallback(Fallback::Lost))?;
    let host = resolve(&address).await.ok_or(Miss::Fallback(Fallback::Unreachable))?;
    Ok(SocketAddr::new(host, port))
}

/// The host of an address; names are asked of the system's resolver, as the swarm did.
async fn resolve(address: &Multiaddr) -> Option<IpAddr> {
    let (name, is_usable): (_, fn(&SocketAddr) -> bool) = match address.iter().next()? {
        Part::Ip4(ip) => return Some(ip.into()),
        Part::Ip6(ip) => return Some(IpAddr::from(ip).to_canonical()),
        Part::Dns4(name) => (name, SocketAddr::is_ipv4),
        Part::Dns6(name) => (name, SocketAddr::is_ipv6),
        Part::Dns(name) => (name, |_any| true),
        _ => return None,
    };
    let found = tokio::net::lookup_host((name.as_ref(), 0)).await.ok()?.find(is_usable);
    found.map(|address| address.ip())
}

#[cfg(test)]
mod tests;
