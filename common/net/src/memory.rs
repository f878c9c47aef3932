//! A network in memory, with the same handles and streams, and links that tests can cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use cosmic_common::{address::Address, id::PeerId, limit::ADDRESSES_MAX, protocol::Protocol};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::{broadcast, watch},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    directory::Validator,
    error::Error,
    event::{Direction, EVENTS_MAX, Event},
    guard::Guard,
    handle::{Backend, Handle},
    incoming::Inlets,
    metrics::Metrics,
    stream::{Stream, Usage},
};

/// Bytes in flight in each direction of a stream before its sender waits, as in a socket buffer.
const IN_FLIGHT_BYTES: usize = 64 * 1024;

/// A network in which peers meet without sockets. Clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    switch: Arc<Mutex<Switch>>,
}

/// One peer's place in the network.
pub(crate) struct Member {
    peer: PeerId,
    network: MemoryNetwork,
}

#[derive(Default)]
struct Switch {
    stations: BTreeMap<PeerId, Station>,
    links: BTreeMap<Pair, Link>,
    cut: BTreeSet<Pair>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    addresses_given: u64,
}

/// What the switch keeps for one peer.
struct Station {
    address: Address,
    known: BTreeMap<PeerId, Vec<Address>>,
    inlets: Inlets,
    events: broadcast::Sender<Event>,
    validator: Arc<dyn Validator>,
    _listening: watch::Sender<Vec<Address>>,
}

/// Two peers, the lower id first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair(PeerId, PeerId);

/// A connection: who dialed, and what ends all its streams at once.
#[derive(Clone)]
struct Link {
    dialer: PeerId,
    end: CancellationToken,
    usage: Usage,
}

impl MemoryNetwork {
    /// An empty network.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a peer that serves `protocols`; a peer of the same id is replaced, as by a restart.
    #[must_use]
    pub fn join(&self, peer: PeerId, protocols: &[Protocol], validator: Arc<dyn Validator>) -> Handle {
        self.leave(peer);
        let guard = Guard::in_memory(Metrics::default());
        let (inlets, incoming) = Inlets::new(protocols, &Metrics::default(), guard.clone());
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let subscribe = events.downgrade();
        let mut switch = self.lock();
        switch.addresses_given += 1;
        let address = memory_address(switch.addresses_given);
        let (keep, listening) = watch::channel(vec![address.clone()]);
        let known = BTreeMap::new();
        let station = Station { address, known, inlets, events, validator, _listening: keep };
        switch.stations.insert(peer, station);
        drop(switch);
        let member = Member { peer, network: self.clone() };
        Handle::new((peer, guard), Backend::Memory(member), incoming, subscribe, listening)
    }

    /// Takes a peer away as a crash does: its streams end, its handle says stopped.
    pub fn leave(&self, peer: PeerId) {
        let mut switch = self.lock();
        let pairs: Vec<Pair> = switch.links.keys().filter(|pair| pair.has(peer)).copied().collect();
        for pair in pairs {
            switch.unlink(pair);
        }
        switch.stations.remove(&peer);
    }

    /// Cuts the way between two peers: what stands between them ends, and nothing new comes through.
    pub fn cut(&self, one: PeerId, other: PeerId) {
        let mut switch = self.lock();
        switch.cut.insert(Pair::new(one, other));
        switch.unlink(Pair::new(one, other));
    }

    /// Makes a peer busy: strangers have to work for what they want of it from now on.
    pub fn press(&self, peer: PeerId) {
        if let Some(station) = self.lock().stations.get(&peer) {
            station.inlets.guard().press();
        }
    }

    /// Opens a way that was cut.
    pub fn heal(&self, one: PeerId, other: PeerId) {
        self.lock().cut.remove(&Pair::new(one, other));
    }

    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    pub(crate) fn add_addresses(&self, peer: PeerId, addresses: &[Address]) -> Result<(), Error> {
        let mut switch = self.network.lock();
        let station = switch.stations.get_mut(&self.peer).ok_or(Error::Stopped)?;
        let known = station.known.entry(peer).or_default();
        for address in addresses {
            if known.len() < ADDRESSES_MAX && !known.contains(address) {
                known.push(address.clone());
            }
        }
        Ok(())
    }

    pub(crate) fn connect(&self, peer: PeerId, addresses: &[Address]) -> Result<(), Error> {
        self.add_addresses(peer, addresses)?;
        self.network.lock().link(self.peer, peer).map(drop)
    }

    pub(crate) fn open(&self, peer: PeerId, protocol: Protocol) -> Result<Stream, Error> {
        let mut switch = self.network.lock();
        let link = switch.link(self.peer, peer)?;
        let inlets = switch.stations.get(&peer).map(|station| station.inlets.clone());
        drop(switch);
        let inlets = inlets.filter(|inlets| inlets.open().any(|open| open == protocol));
        let inlets = inlets.ok_or(Error::Unsupported { peer, protocol })?;
        let (here, there) = io::duplex(IN_FLIGHT_BYTES);
        let end = |pipe, far| {
            Stream::new(
                far,
                protocol,
                Cuttable::new(pipe, &link),
                link.usage.clone(),
                Metrics::default().by_swarm(),
            )
        };
        inlets.put(end(there, self.peer));
        Ok(end(here, peer))
    }

