//! Streams that others open: one bounded queue per protocol, taken by one owner.

use std::{collections::HashMap, sync::Arc};

use cosmic_common::protocol::Protocol;
use tokio::sync::mpsc;

use crate::{
    guard::Guard,
    metrics::{Metrics, StreamOutcome},
    stream::Stream,
};

/// Streams of one protocol that may wait to be taken; what comes on top is dropped and counted, and its
/// opener sees a lost stream.
const INCOMING_MAX: usize = 256;

/// The streams of one protocol, in the order they came.
#[derive(Debug)]
pub struct Incoming(mpsc::Receiver<Stream>);

impl Incoming {
    /// The next stream, or `None` when the network has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<Stream> {
        self.0.recv().await
    }
}

/// The other ends of all queues.
#[derive(Debug, Clone)]
pub(crate) struct Inlets {
    queues: Arc<[(Protocol, mpsc::Sender<Stream>)]>,
    metrics: Metrics,
    guard: Guard,
}

impl Inlets {
    /// A queue for each of `protocols`.
    pub(crate) fn new(
        protocols: &[Protocol],
        metrics: &Metrics,
        guard: Guard,
    ) -> (Self, HashMap<Protocol, Incoming>) {
        let mut queues = Vec::with_capacity(protocols.len());
        let mut incoming = HashMap::with_capacity(protocols.len());
        for protocol in protocols {
            let (sender, receiver) = mpsc::channel(INCOMING_MAX);
            if incoming.insert(*protocol, Incoming(receiver)).is_none() {
                queues.push((*protocol, sender));
            }
        }
        (Self { queues: queues.into(), metrics: metrics.clone(), guard }, incoming)
    }

    /// The protocols somebody still takes streams of.
    pub(crate) fn open(&self) -> impl Iterator<Item = Protocol> {
        self.queues.iter().filter(|(_, queue)| !queue.is_closed()).map(|(protocol, _)| *protocol)
    }

    /// Where streams are counted.
    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Who decides what peers may do.
    pub(crate) const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// How full the fullest queue is, in thousandths.
    pub(crate) fn fullest_permille(&self) -> u16 {
        let waiting = |queue: &mpsc::Sender<Stream>| queue.max_capacity() - queue.capacity();
        let open = self.queues.iter().filter(|(_, queue)| !queue.is_closed());
        let fullest = open.map(|(_, queue)| waiting(queue) * 1000 / INCOMING_MAX).max();
        fullest.and_then(|permille| u16::try_from(permille).ok()).unwrap_or_default()
    }

    /// Queues a stream for whoever takes its protocol, or drops it: an answer to the peer that costs nothing.
    pub(crate) fn put(&self, stream: Stream) {
        let protocol = stream.protocol();
        let Ok(purse) = self.guard.admit_stream(stream.peer(), protocol) else {
            return self.metrics.stream(StreamOutcome::Refused);
        };
        let stream = stream.paid_from(purse);
        let queue = self.queues.iter().find(|(served, _)| *served == protocol);
        let room = queue.and_then(|(_, queue)| queue.try_reserve().ok());
        let outcome = if room.is_some() { StreamOutcome::Accepted } else { StreamOutcome::Busy };
        if let Some(room) = room {
            room.send(stream);
        }
        self.metrics.stream(outcome);
    }
}
