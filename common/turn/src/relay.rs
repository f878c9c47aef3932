//! The relay: what it answers, opens, and passes on.
//!
//! ```text
//!            Allocate                Opened
//! nothing ─────────────▶ opening ─────────────▶ open ──▶ gone: Refresh of 0, Gone, or nothing asked in time
//!                          │ Unopened: another port, at last refused
//! ```

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use cosmic_common::{hash, time::Timestamp};

use crate::{
    address,
    allocation::{Allocation, Owner, Stage},
    attribute::{
        CHANNEL_NUMBER, Code, DATA, EVEN_PORT, LIFETIME, REQUESTED_ADDRESS_FAMILY, REQUESTED_TRANSPORT,
        XOR_MAPPED_ADDRESS, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS, method,
    },
    bucket::Bucket,
    credential::{Issuer, User},
    door::{Door, Refused},
    frame::{CHANNELS, Frame, channel_data},
    integrity::Key,
    message::{Class, Message, Transaction, Writer},
    peers::{Subnet, is_public},
    strangers::Strangers,
};

/// How long an allocation lasts unless it is asked for longer (RFC 8656, section 3.2), …
const LIFETIME_USUAL: Duration = Duration::from_secs(600);
/// … and at most (as other servers have it).
const LIFETIME_MAX: Duration = Duration::from_secs(3600);
/// Ports that are tried for one allocation.
const PORT_TRIES: u8 = 8;
/// The flag of `EVEN-PORT` by which the next port is to be kept back, which is not done here.
const RESERVE: u8 = 0x80;
/// The number of UDP in `REQUESTED-TRANSPORT`.
const UDP: u8 = 17;

/// What carries a client's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// How it comes.
    pub transport: Transport,
    /// From where.
    pub address: SocketAddr,
}

/// What may be used at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Allocations of everybody.
    pub allocations: usize,
    /// Allocations of one user.
    pub allocations_per_user: usize,
    /// Bytes relayed in a second, both ways, of everybody.
    pub bytes_per_sec: u64,
    /// The same of one user.
    pub bytes_per_user_per_sec: u64,
}

/// By what a relay goes.
#[derive(Debug, Clone)]
pub struct Rules {
    /// For which server credentials are.
    pub realm: String,
    /// The address of this relay as others see it.
    pub external: IpAddr,
    /// The ports it may open.
    pub ports: RangeInclusive<u16>,
    /// Peers that are no public addresses and may be sent to all the same.
    pub peers: Vec<Subnet>,
    /// What may be used.
    pub limits: Limits,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Something came from a client.
    Client {
        /// Which one.
        client: Client,
        /// A datagram, or a frame of a connection.
        bytes: &'a [u8],
    },
    /// A datagram came at a port that was opened.
    Peer {
        /// Which port.
        port: u16,
        /// From where.
        peer: SocketAddr,
        /// What.
        bytes: &'a [u8],
    },
    /// A port is open.
    Opened(u16),
    /// It cannot be opened.
    Unopened(u16),
    /// The connection of a client ended.
    Gone(Client),
    /// Time has passed; once a second.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this to a client.
    Client {
        /// Which one.
        client: Client,
        /// What.
        bytes: Vec<u8>,
    },
    /// Send this from a port.
    Peer {
        /// From which one.
        port: u16,
        /// To whom.
        peer: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Open this port, and tell.
    Open(u16),
    /// Close it.
    Close(u16),
}

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Allocations that came about.
    pub allocated: u64,
    /// Requests refused for want of a credential that counts: wrong, expired, another's. The first request of everybody, which
    /// asks for a nonce, is none of them.
    pub unauthorized: u64,
    /// Requests for peers nothing is sent to.
    pub forbidden: u64,
    /// Requests refused because a user or everybody has as much as may be had.
    pub exhausted: u64,
    /// Bytes passed on, both ways.
    pub relayed_bytes: u64,
    /// Bytes dropped because they were too many.
    pub dropped_bytes: u64,
    /// Datagrams of those who have shown nothing and ask too often.
    pub ignored: u64,
}

/// What a user has.
#[derive(Debug)]
struct Usage {
    allocations: usize,
    bucket: Bucket,
}

