//! Exchanges with one peer, asked for or answered, and what becomes of a peer that tells what it must not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cosmic_common::{id::PeerId, protocol, record::Record};
use cosmic_net::{Error as NetError, Handle as Net, Offence, Receiver, Sender, Stream};
use cosmic_ring::{Error as RingError, Exchange, NetworkAnswer, NetworkRequest, Outcome, RingMessage};
use cosmic_runtime::{
    clock::{Clock, Monotonic},
    exit::sentence,
    random,
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::{Error, Metrics, ledger::Ledger, metrics::Ended};

/// How long a peer may take to be reached.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// How long a whole exchange may take: 40 MiB of records over a line of 10 Mbit/s.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(40);
/// How long a liar is left alone.
const SHUNNED_FOR: Duration = Duration::from_secs(600);
/// Liars remembered; more make the first forgotten.
const SHUNNED_MAX: usize = 1024;
/// Messages of ours that may wait for a slow peer: two full rings of the largest records, in frames of 1 MiB.
const OUTBOX_MAX: usize = 64;

/// What exchanges need.
#[derive(Debug)]
pub(crate) struct Link {
    pub net: Net,
    pub ledger: Arc<Ledger>,
    pub clock: Clock,
    pub metrics: Metrics,
    shunned: Mutex<BTreeMap<PeerId, Monotonic>>,
}

/// Why an exchange came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The peer could not be reached, or was lost, or is too slow.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The peer is of another network, and says so.
    #[error("it is a bootstrap node of another network; check the network file")]
    Stranger,
    /// The peer told what it must not.
    #[error(transparent)]
    Lie(RingError),
    /// Here nothing is known that could be told.
    #[error("the configuration of the network is not known here yet")]
    NotJoined,
}

impl From<RingError> for Failure {
    fn from(error: RingError) -> Self {
        match error {
            RingError::UnknownNetwork { .. } => Self::Stranger,
            error => Self::Lie(error),
        }
    }
}

impl From<cosmic_common::record::RecordError> for Failure {
    fn from(error: cosmic_common::record::RecordError) -> Self {
        Self::Lie(error.into())
    }
}

impl Link {
    pub(crate) const fn new(net: Net, ledger: Arc<Ledger>, clock: Clock, metrics: Metrics) -> Self {
        Self { net, ledger, clock, metrics, shunned: Mutex::new(BTreeMap::new()) }
    }

    /// Whether `peer` lied a short while ago.
    pub(crate) fn is_shunned(&self, peer: &PeerId) -> bool {
        let now = self.clock.monotonic();
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.retain(|_peer, until| *until > now);
        shunned.contains_key(peer)
    }

    /// Asks `peer` what it knows; whether that went well.
    pub(crate) async fn meet(&self, peer: PeerId) -> bool {
        let asking = async {
            if self.ledger.view().is_none() {
                self.ask_network(peer).await?;
            }
            let stream = self.net.open(peer, protocol::RING, OPEN_DEADLINE).await?;
            self.exchange(stream).await
        };
        let outcome = self.in_time(asking).await;
        self.judge(peer, outcome).await
    }

    /// Answers a peer that wants to compare.
    pub(crate) async fn answer_exchange(&self, stream: Stream) {
        let peer = stream.peer();
        if !self.is_shunned(&peer) {
            let outcome = self.in_time(self.exchange(stream)).await;
            self.judge(peer, outcome).await;
        }
    }

    /// Answers a joiner.
    pub(crate) async fn answer_network(&self, mut stream: Stream) {
        let peer = stream.peer();
        let answering = async {
            let Some(frame) = stream.recv(NetworkRequest::LIMIT).await? else { return Ok(()) };
            let request = NetworkRequest::from_bytes(&frame)?;
            let seed = random::seed();
            let answer = self.ledger.act(|members| NetworkAnswer::to(&request, members, &seed));
            stream.send(&answer.ok_or(Failure::NotJoined)?.to_bytes()).await?;
            Ok(stream.close().await?)
        };
        if let Err(failure) = self.in_time(answering).await {
            self.judge(peer, Err(failure)).await;
        }
    }

