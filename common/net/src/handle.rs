//! The door of the network: cheap to clone, the same over sockets and in memory.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cosmic_common::{address::Address, id::PeerId, protocol::Protocol};
use tokio::sync::{broadcast, mpsc, watch};

use crate::{
    bulk::{Miss, Plane},
    command::{self, Command, Reply},
    directory::{
        KEY_MAX_BYTES, Snapshot, VALUE_MAX_BYTES,
        message::Question,
        searches::{Known, Searches},
    },
    error::{Error, within},
    event::{Event, Events},
    guard::{Cost, Guard, Offence, Standing, Vouch, Watch},
    incoming::Incoming,
    memory::Member,
    relays::RelayPeer,
    situation::Situation,
    stream::Stream,
};

/// The part of a caller's deadline in which a dial of the bulk plane must succeed: the swarm needs the rest.
const BULK_SHARE: f32 = 0.5;

/// What others ask of the network.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    peer: PeerId,
    guard: Guard,
    backend: Backend,
    incoming: Mutex<HashMap<Protocol, Incoming>>,
    events: Subscribe,
    listening: watch::Receiver<Vec<Address>>,
}

/// Subscribing must not keep the channel open, or listeners would never hear that the network stopped.
pub(crate) type Subscribe = broadcast::WeakSender<Event>;

/// Who carries commands out.
pub(crate) enum Backend {
    /// The actor that owns the libp2p swarm.
    Swarm(Swarm),
    /// A place in an in-memory network.
    Memory(Member),
}

/// The way to the actor, and beside it the bulk plane.
pub(crate) struct Swarm {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) bulk: Option<Plane>,
    pub(crate) searches: Arc<Searches>,
}

impl Handle {
    pub(crate) fn new(
        (peer, guard): (PeerId, Guard),
        backend: Backend,
        incoming: HashMap<Protocol, Incoming>,
        events: Subscribe,
        listening: watch::Receiver<Vec<Address>>,
    ) -> Self {
        let incoming = Mutex::new(incoming);
        Self { shared: Arc::new(Shared { peer, guard, backend, incoming, events, listening }) }
    }

    /// The peer this process is.
    #[must_use]
    pub fn local_peer(&self) -> PeerId {
        self.shared.peer
    }

    /// Where this process can be reached now: where it listens, with the ports really taken, at relays, and from outside.
    #[must_use]
    pub fn listening(&self) -> Vec<Address> {
        self.shared.listening.borrow().clone()
    }

    /// The same, as it changes.
    #[must_use]
    pub fn watch_listening(&self) -> watch::Receiver<Vec<Address>> {
        self.shared.listening.clone()
    }