/// The relay.
#[derive(Debug)]
pub struct Relay {
    rules: Rules,
    door: Door,
    allocations: BTreeMap<Client, Allocation>,
    ports: BTreeMap<u16, Client>,
    users: BTreeMap<User, Usage>,
    all: Bucket,
    strangers: Strangers,
    ports_drawn: u64,
    counts: Counts,
}

impl Relay {
    /// One that serves nobody yet.
    #[must_use]
    pub fn new(rules: Rules, issuer: Issuer, now: Timestamp) -> Self {
        Self {
            all: Bucket::full(rules.limits.bytes_per_sec, now),
            strangers: Strangers::new(issuer.nonces),
            door: Door { issuer, realm: rules.realm.clone() },
            rules,
            allocations: BTreeMap::new(),
            ports: BTreeMap::new(),
            users: BTreeMap::new(),
            ports_drawn: 0,
            counts: Counts::default(),
        }
    }

    /// Allocations there are.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// Whether `client` has one.
    #[must_use]
    pub fn has(&self, client: Client) -> bool {
        self.allocations.contains_key(&client)
    }

    /// Users that have any.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// What has happened.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes in what happens, and says what is to be done.
    pub fn handle(&mut self, input: Input<'_>, now: Timestamp) -> Vec<Output> {
        match input {
            Input::Client { client, bytes } => self.client(client, bytes, now),
            Input::Peer { port, peer, bytes } => self.arrive(port, peer, bytes, now).into_iter().collect(),
            Input::Opened(port) => self.opened(port, now).into_iter().collect(),
            Input::Unopened(port) => self.unopened(port, now).into_iter().collect(),
            Input::Gone(client) => self.end(client).into_iter().collect(),
            Input::Tick => {
                let over = self.allocations.iter().filter(|(_, allocation)| allocation.expires <= now);
                let over: Vec<Client> = over.map(|(client, _)| *client).collect();
                over.into_iter().filter_map(|client| self.end(client)).collect()
            }
        }
    }

    fn client(&mut self, client: Client, bytes: &[u8], now: Timestamp) -> Vec<Output> {
        if !self.allocations.contains_key(&client) && !self.strangers.may_ask(client.address, now) {
            self.counts.ignored += 1;
            return Vec::new();
        }
        let message = match Frame::decode(bytes) {
            Some(Frame::Channel(number, data)) => {
                let allocation = self.allocations.get(&client);
                let peer = allocation.and_then(|allocation| allocation.peer_of(number, now));
                return peer.and_then(|peer| self.send(client, peer, data, now)).into_iter().collect();
            }
            Some(Frame::Message(bytes)) => bytes,
            None => return Vec::new(),
        };
        let Ok(message) = Message::decode(message) else { return Vec::new() };
        match (message.class, message.method) {
            (Class::Request, method::BINDING) => {
                let answer = Writer::answer(&message, Class::Success);
                let answer = answer.with_address(XOR_MAPPED_ADDRESS, client.address);
                vec![Output::Client { client, bytes: answer.finish(None) }]
            }
            (Class::Request, _) => self.request(client, &message, now),
            (Class::Indication, method::SEND) => {
                let peer = message.get(XOR_PEER_ADDRESS);
                let peer = peer.and_then(|value| address::decode(value, message.transaction));
                let sent = peer.zip(message.get(DATA));
                sent.and_then(|(peer, data)| self.send(client, peer, data, now)).into_iter().collect()
            }
            (Class::Indication | Class::Success | Class::Error, _) => Vec::new(),
        }
    }

    /// Answers a request that needs a credential.
    fn request(&mut self, client: Client, message: &Message<'_>, now: Timestamp) -> Vec<Output> {
        let carried_out = self.door.knock(message, client.address, now).and_then(|owner| {
            let key = owner.key.clone();
            let owned = self.allocations.get(&client).is_none_or(|known| known.username == owner.username);
            let carried_out = match message.method {
                _ if !owned => Err(Code::WrongCredentials),
                method::ALLOCATE => self.allocate(client, message, owner, now),
                method::REFRESH => self.refresh(client, message, now),
                method::CREATE_PERMISSION => self.create_permission(client, message, now),
                method::CHANNEL_BIND => self.bind_channel(client, message, now),
                _ => Err(Code::BadRequest),
            };
            carried_out.map_err(|code| Refused { code, key: Some(key) })
        });
        carried_out.unwrap_or_else(|refused| {
            self.count(&refused, message);
            let bytes = self.door.refusal(message, &refused, client.address, now);
            vec![Output::Client { client, bytes }]
        })
    }

