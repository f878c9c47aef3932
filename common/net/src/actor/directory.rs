//! The directory's part of the actor: who gets into the routing table, whose records are kept, and how a process that has
//! lost everybody asks those it remembers before it asks the network.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    time::Duration,
};

use cosmic_common::{address::Address, id::PeerId, protocol::DIRECTORY};
use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{
    Multiaddr,
    kad::{self, store::RecordStore as _},
};
use tokio::sync::mpsc;

use super::{Actor, Timer, Waiter};
use crate::{
    address::{bare, dialable, from_multiaddr, is_circuit, to_peer},
    clock,
    command::{Command, answer},
    directory::{
        Health, Snapshot, message::Question, place::Place, searches::Known, service, store::Source, table,
    },
    event::Direction,
    guard::Cost,
    incoming::Incoming,
    stream::Stream,
};

/// Servers an earlier run remembers.
const REMEMBERED_MAX: usize = 64;
/// Servers remembered that are dialed for one question.
const RECALLED_AT_ONCE: usize = 8;
/// With fewer servers in the table those remembered are dialed first.
const SERVERS_LOW: usize = 4;
/// How long a question waits for one of them: a dial around the world and an introduction.
const RECALL_GRACE: Duration = Duration::from_secs(2);
/// Questions that may wait for them.
const WAITING_MAX: usize = 64;

/// Questions of others that are answered at once.
const SERVED_MAX: usize = 64;

/// What the actor keeps about the directory beside what libp2p does.
pub(super) struct Desk {
    questions: Option<Incoming>,
    commands: mpsc::WeakSender<Command>,
    served: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Servers that answered an earlier run, those to be dialed next first.
    remembered: VecDeque<(PeerId, Vec<Address>)>,
    /// Questions that wait until one of them answers.
    waiting: Vec<Command>,
}

impl Desk {
    pub(super) fn new(questions: Option<Incoming>, commands: mpsc::WeakSender<Command>) -> Self {
        let (remembered, waiting) = (VecDeque::new(), Vec::new());
        Self { questions, commands, served: FuturesUnordered::new(), remembered, waiting }
    }

    /// The next question of somebody else, while those before are answered. Safe to cancel.
    pub(super) async fn step(&mut self) -> Stream {
        loop {
            let has_room = self.served.len() < SERVED_MAX;
            let question = async {
                match &mut self.questions {
                    Some(questions) if has_room => questions.next().await,
                    _ => None,
                }
            };
            tokio::select! {
                Some(stream) = question => return stream,
                Some(()) = self.served.next() => {}
                else => std::future::pending().await,
            }
        }
    }
}