    /// Remembers where a peer can be reached. Addresses no transport of this build can dial are skipped.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn add_addresses(&self, peer: PeerId, addresses: &[Address]) -> Result<(), Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => {
                self.ask(|reply| Command::AddAddresses { peer, addresses: addresses.to_vec(), reply }).await
            }
            Backend::Memory(member) => member.add_addresses(peer, addresses),
        }
    }

    /// Connects to a peer at these addresses and those already known; callers who ask for the same peer at
    /// once share one dial. Done at once if a connection stands.
    ///
    /// # Errors
    /// [`Error::NoAddress`], [`Error::Unreachable`], [`Error::Deadline`], [`Error::Busy`].
    pub async fn connect(
        &self,
        peer: PeerId,
        addresses: &[Address],
        deadline: Duration,
    ) -> Result<(), Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => {
                let addresses = addresses.to_vec();
                let asked = self.ask(|reply| Command::Connect { peer, addresses, reply });
                within("connecting to the peer", deadline, asked).await
            }
            Backend::Memory(member) => member.connect(peer, addresses),
        }
    }

    /// Where this process listens for bulk, if it does.
    #[must_use]
    pub fn bulk_address(&self) -> Option<SocketAddr> {
        match &self.shared.backend {
            Backend::Swarm(swarm) => swarm.bulk.as_ref()?.address(),
            Backend::Memory(_) => None,
        }
    }

    /// Opens a stream of `protocol`, connecting at the known addresses first if no connection stands. A
    /// bulk protocol travels by the bulk plane if both sides have one, else by the swarm.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Unsupported`], [`Error::Lost`].
    pub async fn open(&self, peer: PeerId, protocol: Protocol, deadline: Duration) -> Result<Stream, Error> {
        match &self.shared.backend {
            Backend::Swarm(swarm) => {
                let opening = self.open_by(swarm, peer, protocol, deadline);
                within("opening a stream to the peer", deadline, opening).await
            }
            Backend::Memory(member) => member.open(peer, protocol),
        }
    }

    /// Opens by the bulk plane what belongs there, and leaves time to open by the swarm what does not get there.
    async fn open_by(
        &self,
        swarm: &Swarm,
        peer: PeerId,
        protocol: Protocol,
        deadline: Duration,
    ) -> Result<Stream, Error> {
        if protocol.is_bulk()
            && let Some(plane) = &swarm.bulk
        {
            match plane.open(&swarm.commands, peer, protocol, deadline.mul_f32(BULK_SHARE)).await {
                Ok(stream) => return Ok(stream),
                Err(Miss::Error(error)) => return Err(error),
                Err(Miss::Fallback(_)) => {}
            }
        }
        self.open_or_reopen(peer, protocol).await
    }

    /// A connection may end just when it was chosen: then the next one, or a new one, serves.
    async fn open_or_reopen(&self, peer: PeerId, protocol: Protocol) -> Result<Stream, Error> {
        let open = || self.ask(|reply| Command::Open { peer, protocol, reply });
        match open().await {
            Err(Error::Lost { .. }) => open().await,
            Err(Error::Stopped) if !self.has_stopped() => {
                open().await.map_err(|_again| Error::Lost { peer, source: None })
            }
            result => result,
        }
    }

    fn has_stopped(&self) -> bool {
        matches!(&self.shared.backend, Backend::Swarm(swarm) if swarm.commands.is_closed())
    }

    /// Takes over the streams others open with `protocol`, one of those named at start. Dropping the result
    /// ends the service: later streams are refused.
    ///
    /// # Errors
    /// [`Error::NotServed`] if the protocol was not named at start or was taken before.
    pub fn accept(&self, protocol: Protocol) -> Result<Incoming, Error> {
        let mut incoming = self.shared.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        incoming.remove(&protocol).ok_or(Error::NotServed { protocol })
    }

    /// Closes every connection to a peer, and with them all its streams.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => self.ask(|reply| Command::Disconnect { peer, reply }).await,
            Backend::Memory(member) => member.disconnect(peer),
        }
    }

    /// The peers a connection stands to.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn connected(&self) -> Result<Vec<PeerId>, Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => self.ask(|reply| Command::Connected { reply }).await,
            Backend::Memory(member) => member.connected(),
        }
    }

    /// The relays of the network, at which this process is reachable while nobody reaches it directly.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn set_relays(&self, relays: Vec<RelayPeer>) -> Result<(), Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => self.ask(|reply| Command::SetRelays { relays, reply }).await,
            Backend::Memory(member) => member.connected().map(drop),
        }
    }

    /// How this process is reached and reaches others, for people who ask why.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn situation(&self) -> Result<Situation, Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => self.ask(|reply| Command::Situation { reply }).await,
            Backend::Memory(member) => member.connected().map(|_peers| Situation::default()),
        }
    }

    /// Tells others of an address under which this process can be reached from outside.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Stopped`].
    pub async fn add_external_address(&self, address: Address) -> Result<(), Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => self.ask(|reply| Command::AddExternalAddress { address, reply }).await,
            Backend::Memory(member) => member.connected().map(drop),
        }
    }

    /// `peer` did what nobody honest does. With enough of it the peer, and the address it comes from, are kept out for a while.
    pub fn offence(&self, peer: PeerId, offence: Offence) {
        self.shared.guard.offence(peer, offence);
    }

    /// What `peer` asked for on `protocol` has cost this; it pays before it is listened to further.
    pub fn charge(&self, peer: PeerId, protocol: Protocol, cost: Cost) {
        self.shared.guard.charge(peer, protocol, cost);
    }

    /// A proof of `peer` was accepted: it is no stranger, while the result is kept and for an hour after.
    #[must_use]
    pub fn vouch(&self, peer: PeerId) -> Vouch {
        self.shared.guard.vouch(peer)
    }

    /// These are the supernodes of the ring, for which their operators answer.
    pub fn set_ring(&self, ring: HashSet<PeerId>) {
        self.shared.guard.set_ring(ring);
    }

    /// Bits of work to ask of `peer` before anything costly: none while there is little to do, none of members.
    #[must_use]
    pub fn work_bits(&self, peer: &PeerId) -> Option<u8> {
        self.shared.guard.work_bits(peer)
    }

    /// What is known of `peer`.
    #[must_use]
    pub fn standing(&self, peer: &PeerId) -> Standing {
        self.shared.guard.standing(peer)
    }

    /// Whether this process has more to do than it can.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.shared.guard.is_overloaded()
    }

    /// How hard pressed this process is, and whom it keeps out.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.shared.guard.watch()
    }

    /// Lets somebody in again who was kept out, by the name in [`Ban::who`](crate::Ban::who); whether there was such a ban.
    #[must_use]
    pub fn pardon(&self, who: &str) -> bool {
        self.shared.guard.pardon(who)
    }

    /// A new subscription, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        // After the end there is nothing to hear: a closed channel says so at once.
        let subscribe = |sender: broadcast::Sender<Event>| sender.subscribe();
        Events::new(self.shared.events.upgrade().map_or_else(|| broadcast::channel(1).1, subscribe))
    }

    /// Makes the directory known to itself: asks the known servers for the peers near this one.
    ///
    /// # Errors
    /// [`Error::Directory`] when no server is known, [`Error::Deadline`].
    pub async fn bootstrap(&self, deadline: Duration) -> Result<(), Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => {
                let asked = self.ask(|reply| Command::Bootstrap { reply });
                within("joining the directory", deadline, asked).await
            }
            Backend::Memory(member) => member.connected().map(drop),
        }
    }

    /// Puts an opaque record into the directory, at the servers nearest to its key.
    ///
    /// # Errors
    /// [`Error::RecordTooLong`], [`Error::RecordRefused`] by the own validator, [`Error::Directory`] when
    /// no server took it, [`Error::Deadline`].
    pub async fn publish(&self, key: &[u8], value: &[u8], deadline: Duration) -> Result<(), Error> {
        if key.len() > KEY_MAX_BYTES || value.len() > VALUE_MAX_BYTES {
            return Err(Error::RecordTooLong { key_max: KEY_MAX_BYTES, value_max: VALUE_MAX_BYTES });
        }
        match &self.shared.backend {
            Backend::Swarm(swarm) => {
                let published = swarm.searches.publish(self, key, value);
                within("publishing to the directory", deadline, published).await
            }
            Backend::Memory(member) => member.publish(key, value),
        }
    }

    /// Looks a record up; of several that the validator accepts, the one that supersedes the others.
    ///
    /// # Errors
    /// [`Error::Directory`], [`Error::Deadline`].
    pub async fn find(&self, key: &[u8], deadline: Duration) -> Result<Option<Vec<u8>>, Error> {
        match &self.shared.backend {
            Backend::Swarm(swarm) => {
                within("asking the directory", deadline, swarm.searches.find(self, key)).await
            }
            Backend::Memory(member) => member.find(key),
        }
    }

    /// What this process itself knows about a question of its own.
    pub(crate) async fn directory_knows(&self, question: Question) -> Result<Known, Error> {
        self.ask(|reply| Command::Know { question, by: None, reply }).await
    }

    /// What this process knows of the directory, to be kept over a restart.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn directory(&self) -> Result<Snapshot, Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => self.ask(|reply| Command::Snapshot { reply }).await,
            Backend::Memory(member) => member.connected().map(|_peers| Snapshot::default()),
        }
    }

    /// Takes in what an earlier run knew of the directory: its records are judged again, and its servers are dialed when
    /// something is asked and hardly any are known.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn remember(&self, snapshot: Snapshot) -> Result<(), Error> {
        match &self.shared.backend {
            Backend::Swarm(_) => self.ask(|reply| Command::Remember { snapshot, reply }).await,
            Backend::Memory(member) => member.connected().map(drop),
        }
    }

    /// Sends a command with its one-shot reply and waits for that.
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let Backend::Swarm(swarm) = &self.shared.backend else { return Err(Error::Stopped) };
        command::ask(&swarm.commands, command).await
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("peer", &self.shared.peer).finish_non_exhaustive()
    }
}