    fn count(&mut self, refused: &Refused, message: &Message<'_>) {
        match refused.code {
            Code::Unauthorized if message.is_signed() => self.counts.unauthorized += 1,
            Code::WrongCredentials => self.counts.unauthorized += 1,
            Code::Forbidden => self.counts.forbidden += 1,
            Code::QuotaReached | Code::InsufficientCapacity => self.counts.exhausted += 1,
            _ => {}
        }
    }

    fn allocate(
        &mut self,
        client: Client,
        message: &Message<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<Vec<Output>, Code> {
        if let Some(known) = self.allocations.get(&client) {
            // The answer was lost, or is about to come.
            return match known.stage {
                _ if known.asked != message.transaction => Err(Code::AllocationMismatch),
                Stage::Opening(_) => Ok(Vec::new()),
                Stage::Open => Ok(vec![self.allocated(client, known, now)]),
            };
        }
        match message.get(REQUESTED_TRANSPORT).and_then(<[u8]>::first) {
            None => return Err(Code::BadRequest),
            Some(&UDP) => {}
            Some(_) => return Err(Code::UnsupportedTransport),
        }
        if let Some(family) = message.get(REQUESTED_ADDRESS_FAMILY)
            && address::wants_ipv6(family) != Some(self.rules.external.is_ipv6())
        {
            return Err(Code::AddressFamilyNotSupported);
        }
        let even = message.get(EVEN_PORT);
        if even.is_some_and(|value| value.first().is_none_or(|flags| flags & RESERVE != 0)) {
            return Err(Code::InsufficientCapacity);
        }
        let limits = self.rules.limits;
        if self.users.get(&owner.user).is_some_and(|user| user.allocations >= limits.allocations_per_user) {
            return Err(Code::QuotaReached);
        }
        if self.allocations.len() >= limits.allocations {
            return Err(Code::InsufficientCapacity);
        }
        let port = self.draw_port(even.is_some()).ok_or(Code::InsufficientCapacity)?;
        let bucket = Bucket::full(limits.bytes_per_user_per_sec, now);
        self.users.entry(owner.user).or_insert(Usage { allocations: 0, bucket }).allocations += 1;
        let expires = now.after(lifetime(message)).min(owner.ends);
        self.ports.insert(port, client);
        self.allocations
            .insert(client, Allocation::new(owner, message.transaction, expires, port, even.is_some()));
        Ok(vec![Output::Open(port)])
    }

    /// A port nobody has, where nobody expects it.
    fn draw_port(&mut self, is_even: bool) -> Option<u16> {
        let (first, last) = (*self.rules.ports.start(), *self.rules.ports.end());
        let count = u32::from(last.checked_sub(first)?) + 1;
        let [a, b, c, d, ..] = hash::keyed(&self.door.issuer.ports, &[&self.ports_drawn.to_be_bytes()]);
        self.ports_drawn += 1;
        let start = u16::try_from(u32::from_be_bytes([a, b, c, d]) % count).ok()?;
        let mut ports = (first.saturating_add(start)..=last).chain(first..first.saturating_add(start));
        ports.find(|port| !self.ports.contains_key(port) && (!is_even || port.is_multiple_of(2)))
    }

    fn opened(&mut self, port: u16, now: Timestamp) -> Option<Output> {
        let client = *self.ports.get(&port)?;
        let allocation = self.allocations.get_mut(&client)?;
        allocation.stage = Stage::Open;
        self.counts.allocated += 1;
        let allocation = self.allocations.get(&client)?;
        Some(self.allocated(client, allocation, now))
    }

    fn allocated(&self, client: Client, allocation: &Allocation, now: Timestamp) -> Output {
        let answer = Writer::new(Class::Success, method::ALLOCATE, allocation.asked)
            .with_address(XOR_RELAYED_ADDRESS, SocketAddr::new(self.rules.external, allocation.port))
            .with(LIFETIME, &seconds(allocation.expires.since(now)))
            .with_address(XOR_MAPPED_ADDRESS, client.address);
        Output::Client { client, bytes: answer.finish(Some(&allocation.key)) }
    }

    fn unopened(&mut self, port: u16, now: Timestamp) -> Option<Output> {
        let client = *self.ports.get(&port)?;
        let Allocation { stage, is_even, .. } = *self.allocations.get(&client)?;
        let Stage::Opening(tries) = stage else { return None };
        let other = if tries < PORT_TRIES { self.draw_port(is_even) } else { None };
        let allocation = self.allocations.get_mut(&client)?;
        if let Some(other) = other {
            (allocation.stage, allocation.port) = (Stage::Opening(tries + 1), other);
            self.ports.remove(&port);
            self.ports.insert(other, client);
            return Some(Output::Open(other));
        }
        let (asked, key) = (allocation.asked, allocation.key.clone());
        self.end(client);
        let question = Writer::new(Class::Request, method::ALLOCATE, asked).finish_plain();
        let question = Message::decode(&question).ok()?;
        let refused = Refused { code: Code::InsufficientCapacity, key: Some(key) };
        self.count(&refused, &question);
        Some(Output::Client { client, bytes: self.door.refusal(&question, &refused, client.address, now) })
    }

    fn refresh(
        &mut self,
        client: Client,
        message: &Message<'_>,
        now: Timestamp,
    ) -> Result<Vec<Output>, Code> {
        let external = self.rules.external;
        let allocation = self.open_of(client)?;
        if let Some(family) = message.get(REQUESTED_ADDRESS_FAMILY)
            && address::wants_ipv6(family) != Some(external.is_ipv6())
        {
            return Err(Code::PeerAddressFamilyMismatch);
        }
        let lifetime = lifetime(message);
        allocation.expires = now.after(lifetime).min(allocation.ends);
        let lasts = if lifetime.is_zero() { lifetime } else { allocation.expires.since(now) };
        let answer = Writer::answer(message, Class::Success).with(LIFETIME, &seconds(lasts));
        let bytes = answer.finish(Some(&allocation.key));
        let ended = if lifetime.is_zero() { self.end(client) } else { None };
        Ok([Output::Client { client, bytes }].into_iter().chain(ended).collect())
    }

    fn create_permission(
        &mut self,
        client: Client,
        message: &Message<'_>,
        now: Timestamp,
    ) -> Result<Vec<Output>, Code> {
        self.open_of(client)?;
        let peers: Option<Vec<SocketAddr>> =
            message.all(XOR_PEER_ADDRESS).map(|value| address::decode(value, message.transaction)).collect();
        let peers = peers.filter(|peers| !peers.is_empty()).ok_or(Code::BadRequest)?;
        for peer in &peers {
            self.may_be_sent_to(peer.ip())?;
        }
        let allocation = self.open_of(client)?;
        if !peers.iter().all(|peer| allocation.permit(peer.ip(), now)) {
            return Err(Code::InsufficientCapacity);
        }
        Ok(vec![done(client, message, &allocation.key)])
    }

    fn bind_channel(
        &mut self,
        client: Client,
        message: &Message<'_>,
        now: Timestamp,
    ) -> Result<Vec<Output>, Code> {
        self.open_of(client)?;
        let peer = message.get(XOR_PEER_ADDRESS).ok_or(Code::BadRequest)?;
        let peer = address::decode(peer, message.transaction).ok_or(Code::BadRequest)?;
        let number = message.get(CHANNEL_NUMBER).and_then(<[u8]>::first_chunk::<2>);
        let number = u16::from_be_bytes(*number.ok_or(Code::BadRequest)?);
        if !CHANNELS.contains(&number) {
            return Err(Code::BadRequest);
        }
        self.may_be_sent_to(peer.ip())?;
        let allocation = self.open_of(client)?;
        if !allocation.may_bind(number, peer, now) {
            return Err(Code::BadRequest);
        }
        if !allocation.permit(peer.ip(), now) {
            return Err(Code::InsufficientCapacity);
        }
        allocation.bind(number, peer, now);
        Ok(vec![done(client, message, &allocation.key)])
    }

    fn open_of(&mut self, client: Client) -> Result<&mut Allocation, Code> {
        let allocation = self.allocations.get_mut(&client);
        allocation.filter(|allocation| allocation.stage == Stage::Open).ok_or(Code::AllocationMismatch)
    }

    /// Whether anything may be sent to `peer`.
    fn may_be_sent_to(&self, peer: IpAddr) -> Result<(), Code> {
        if peer.is_ipv6() != self.rules.external.is_ipv6() {
            return Err(Code::PeerAddressFamilyMismatch);
        }
        let allowed = is_public(peer) || peer == self.rules.external || self.is_named(peer);
        if allowed { Ok(()) } else { Err(Code::Forbidden) }
    }

    fn is_named(&self, peer: IpAddr) -> bool {
        self.rules.peers.iter().any(|subnet| subnet.contains(peer))
    }

    /// Passes `data` of `client` on to `peer`. Another client of this relay gets them here and now; whatever else listens at the
    /// address of this relay is none of their business.
    fn send(&mut self, client: Client, peer: SocketAddr, data: &[u8], now: Timestamp) -> Option<Output> {
        let allocation = self.allocations.get(&client)?;
        if allocation.stage != Stage::Open || !allocation.permits(peer.ip(), now) {
            return None;
        }
        let (port, user) = (allocation.port, allocation.user);
        let is_here = peer.ip() == self.rules.external;
        let neighbour = if is_here { self.ports.contains_key(&peer.port()) } else { false };
        if is_here && !neighbour && !self.is_named(peer.ip()) || !self.spend(user, data.len(), now) {
            return None;
        }
        if neighbour {
            return self.arrive(peer.port(), SocketAddr::new(self.rules.external, port), data, now);
        }
        Some(Output::Peer { port, peer, bytes: data.to_vec() })
    }

    /// Passes on what came from `peer` at `port`.
    fn arrive(&mut self, port: u16, peer: SocketAddr, data: &[u8], now: Timestamp) -> Option<Output> {
        let client = *self.ports.get(&port)?;
        let allocation = self.allocations.get(&client)?;
        if allocation.stage != Stage::Open || !allocation.permits(peer.ip(), now) {
            return None;
        }
        let (user, channel) = (allocation.user, allocation.channel_of(peer, now));
        if !self.spend(user, data.len(), now) {
            return None;
        }
        let bytes = match channel {
            Some(number) => channel_data(number, data, client.transport == Transport::Tcp),
            None => Writer::new(Class::Indication, method::DATA, self.indication())
                .with_address(XOR_PEER_ADDRESS, peer)
                .with(DATA, data)
                .finish_plain(),
        };
        Some(Output::Client { client, bytes })
    }

    /// A number for an indication, which nobody answers.
    fn indication(&self) -> Transaction {
        let mut transaction = [0; 12];
        let count = self.counts.relayed_bytes.to_be_bytes();
        transaction.iter_mut().zip(count).for_each(|(to, from)| *to = from);
        Transaction(transaction)
    }

    /// Whether `user` may have so many bytes relayed.
    fn spend(&mut self, user: User, bytes: usize, now: Timestamp) -> bool {
        let (bytes, limits) = (bytes as u64, self.rules.limits);
        let Some(usage) = self.users.get_mut(&user) else { return false };
        let may = usage.bucket.take(bytes, limits.bytes_per_user_per_sec, now)
            && self.all.take(bytes, limits.bytes_per_sec, now);
        *(if may { &mut self.counts.relayed_bytes } else { &mut self.counts.dropped_bytes }) += bytes;
        may
    }

    /// Forgets the allocation of `client`.
    fn end(&mut self, client: Client) -> Option<Output> {
        let allocation = self.allocations.remove(&client)?;
        self.ports.remove(&allocation.port);
        if let Some(usage) = self.users.get_mut(&allocation.user) {
            usage.allocations = usage.allocations.saturating_sub(1);
            if usage.allocations == 0 {
                self.users.remove(&allocation.user);
            }
        }
        Some(Output::Close(allocation.port))
    }
}

/// How long the allocation shall last that is asked for; nothing gives it back.
fn lifetime(message: &Message<'_>) -> Duration {
    let asked = message.get(LIFETIME).and_then(<[u8]>::first_chunk::<4>);
    let asked = asked.map(|seconds| Duration::from_secs(u32::from_be_bytes(*seconds).into()));
    match asked {
        Some(asked) if asked.is_zero() && message.method == method::REFRESH => asked,
        Some(asked) => asked.clamp(LIFETIME_USUAL, LIFETIME_MAX),
        None => LIFETIME_USUAL,
    }
}

fn seconds(duration: Duration) -> [u8; 4] {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}

fn done(client: Client, message: &Message<'_>, key: &Key) -> Output {
    Output::Client { client, bytes: Writer::answer(message, Class::Success).finish(Some(key)) }
}