    pub(crate) fn disconnect(&self, peer: PeerId) -> Result<(), Error> {
        let mut switch = self.network.lock();
        switch.station(self.peer)?;
        switch.unlink(Pair::new(self.peer, peer));
        Ok(())
    }

    pub(crate) fn connected(&self) -> Result<Vec<PeerId>, Error> {
        let switch = self.network.lock();
        switch.station(self.peer)?;
        Ok(switch.links.keys().filter_map(|pair| pair.other(self.peer)).collect())
    }

    pub(crate) fn publish(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let mut switch = self.network.lock();
        let validator = Arc::clone(&switch.station(self.peer)?.validator);
        let known = switch.records.get(key).map(Vec::as_slice);
        let kept = validator.judge(key, known, value).ok_or(Error::RecordRefused)?;
        switch.records.insert(key.to_vec(), kept);
        Ok(())
    }

    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let switch = self.network.lock();
        let validator = &switch.station(self.peer)?.validator;
        Ok(switch.records.get(key).and_then(|value| validator.judge(key, None, value)))
    }
}

impl Switch {
    fn station(&self, peer: PeerId) -> Result<&Station, Error> {
        self.stations.get(&peer).ok_or(Error::Stopped)
    }

    /// The connection between two peers, made now if none stands.
    fn link(&mut self, dialer: PeerId, peer: PeerId) -> Result<Link, Error> {
        if dialer == peer {
            return Err(Error::OwnPeer);
        }
        let here = self.station(dialer)?;
        let pair = Pair::new(dialer, peer);
        if let Some(link) = self.links.get(&pair) {
            return Ok(link.clone());
        }
        let known = here.known.get(&peer).map(Vec::as_slice).unwrap_or_default();
        if known.is_empty() {
            return Err(Error::NoAddress { peer });
        }
        let there = self.stations.get(&peer).filter(|there| known.contains(&there.address));
        let there = there.filter(|_| !self.cut.contains(&pair)).ok_or_else(|| Error::Unreachable {
            peer,
            source: Error::shared(std::io::Error::from(std::io::ErrorKind::HostUnreachable)),
        })?;
        let connected = |peer, address: &Address, direction| Event::Connected {
            peer,
            address: address.clone(),
            direction,
        };
        tell(here, connected(peer, &there.address, Direction::Outbound));
        tell(there, connected(dialer, &here.address, Direction::Inbound));
        let link = Link { dialer, end: CancellationToken::new(), usage: Usage::default() };
        self.links.insert(pair, link.clone());
        Ok(link)
    }

    /// Ends the connection between two peers, if one stands.
    fn unlink(&mut self, pair: Pair) {
        let Some(link) = self.links.remove(&pair) else { return };
        link.end.cancel();
        for (near, far) in [(pair.0, pair.1), (pair.1, pair.0)] {
            let (Some(here), Some(there)) = (self.stations.get(&near), self.stations.get(&far)) else {
                continue;
            };
            let direction = if link.dialer == near { Direction::Outbound } else { Direction::Inbound };
            tell(here, Event::Disconnected { peer: far, address: there.address.clone(), direction });
        }
    }
}

impl Pair {
    fn new(one: PeerId, other: PeerId) -> Self {
        if one <= other { Self(one, other) } else { Self(other, one) }
    }

    fn has(&self, peer: PeerId) -> bool {
        self.other(peer).is_some()
    }

    fn other(&self, peer: PeerId) -> Option<PeerId> {
        if self.0 == peer {
            Some(self.1)
        } else if self.1 == peer {
            Some(self.0)
        } else {
            None
        }
    }
}

fn tell(station: &Station, event: Event) {
    if station.events.send(event).is_err() {
        tracing::trace!("nobody listens to the events of this peer");
    }
}

#[expect(clippy::expect_used, reason = "a slash, a word and digits are an address")]
fn memory_address(number: u64) -> Address {
    format!("/memory/{number}").parse().expect("a memory address parses")
}

/// One end of a pipe that fails when its link is cut, as a socket does on a reset.
struct Cuttable {
    pipe: DuplexStream,
    // One each, since the halves of a stream are polled by different tasks.
    read_end: End,
    write_end: End,
}

/// The end of a link, seen by one task.
struct End(Option<Pin<Box<WaitForCancellationFutureOwned>>>);

impl Cuttable {
    fn new(pipe: DuplexStream, link: &Link) -> Self {
        let end = || End(Some(Box::pin(link.end.clone().cancelled_owned())));
        Self { pipe, read_end: end(), write_end: end() }
    }
}

impl End {
    /// Fails if the link has been cut, and else wakes the task when it is.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(end) = &mut self.0 else { return Err(io::ErrorKind::ConnectionReset.into()) };
        if end.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        self.0 = None;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read_end.check(cx)?;
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write_end.check(cx)?;
        Pin::new(&mut self.pipe).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_end.check(cx)?;
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_end.check(cx)?;
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = self.lock();
        f.debug_struct("MemoryNetwork")
            .field("peers", &switch.stations.len())
            .field("links", &switch.links.len())
            .finish_non_exhaustive()
    }
}
