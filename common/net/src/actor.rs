//! The actor: owns the swarm alone, performs what handles ask and tells what happened.

use std::{ffi::OsStr, pin::Pin, sync::Arc, time::Duration};

use cosmic_common::{
    address::Address,
    id::PeerId,
    protocol::{BULK, DIRECTORY, Protocol, REACH},
};
use cosmic_identity::key::SecretKey;
use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{
    Swarm,
    core::transport::ListenerId,
    identity::Keypair,
    swarm::{
        ConnectionId, DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::sync::{broadcast, mpsc, watch};

use crate::{
    address::{dialable, from_peer, to_multiaddr},
    behaviour::{self, Behaviour, BehaviourEvent},
    bulk::{self, Service},
    command::{COMMANDS_MAX, Command, Reply, answer},
    config::Config,
    directory::{Validator, searches::Searches},
    error::Error,
    event::{EVENTS_MAX, Event},
    guard::Guard,
    handle::{Backend, Handle, Swarm as Door},
    incoming::Inlets,
    metrics::{DialOutcome, Metrics},
    peers::{Failed, Peers, Want},
    queries::Queries,
    stream::Stream,
    streams::Opening,
};

mod directory;
mod events;
mod reaching;

use directory::Desk;
use reaching::Reaching;

/// A surplus connection may still be chosen by a peer that has not seen the better one; by then it has.
const SURPLUS_GRACE: Duration = Duration::from_secs(2);
/// How long another transport may still take after a port was refused: the process is most likely not there, and QUIC,
/// which hears no refusals, would take five seconds to see it. Several round trips around the world fit.
const REFUSED_GRACE: Duration = Duration::from_secs(1);
/// How long a peer whose port was refused is not dialed again, unless it is heard of.
const AWAY: Duration = Duration::from_secs(2);
/// How long what is under way on a circuit may go on after a direct connection has overtaken it.
const OVERTAKEN_GRACE: Duration = Duration::from_secs(5);
/// How long shutting down waits for connections to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a process brings to its network.
pub struct Options<'a> {
    /// The device key, which is the network identity.
    pub key: &'a SecretKey,
    /// The settings.
    pub config: Config,
    /// The protocols others may open streams of.
    pub protocols: &'a [Protocol],
    /// Who judges directory records.
    pub validator: Arc<dyn Validator>,
    /// Where the network counts.
    pub metrics: Metrics,
}

/// The owner of the swarm; [`run`](Self::run) is a task of the house.
pub struct Actor {
    swarm: Swarm<Behaviour>,
    config: Config,
    commands: mpsc::Receiver<Command>,
    events: broadcast::Sender<Event>,
    listening: watch::Sender<Vec<Address>>,
    metrics: Metrics,
    peers: Peers<Waiter>,
    guard: Guard,
    queries: Queries,
    searches: Arc<Searches>,
    directory: Desk,
    bulk: Option<Service>,
    reaching: Reaching,
    timers: FuturesUnordered<Pin<Box<dyn Future<Output = Timer> + Send>>>,
}

/// Who waits for a connection.
#[derive(Debug)]
enum Waiter {
    Connect(Reply<()>),
    Open(Protocol, Reply<Stream>),
    /// This process itself, for a reservation.
    Reserve,
    /// This process itself, for a server of the directory that an earlier run knew.
    Recall,
}

/// What is due.
#[derive(Debug, Clone, Copy)]
enum Timer {
    HeadStartOver(PeerId),
    SurplusDue(PeerId),
    OvertakenDue(PeerId),
    ReachingDue,
    RefusalStands(PeerId),
    AwayOver(PeerId),
    RecallOver,
}

/// Binds every listening address and gives the handle, and the actor that has to be run.
///
/// # Errors
/// [`Error::Identity`], [`Error::Transport`], [`Error::Address`], or [`Error::Listen`] when a port is taken.
pub async fn bind(options: Options<'_>) -> Result<(Handle, Actor), Error> {
    let Options { key, config, protocols, validator, metrics } = options;
    prepare_tls()?;
    let peer = key.peer_id();
    let keypair =
        Keypair::ed25519_from_bytes(*key.seed()).map_err(|cause| Error::Identity(Error::shared(cause)))?;
    let told = config.bulk && config.bulk_listen.is_some();
    let introductions: &[Protocol] = if told { &[BULK] } else { &[] };
    let guard = Guard::new(config.guard, config.connections_in_all(), metrics.clone());
    let inquiries: &[Protocol] = if config.directory_server { &[REACH] } else { &[] };
    // Who names the protocol among his own answers for himself, as liars in tests do.
    let directory = config.directory_server && !protocols.contains(&DIRECTORY);
    let questions: &[Protocol] = if directory { &[DIRECTORY] } else { &[] };
    let served = [protocols, introductions, inquiries, questions].concat();
    let (inlets, mut incoming) = Inlets::new(&served, &metrics, guard.clone());
    let introductions = if told { incoming.remove(&BULK) } else { None };
    let inquiries = if config.directory_server { incoming.remove(&REACH) } else { None };
    let questions = if directory { incoming.remove(&DIRECTORY) } else { None };
    let (plane, service) = if config.bulk {
        let bound = bulk::bind(&keypair, &config, inlets.clone(), introductions, metrics.clone())?;
        (Some(bound.0), Some(bound.1))
    } else {
        (None, None)
    };
    let swarm = behaviour::swarm(keypair, &config, (inlets, Arc::clone(&validator)), metrics.clone())?;
    let (commands, queue) = mpsc::channel(COMMANDS_MAX);
    let (events, _) = broadcast::channel(EVENTS_MAX);
    let (listening, listening_now) = watch::channel(Vec::new());
    let subscribe = events.downgrade();
    let searches = Arc::new(Searches::new(Arc::clone(&validator), metrics.directory.clone()));
    let reaching = Reaching::new(peer, inquiries, commands.downgrade());
    let mut actor = Actor {
        swarm,
        peers: Peers::new(peer, config.prefer),
        config,
        commands: queue,
        events,
        listening,
        metrics: metrics.clone(),
        guard: guard.clone(),
        queries: Queries::new(metrics.directory.clone()),
        searches: Arc::clone(&searches),
        directory: Desk::new(questions, commands.downgrade()),
        bulk: service,
        reaching,
        timers: FuturesUnordered::new(),
    };
    actor.listen().await?;
    actor.begin_reaching();
    let door = Backend::Swarm(Door { commands, bulk: plane, searches });
    Ok((Handle::new((peer, guard), door, incoming, subscribe, listening_now), actor))
}

/// Chooses one provider of cryptography for the process, since two are compiled in, and refuses to write
/// session keys to a file.
fn prepare_tls() -> Result<(), Error> {
    may_log_keys(cfg!(debug_assertions), std::env::var_os("SSLKEYLOGFILE").as_deref())?;
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::trace!("a provider of cryptography was chosen before");
    }
    Ok(())
}