impl Actor {
    pub(super) fn on_directory(&mut self, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } if step.last => {
                self.queries.on_end(id, result);
            }
            // The directory dialed it at that address, where it answered and speaks the protocol.
            kad::Event::RoutablePeer { peer, address }
            | kad::Event::PendingRoutablePeer { peer, address } => {
                self.answered_at(&peer, &[bare(&address)]);
            }
            _ => {}
        }
        self.tell_directory();
    }

    /// A server of the directory introduced itself: what it was dialed at is where it is; what it says of itself counts for the
    /// host it comes from.
    pub(super) fn server_introduced(&mut self, named: &libp2p::PeerId, claimed: &[Multiaddr]) {
        let Some(peer) = to_peer(named) else { return };
        let Some(connection) = self.peers.connection(&peer) else { return };
        let at: Vec<Multiaddr> = match connection.direction {
            Direction::Outbound if !is_circuit(&connection.address) => vec![connection.address.clone()],
            _ => table::proven(claimed, &connection.address).cloned().collect(),
        };
        self.answered_at(named, &at);
    }

    fn answered_at(&mut self, peer: &libp2p::PeerId, addresses: &[Multiaddr]) {
        let local = *self.swarm.local_peer_id();
        let table = &mut self.swarm.behaviour_mut().directory;
        let mut stands = false;
        for address in addresses {
            stands |= table::add(table, local, peer, address);
        }
        if stands {
            self.ask_what_waits();
        }
        self.tell_directory();
    }

    /// Asks now, or as soon as one answers of those an earlier run knew, if hardly anybody is known to this one.
    pub(super) fn ask_directory(&mut self, question: Command) {
        let known = self.known_servers();
        let missing = |(peer, _): &&(PeerId, Vec<Address>)| !known.contains(peer);
        let recalled: Vec<_> =
            self.directory.remembered.iter().filter(missing).take(RECALLED_AT_ONCE).cloned().collect();
        if known.len() >= SERVERS_LOW || recalled.is_empty() || self.directory.waiting.len() >= WAITING_MAX {
            return self.ask_now(question);
        }
        if self.directory.waiting.is_empty() {
            self.after(RECALL_GRACE, Timer::RecallOver);
        }
        self.directory.waiting.push(question);
        for (peer, addresses) in recalled {
            self.directory.remembered.retain(|(known, _)| *known != peer);
            self.directory.remembered.push_back((peer, addresses.clone()));
            self.told(peer, dialable(&peer, &addresses));
            self.want(peer, Waiter::Recall);
        }
    }

    /// Whoever was waited for has answered, or will not.
    pub(super) fn ask_what_waits(&mut self) {
        for question in std::mem::take(&mut self.directory.waiting) {
            self.ask_now(question);
        }
    }

    fn ask_now(&mut self, question: Command) {
        let directory = &mut self.swarm.behaviour_mut().directory;
        match question {
            Command::Bootstrap { reply } => self.queries.bootstrap(directory, reply),
            Command::Know { question, by, reply } => answer(reply, Ok(self.know(question, by))),
            other => tracing::error!(?other, "this is no question to the directory"),
        }
    }

    pub(super) fn on_question(&mut self, stream: Stream) {
        let serving = service::serve(stream, self.guard.clone(), self.directory.commands.clone());
        self.directory.served.push(Box::pin(serving));
    }

    /// What this process itself says to a question; what it is asked to keep it keeps, as far as it counts.
    pub(super) fn know(&mut self, question: Question, by: Option<PeerId>) -> Known {
        let now = clock::now();
        let source = self.source(by);
        let local = Place::of_named(self.swarm.local_peer_id());
        let directory = &mut self.swarm.behaviour_mut().directory;
        let (has, value) = match question {
            Question::Find { key } => {
                let record = directory.store_mut().get(&key.into());
                let value =
                    record.filter(|record| !record.is_expired(now)).map(|record| record.value.clone());
                (value.is_some(), value.unwrap_or_default())
            }
            Question::Keep { key, value } => {
                if let Some(peer) = by {
                    self.guard.charge(peer, DIRECTORY, Cost::Signatures(self.searches.signatures(&value)));
                }
                let kept = directory.store_mut().take(kad::Record::new(key, value), source, now);
                if let Err(refusal) = kept {
                    tracing::debug!(?refusal, "a directory record is not kept");
                    self.metrics.directory.refused(refusal);
                }
                (kept.is_ok(), Vec::new())
            }
        };
        let servers = table::servers(directory);
        self.tell_directory();
        Known { has, value, servers, place: local }
    }

    fn source(&self, by: Option<PeerId>) -> Source {
        let connection = by.and_then(|peer| self.peers.connection(&peer));
        let subnet = connection.and_then(|connection| table::subnet(&connection.address));
        Source { peer: by, subnet }
    }

    /// Takes in what an earlier run knew: records are judged again, servers are dialed when they are needed.
    pub(super) fn remember(&mut self, snapshot: Snapshot) {
        let now = clock::now();
        let store = self.swarm.behaviour_mut().directory.store_mut();
        for kept in snapshot.records {
            let expires = Some(now + kept.left.min(crate::directory::store::KEPT_FOR));
            let record = kad::Record { expires, ..kad::Record::new(kept.key, kept.value) };
            if let Err(refusal) = store.take(record, Source::default(), now) {
                tracing::debug!(?refusal, "a record of an earlier run does not count any more");
            }
        }
        self.directory.remembered = snapshot.servers.into_iter().take(REMEMBERED_MAX).collect();
        self.tell_directory();
    }

    /// What to keep over a restart: those of this run before those of earlier ones.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let now = clock::now();
        let directory = &mut self.swarm.behaviour_mut().directory;
        let records = directory.store_mut().kept(now);
        let mut servers: Vec<(PeerId, Vec<Address>)> = Vec::new();
        for bucket in directory.kbuckets() {
            for entry in bucket.iter() {
                let addresses = entry.node.value.iter().filter_map(|address| from_multiaddr(&bare(address)));
                if let Some(peer) = to_peer(entry.node.key.preimage()) {
                    servers.push((peer, addresses.collect()));
                }
            }
        }
        // Of the buckets the last ones are the fullest, with those that are far away: an even choice.
        servers.truncate(REMEMBERED_MAX);
        for (peer, addresses) in &self.directory.remembered {
            if servers.len() < REMEMBERED_MAX && servers.iter().all(|(known, _)| known != peer) {
                servers.push((*peer, addresses.clone()));
            }
        }
        Snapshot { records, servers }
    }

    pub(super) fn health(&mut self) -> Health {
        Health {
            servers: self.servers(),
            remembered: self.directory.remembered.len(),
            records: self.swarm.behaviour_mut().directory.store_mut().len(),
            search: self.searches.ended(),
        }
    }

    fn known_servers(&mut self) -> HashSet<PeerId> {
        let buckets = self.swarm.behaviour_mut().directory.kbuckets();
        buckets
            .flat_map(|bucket| {
                bucket.iter().filter_map(|entry| to_peer(entry.node.key.preimage())).collect::<Vec<_>>()
            })
            .collect()
    }

    fn servers(&mut self) -> usize {
        self.swarm.behaviour_mut().directory.kbuckets().map(|bucket| bucket.num_entries()).sum()
    }

    fn tell_directory(&mut self) {
        let (servers, records) = (self.servers(), self.swarm.behaviour_mut().directory.store_mut().len());
        self.metrics.directory.holds(servers, records);
    }
}
