//! The hands of the relay: one task that owns it, the socket clients speak to, and the ports it opened.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use cosmic_runtime::{clock::Clock, shutdown::Shutdown};
use cosmic_turn::{Client, Counts, Input, Issuer, Output, Relay, Transport};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
};

use super::{
    Config, Error,
    connections::{self, Connections},
    metrics::Metrics,
    ports::Ports,
};
use crate::context::Context;

/// For which server credentials are: each relay knows its own alone, so one name does for all.
pub(super) const REALM: &str = "cosmicsync";
/// The longest datagram there is.
const DATAGRAM_MAX_BYTES: usize = 65_536;
/// What waits for the relay; more is dropped, or held back on connections.
const ARRIVALS_MAX: usize = 1024;
/// How often the relay looks what is over.
const TICK: Duration = Duration::from_secs(1);
/// How long nothing is read after it failed.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Ports that are tried for one that is free over UDP and over TCP.
const PORT_TRIES: usize = 16;
/// Connections for each port that browsers may have: they begin before they are given one.
const CONNECTIONS_PER_ALLOCATION: usize = 2;

/// What comes from elsewhere than the socket of clients.
#[derive(Debug)]
pub(super) enum Arrival {
    /// At a port of a client.
    Datagram { port: u16, peer: SocketAddr, bytes: Vec<u8> },
    /// A client connected.
    Joined { address: SocketAddr, frames: mpsc::Sender<Vec<u8>> },
    /// It said something.
    Frame { address: SocketAddr, bytes: Vec<u8> },
    /// It went.
    Parted(SocketAddr),
}

/// The server, with its ports taken.
#[derive(Debug)]
pub(super) struct Server {
    relay: Relay,
    socket: UdpSocket,
    address: SocketAddr,
    ports: Ports,
    connections: Connections,
    arrivals: mpsc::Receiver<Arrival>,
    clock: Clock,
    metrics: Metrics,
    told: Counts,
}

enum Next {
    Client(io::Result<(usize, SocketAddr)>),
    Arrived(Arrival),
    Tick,
    End,
}

const fn over(transport: Transport) -> impl Fn(SocketAddr) -> Client {
    move |address| Client { transport, address }
}

impl Server {
    pub(super) async fn bind(
        context: &Arc<Context>,
        config: &Config,
        (listen, external): (SocketAddr, IpAddr),
        issuer: &Issuer,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let (socket, listener) =
            sockets(listen).await.map_err(|source| Error::Bind { address: listen, source })?;
        let address = socket.local_addr().map_err(|source| Error::Bind { address: listen, source })?;
        let (clock, tasks) = (context.clock.clone(), &context.tasks);
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let readers = tasks.group("turn ports", config.allocations_max);
        let members_max = config.allocations_max.saturating_mul(CONNECTIONS_PER_ALLOCATION);
        let members = tasks.group("turn connections", members_max);
        let (accepts, accepting) = (sender.clone(), clock.clone());
        tasks.spawn("turn listener", move |shutdown| {
            connections::accept(listener, members, accepts, accepting, shutdown)
        });
        Ok(Self {
            relay: Relay::new(config.rules(external), issuer.clone(), clock.now()),
            socket,
            address,
            ports: Ports::new(listen.ip(), readers, sender),
            connections: Connections::default(),
            arrivals,
            clock,
            metrics,
            told: Counts::default(),
        })
    }

    /// Where it listens, with the port really taken.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
        let mut tick = self.clock.monotonic().after(TICK);
        loop {
            let next = async {
                tokio::select! {
                    received = self.socket.recv_from(&mut buffer) => Next::Client(received),
                    arrival = self.arrivals.recv() => arrival.map_or(Next::End, Next::Arrived),
                    () = self.clock.sleep_until(tick) => Next::Tick,
                }
            };
            match shutdown.unless(next).await {
                None | Some(Next::End) => return,
                Some(Next::Client(Ok((length, address)))) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    self.take(Input::Client { client: over(Transport::Udp)(address), bytes }).await;
                }
                Some(Next::Client(Err(error))) => {
                    tracing::debug!(%error, "the socket of browsers cannot be read");
                    self.clock.sleep(ERROR_PAUSE).await;
                }
                Some(Next::Arrived(arrival)) => self.arrived(arrival).await,
                Some(Next::Tick) => {
                    tick = self.clock.monotonic().after(TICK);
                    self.tick().await;
                }
            }
        }
    }

    async fn arrived(&mut self, arrival: Arrival) {
        let client = over(Transport::Tcp);
        match arrival {
            Arrival::Datagram { port, peer, bytes } => {
                self.take(Input::Peer { port, peer, bytes: &bytes }).await;
            }
            Arrival::Joined { address, frames } => {
                self.connections.join(address, frames, self.clock.monotonic());
            }
            Arrival::Frame { address, bytes } => {
                self.take(Input::Client { client: client(address), bytes: &bytes }).await;
            }
            Arrival::Parted(address) => {
                self.connections.part(address);
                self.take(Input::Gone(client(address))).await;
            }
        }
    }

    async fn tick(&mut self) {
        self.take(Input::Tick).await;
        let (relay, client) = (&self.relay, over(Transport::Tcp));
        self.connections.tidy(self.clock.monotonic(), |address| relay.has(client(address)));
        self.told = self.metrics.tell(self.told, &self.relay);
        self.metrics.connections.set(i64::try_from(self.connections.len()).unwrap_or(i64::MAX));
    }

    /// Has the relay judge, and does what it says.
    async fn take(&mut self, input: Input<'_>) {
        let mut due = VecDeque::from(self.relay.handle(input, self.clock.now()));
        while let Some(output) = due.pop_front() {
            match output {
                Output::Client { client: Client { transport: Transport::Udp, address }, bytes } => {
                    if let Err(error) = self.socket.send_to(&bytes, address).await {
                        tracing::debug!(%error, "a browser could not be answered");
                    }
                }
                Output::Client { client: Client { transport: Transport::Tcp, address }, bytes } => {
                    self.connections.send(address, bytes);
                }
                Output::Peer { port, peer, bytes } => self.ports.send(port, peer, &bytes).await,
                Output::Close(port) => self.ports.close(port),
                Output::Open(port) => {
                    let opened = match self.ports.open(port).await {
                        Ok(()) => Input::Opened(port),
                        Err(error) => {
                            tracing::debug!(%error, port, "a port for a browser cannot be opened");
                            Input::Unopened(port)
                        }
                    };
                    due.extend(self.relay.handle(opened, self.clock.now()));
                }
            }
        }
    }
}

/// Both sockets on one port.
async fn sockets(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if listen.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let socket = UdpSocket::bind(listen).await?;
        match TcpListener::bind(socket.local_addr()?).await {
            Ok(listener) => return Ok((socket, listener)),
            Err(error) if tries == 0 => return Err(error),
            Err(_taken) => {}
        }
    }
}