/// Session keys go to a file only from a build for debugging.
const fn may_log_keys(debugs: bool, file: Option<&OsStr>) -> Result<(), Error> {
    if debugs || file.is_none() { Ok(()) } else { Err(Error::KeyLog) }
}

async fn step(bulk: &mut Option<Service>) {
    match bulk {
        Some(service) => service.step().await,
        None => std::future::pending().await,
    }
}

impl Actor {
    /// Works until `shutdown` is done or every handle is gone, then says goodbye to the peers.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(timer) = self.timers.next() => self.on_timer(timer),
                happened = self.reaching.step() => self.on_reaching(happened),
                stream = self.directory.step() => self.on_question(stream),
                () = step(&mut self.bulk) => {}
            }
        }
        if let Some(bulk) = self.bulk.take() {
            bulk.close(GOODBYE).await;
        }
        self.say_goodbye().await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::AddAddresses { peer, addresses, reply } => {
                self.told(peer, dialable(&peer, &addresses));
                answer(reply, Ok(()));
            }
            Command::AddExternalAddress { address, reply } => {
                answer(reply, to_multiaddr(&address).map(|address| self.swarm.add_external_address(address)));
            }
            Command::Connect { peer, addresses, reply } => {
                self.told(peer, dialable(&peer, &addresses));
                self.want(peer, Waiter::Connect(reply));
            }
            Command::Open { peer, protocol, reply } => self.want(peer, Waiter::Open(protocol, reply)),
            Command::Locate { peer, reply } => {
                let direct = self.peers.connection(&peer).filter(|connection| !connection.is_relayed());
                let address = direct.map(|connection| connection.address.clone());
                answer(reply, address.ok_or(Error::Lost { peer, source: None }));
            }
            Command::SetRelays { relays, reply } => {
                self.set_relays(&relays);
                answer(reply, Ok(()));
            }
            Command::Probe { peer, address, reply } => self.probe(peer, address, reply),
            Command::Situation { reply } => answer(reply, Ok(self.situation())),
            Command::Disconnect { peer, reply } => {
                if let Some(peer) = from_peer(&peer)
                    && self.swarm.disconnect_peer_id(peer).is_err()
                {
                    tracing::trace!("the peer was not connected");
                }
                answer(reply, Ok(()));
            }
            Command::Connected { reply } => answer(reply, Ok(self.peers.connected().collect())),
            Command::Remember { snapshot, reply } => {
                self.remember(snapshot);
                answer(reply, Ok(()));
            }
            Command::Snapshot { reply } => answer(reply, Ok(self.snapshot())),
            Command::Know { question, by: Some(peer), reply } => {
                answer(reply, Ok(self.know(question, Some(peer))));
            }
            question @ (Command::Bootstrap { .. } | Command::Know { by: None, .. }) => {
                self.ask_directory(question);
            }
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::HeadStartOver(peer) => {
                if let Some(addresses) = self.peers.head_start_over(&peer) {
                    self.dial(peer, addresses);
                }
            }
            Timer::SurplusDue(peer) => self.close_surplus(peer),
            Timer::OvertakenDue(peer) => {
                for circuit in self.peers.overtaken(&peer) {
                    self.swarm.close_connection(circuit);
                }
            }
            Timer::ReachingDue => self.on_reaching_due(),
            Timer::RefusalStands(peer) => {
                let waiters = self.peers.refusal_stands(&peer);
                if !waiters.is_empty() {
                    self.after(AWAY, Timer::AwayOver(peer));
                }
                waiters.into_iter().for_each(|waiter| self.refuse(peer, waiter, away(peer)));
            }
            Timer::AwayOver(peer) => self.peers.forgive(&peer),
            Timer::RecallOver => self.ask_what_waits(),
        }
    }

    /// Serves somebody at once, or when the shared dial has succeeded.
    fn want(&mut self, peer: PeerId, waiter: Waiter) {
        if self.peers.is_local(&peer) {
            return self.refuse(peer, waiter, Error::OwnPeer);
        }
        match self.peers.want(peer, waiter) {
            Want::Connected(waiter, connection) => self.serve(peer, connection, waiter),
            Want::Dial(addresses) => self.dial(peer, addresses),
            Want::Join => {}
            Want::Away(waiter) => self.refuse(peer, waiter, away(peer)),
            Want::Busy(waiter) => {
                let busy = Error::Busy { queue: "the list of those who wait for dials" };
                self.refuse(peer, waiter, busy);
            }
        }
    }

    fn serve(&mut self, peer: PeerId, connection: ConnectionId, waiter: Waiter) {
        match waiter {
            Waiter::Connect(reply) => answer(reply, Ok(())),
            Waiter::Reserve => self.reserve_at(peer),
            // Its introduction follows.
            Waiter::Recall => {}
            // Who has left by now must not get a stream that nobody would ever read.
            Waiter::Open(_, reply) if reply.is_closed() => {}
            Waiter::Open(protocol, reply) => {
                if let Some(peer) = from_peer(&peer) {
                    let opening = Opening { protocol, reply };
                    self.swarm.behaviour_mut().streams.open(peer, connection, opening);
                }
            }
        }
    }

    /// A peer may be reached there as well; a dial that is under way goes on with it.
    fn told(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = libp2p::Multiaddr>) {
        if self.peers.told(peer, addresses) {
            self.after(self.config.head_start(), Timer::HeadStartOver(peer));
        }
    }

    /// Tells somebody that no connection comes about.
    fn refuse(&mut self, peer: PeerId, waiter: Waiter, error: Error) {
        match waiter {
            Waiter::Connect(reply) => answer(reply, Err(error)),
            Waiter::Open(_, reply) => answer(reply, Err(error)),
            Waiter::Reserve => self.relay_lost(peer),
            Waiter::Recall => {
                tracing::debug!(peer = %peer.short(), %error, "a server of the directory is not there");
            }
        }
    }

    fn dial(&mut self, peer: PeerId, addresses: Vec<libp2p::Multiaddr>) {
        let mut addresses = addresses;
        loop {
            let Some(named) = from_peer(&peer) else {
                let cause = std::io::Error::other("its id is not a point of the curve");
                return self.dials_failed(peer, Error::Unreachable { peer, source: Error::shared(cause) });
            };
            let from_directory = addresses.is_empty();
            let options = DialOpts::peer_id(named).condition(PeerCondition::Always).addresses(addresses);
            let options =
                if from_directory { options.extend_addresses_through_behaviour() } else { options }.build();
            let dial = options.connection_id();
            self.peers.dialing(peer, dial);
            let Err(error) = self.swarm.dial(options) else { break };
            match self.on_dial_failed(peer, dial, error) {
                Some(next) => addresses = next,
                None => return,
            }
        }
        if self.peers.has_later(&peer) {
            self.after(self.config.head_start(), Timer::HeadStartOver(peer));
        }
    }

    /// What to dial next, if anything.
    fn on_dial_failed(
        &mut self,
        peer: PeerId,
        dial: ConnectionId,
        error: DialError,
    ) -> Option<Vec<libp2p::Multiaddr>> {
        self.metrics.dialed(DialOutcome::Failed);
        if let DialError::Transport(attempts) = &error {
            for (address, _) in attempts {
                self.peers.book.failed(&peer, &crate::address::bare(address));
            }
            let refused = attempts.iter().any(|(_, cause)| is_refusal(cause));
            if refused && self.peers.refused(&peer) {
                self.after(REFUSED_GRACE, Timer::RefusalStands(peer));
            }
        }
        match self.peers.failed(&peer, dial) {
            Failed::Dial(addresses) => return Some(addresses),
            Failed::Wait => {}
            Failed::Refuse(waiters) => {
                let error = match error {
                    DialError::NoAddresses => Error::NoAddress { peer },
                    other => Error::Unreachable { peer, source: Error::shared(other) },
                };
                waiters.into_iter().for_each(|waiter| self.refuse(peer, waiter, error.clone()));
            }
        }
        None
    }

    fn dials_failed(&mut self, peer: PeerId, error: Error) {
        for waiter in self.peers.give_up(&peer) {
            self.refuse(peer, waiter, error.clone());
        }
    }

    /// Closes the worse connections to a peer as soon as they carry no stream.
    fn close_surplus(&mut self, peer: PeerId) {
        let mut busy = false;
        for connection in self.peers.surplus(&peer) {
            if self.swarm.behaviour().streams.streams(connection) == 0 {
                self.swarm.close_connection(connection);
            } else {
                busy = true;
            }
        }
        if busy {
            self.after(SURPLUS_GRACE, Timer::SurplusDue(peer));
        }
    }

    fn after(&self, duration: Duration, timer: Timer) {
        self.timers.push(Box::pin(async move {
            tokio::time::sleep(duration).await;
            timer
        }));
    }

    /// Binds all listening addresses and waits until each knows its port.
    async fn listen(&mut self) -> Result<(), Error> {
        for external in self.config.external.clone() {
            self.swarm.add_external_address(to_multiaddr(&external)?);
        }
        let mut unbound: Vec<(ListenerId, Address)> = Vec::new();
        let web = self.config.websocket.address();
        for address in self.config.listen.clone().into_iter().chain(web) {
            let bound = self.swarm.listen_on(to_multiaddr(&address)?);
            let listener = bound
                .map_err(|cause| Error::Listen { address: address.clone(), source: Error::shared(cause) })?;
            unbound.push((listener, address));
        }
        while !unbound.is_empty() {
            let event = self.swarm.select_next_some().await;
            match &event {
                SwarmEvent::NewListenAddr { listener_id, .. } => unbound.retain(|(id, _)| id != listener_id),
                SwarmEvent::ListenerClosed { listener_id, reason: Err(cause), .. } => {
                    let source = Error::shared(std::io::Error::new(cause.kind(), cause.to_string()));
                    if let Some((_, address)) = unbound.iter().find(|(id, _)| id == listener_id) {
                        return Err(Error::Listen { address: address.clone(), source });
                    }
                }
                _ => {}
            }
            self.on_event(event);
        }
        Ok(())
    }

    /// Closes all connections in order, so that peers need not wait for a timeout to notice.
    async fn say_goodbye(mut self) {
        let connected: Vec<PeerId> = self.peers.connected().collect();
        for peer in connected.iter().filter_map(from_peer) {
            if self.swarm.disconnect_peer_id(peer).is_err() {
                tracing::trace!("the peer left first");
            }
        }
        let last = async {
            while self.peers.connected().next().is_some() {
                let event = self.swarm.select_next_some().await;
                self.on_event(event);
            }
        };
        if tokio::time::timeout(GOODBYE, last).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
    }

    fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::trace!("nobody listens to the events of the network");
        }
    }
}

fn away(peer: PeerId) -> Error {
    let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    Error::Unreachable { peer, source: Error::shared(cause) }
}

/// Whether the host says that nobody serves the port. libp2p wraps what the system says into sums of its transports, where
/// its kind is lost; its words are not.
fn is_refusal(cause: &dyn std::error::Error) -> bool {
    let words = std::io::ErrorKind::ConnectionRefused.to_string();
    let mut next = Some(cause);
    while let Some(cause) = next {
        if cause.to_string().to_lowercase().contains(&words) {
            return true;
        }
        next = cause.source();
    }
    false
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_builds_for_debugging_write_session_keys_to_a_file() {
        let file = Some(OsStr::new("/tmp/keys"));
        assert!(matches!(may_log_keys(false, file), Err(Error::KeyLog)));
        assert!(matches!(may_log_keys(false, Some(OsStr::new(""))), Err(Error::KeyLog)), "set is set");
        for (debugs, file) in [(true, file), (true, None), (false, None)] {
            assert!(may_log_keys(debugs, file).is_ok());
        }
    }
}