    async fn ask_network(&self, peer: PeerId) -> Result<(), Failure> {
        let mut stream = self.net.open(peer, protocol::NETWORK, OPEN_DEADLINE).await?;
        let network = self.ledger.network();
        let region = self.ledger.own_region();
        stream.send(&NetworkRequest { network, region }.to_bytes()).await?;
        let answer = stream.recv(NetworkAnswer::LIMIT).await?.ok_or(NetError::Truncated { peer })?;
        let told = NetworkAnswer::from_bytes(&answer)?.open(network)?;
        self.ledger.join(&told).map_err(|error| match error {
            Error::Ring(error) => Failure::Lie(error),
            _ => Failure::NotJoined,
        })
    }

    /// Both sides may have much to say at once, so what we say must not wait until we have listened.
    async fn exchange(&self, stream: Stream) -> Result<Outcome, Failure> {
        let (sender, receiver) = stream.split();
        let (outbox, queue) = mpsc::channel(OUTBOX_MAX);
        let (outcome, ()) = tokio::try_join!(self.converse(receiver, outbox), pump(sender, queue))?;
        Ok(outcome)
    }

    async fn converse(
        &self,
        mut receiver: Receiver,
        outbox: mpsc::Sender<RingMessage>,
    ) -> Result<Outcome, Failure> {
        let lost = |peer| NetError::Lost { peer, source: None };
        let peer = receiver.peer();
        let (mut exchange, greeting) =
            self.ledger.act(|members| Exchange::open(members)).ok_or(Failure::NotJoined)?;
        outbox.send(greeting).await.map_err(|_closed| lost(peer))?;
        loop {
            let frame = receiver.recv(RingMessage::LIMIT).await?.ok_or(NetError::Truncated { peer })?;
            let message = RingMessage::from_bytes(&frame)?;
            let step = self.ledger.act(|members| exchange.handle(members, message));
            let step = step.ok_or(Failure::NotJoined)??;
            for message in step.send {
                outbox.send(message).await.map_err(|_closed| lost(peer))?;
            }
            if let Some(outcome) = step.outcome {
                return Ok(outcome);
            }
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let late = NetError::Deadline { what: "the exchange with the peer", within: EXCHANGE_DEADLINE };
        self.clock.timeout(EXCHANGE_DEADLINE, work).await.unwrap_or(Err(Failure::Net(late)))
    }

    /// Counts how it ended, and parts with a liar.
    async fn judge(&self, peer: PeerId, outcome: Result<Outcome, Failure>) -> bool {
        let name = peer.short();
        match outcome {
            Ok(Outcome::Equal) => self.metrics.ended(Ended::Equal),
            Ok(Outcome::Differ) => {
                debug!(peer = name, "the peer knows something else; compared again later");
                self.metrics.ended(Ended::Differ);
            }
            Err(failure @ (Failure::Net(_) | Failure::NotJoined)) => {
                debug!(peer = name, "no exchange: {}", sentence(&failure));
                self.metrics.ended(Ended::Failed);
                return false;
            }
            Err(Failure::Stranger) => {
                warn!(peer = name, "{}", Failure::Stranger);
                self.metrics.ended(Ended::Failed);
                return false;
            }
            Err(failure @ Failure::Lie(_)) => {
                warn!(peer = name, "a peer told what it must not and is left alone: {}", sentence(&failure));
                self.metrics.ended(Ended::Refused);
                self.shun(peer);
                self.net.offence(peer, Offence::BadSignature);
                if self.net.disconnect(peer).await.is_err() {
                    debug!("the network has stopped");
                }
                return false;
            }
        }
        true
    }

    fn shun(&self, peer: PeerId) {
        let until = self.clock.monotonic().after(SHUNNED_FOR);
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        if shunned.len() >= SHUNNED_MAX {
            let first = shunned.iter().min_by_key(|(_peer, until)| **until).map(|(peer, _until)| *peer);
            if let Some(first) = first {
                shunned.remove(&first);
            }
        }
        shunned.insert(peer, until);
    }
}

/// Sends what is queued, and says goodbye when nothing more can come.
async fn pump(mut sender: Sender, mut queue: mpsc::Receiver<RingMessage>) -> Result<(), Failure> {
    while let Some(message) = queue.recv().await {
        sender.send(&message.to_bytes()).await?;
        if queue.is_empty() {
            sender.flush().await?;
        }
    }
    Ok(sender.close().await?)
}
