//! Searches of this process: walks that ask server after server for a record, or to keep one.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cosmic_common::{id::PeerId, protocol::DIRECTORY};
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Search, Validator,
    message::{ANSWER_MAX_BYTES, Answer, Question},
    metrics::{Asked, Metrics},
    place::Place,
    table,
    walk::{Server, Walk},
};
use crate::{
    address::from_multiaddr,
    clock,
    error::{Error, within},
    handle::Handle,
};

/// Searches that may be under way.
const SEARCHES_MAX: usize = 256;
/// Servers that had something that counts, after which a search ends: more than the liars among twenty who hold a record, when
/// a fifth of all lie (in 99 of 100 cases; what they have that counts was signed all the same, it may just be old).
const COPIES_ENOUGH: usize = 8;
/// Servers asked at once by all searches together: a light node may have 32 dials under way, and has other things to do.
const ASKING_MAX: usize = 24;
/// How long a server may take, with the dial: several round trips around the world.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);
/// How long a walk goes on; what was found by then counts.
const WALK_PATIENCE: Duration = Duration::from_secs(30);
/// Searches that end within this time of each other are one to people who ask how it went.
const ONE_SEARCH: Duration = Duration::from_secs(60);

/// What all searches share.
pub(crate) struct Searches {
    validator: Arc<dyn Validator>,
    metrics: Metrics,
    places: Semaphore,
    asking: Semaphore,
    /// When the last search ended, and how many servers had something.
    ended: Mutex<Option<(Instant, usize)>>,
}

/// What this process knows itself about a key.
#[derive(Debug)]
pub(crate) struct Known {
    /// Whether it has the record, or keeps it.
    pub(crate) has: bool,
    /// The record.
    pub(crate) value: Vec<u8>,
    /// All servers in its table.
    pub(crate) servers: Vec<Server>,
    /// Where it stands itself.
    pub(crate) place: Place,
}

impl Searches {
    pub(crate) fn new(validator: Arc<dyn Validator>, metrics: Metrics) -> Self {
        let (places, asking) = (Semaphore::new(SEARCHES_MAX), Semaphore::new(ASKING_MAX));
        Self { validator, metrics, places, asking, ended: Mutex::new(None) }
    }

    /// The search that ended last.
    pub(crate) fn ended(&self) -> Option<Search> {
        let (at, copies) = (*self.ended.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(Search { ago: clock::now().saturating_duration_since(at), copies })
    }

    /// Signatures that judging `value` takes.
    pub(crate) fn signatures(&self, value: &[u8]) -> usize {
        self.validator.signatures(value)
    }

    /// Has `value` kept under `key` by the servers nearest to it.
    pub(crate) async fn publish(&self, net: &Handle, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let _place = self.begin()?;
        let value = self.validator.judge(key, None, value).ok_or(Error::RecordRefused)?;
        let question = Question::Keep { key: key.to_vec(), value };
        let known = net.directory_knows(question.clone()).await?;
        let mut kept = 0;
        self.walk(net, &question, known, |answer| {
            kept += usize::from(answer.has);
            false
        })
        .await;
        self.metrics.asked(Asked::Publish, kept > 0);
        if kept > 0 {
            return Ok(());
        }
        let nobody = io::Error::other("no server of it that was reached took it");
        Err(Error::Directory { what: "keep the record", source: Error::shared(nobody) })
    }

    /// What stands under `key`, as far as it counts.
    pub(crate) async fn find(&self, net: &Handle, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let _place = self.begin()?;
        let question = Question::Find { key: key.to_vec() };
        let known = net.directory_knows(question.clone()).await?;
        let (mut best, mut copies) = (None, 0);
        let mut take = |has: bool, value: &[u8]| {
            let better = has.then(|| self.validator.judge(key, best.as_deref(), value)).flatten();
            if better.is_some() {
                copies += 1;
                best = better;
            }
            copies >= COPIES_ENOUGH
        };
        take(known.has, &known.value);
        self.walk(net, &question, known, |answer| take(answer.has, &answer.value)).await;
        self.has_ended(copies);
        self.metrics.asked(Asked::Find, copies > 0);
        Ok(best)
    }

    /// Asks all whom a walk leads to, until `enough` says so of an answer.
    async fn walk(
        &self,
        net: &Handle,
        question: &Question,
        known: Known,
        mut enough: impl FnMut(&Answer) -> bool,
    ) {
        let target = Place::of_key(question.key());
        let seed = cosmic_runtime::random::seed();
        let mut walk = Walk::new((net.local_peer(), known.place), target, known.servers, seed);
        let mut asking = FuturesUnordered::new();
        let over = tokio::time::sleep(WALK_PATIENCE);
        tokio::pin!(over);
        loop {
            while let Some((server, near)) = walk.next() {
                asking.push(async move {
                    let _turn = self.asking.acquire().await;
                    let answer = ask(net, &server, question, near).await;
                    (server, answer)
                });
            }
            let next = tokio::select! {
                next = asking.next() => next,
                () = &mut over => None,
            };
            match next {
                Some((server, Ok(answer))) => {
                    if enough(&answer) {
                        return;
                    }
                    let named = table::named_by(&server, answer.servers);
                    walk.answered(&server, named);
                }
                Some((server, Err(error))) => {
                    tracing::debug!(peer = %server.peer.short(), %error, "a server of the directory did not answer");
                    walk.failed(&server);
                }
                None => return,
            }
        }
    }

    fn begin(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.places.try_acquire().map_err(|_full| Error::Busy { queue: "the list of directory searches" })
    }

    /// Remembers how a search ended. A house looks under several keys for one thing, and one of them may be empty.
    fn has_ended(&self, copies: usize) {
        let now = clock::now();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let together = |(at, _): &(Instant, usize)| now.saturating_duration_since(*at) < ONE_SEARCH;
        let before = (*ended).filter(together).map_or(0, |(_, copies)| copies);
        *ended = Some((now, copies.max(before)));
    }
}

async fn ask(net: &Handle, server: &Server, question: &Question, near: Place) -> Result<Answer, Error> {
    let peer: PeerId = server.peer;
    let asked = async {
        let addresses: Vec<_> = server.addresses.iter().filter_map(from_multiaddr).collect();
        net.connect(peer, &addresses, ANSWER_PATIENCE).await?;
        let mut stream = net.open(peer, DIRECTORY, ANSWER_PATIENCE).await?;
        stream.send(&question.to_bytes(near)).await?;
        let frame = stream.recv(ANSWER_MAX_BYTES).await?;
        let answer = frame.and_then(|frame| Answer::from_bytes(&frame));
        answer.ok_or_else(|| Error::lost(peer, io::Error::from(io::ErrorKind::InvalidData)))
    };
    within("asking a server of the directory", ANSWER_PATIENCE, asked).await
}

impl std::fmt::Debug for Searches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Searches").finish_non_exhaustive()
    }
}
