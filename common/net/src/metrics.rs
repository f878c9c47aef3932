//! What the network counts.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// The counters of one network; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    connections: Gauge,
    dials: Family<DialLabels, Counter>,
    streams: Family<StreamLabels, Counter>,
    bytes: Family<BytesLabels, Counter>,
    // Members of `bytes`, kept apart since every read and write counts.
    sent: Counter,
    received: Counter,
}

/// How a dial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum DialOutcome {
    Connected,
    Failed,
}

/// What became of a stream that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum StreamOutcome {
    Opened,
    Failed,
    Accepted,
    /// Dropped because nobody took the streams before it.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Direction {
    Sent,
    Received,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DialLabels {
    outcome: DialOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    outcome: StreamOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BytesLabels {
    direction: Direction,
}

impl Default for Metrics {
    fn default() -> Self {
        let bytes: Family<BytesLabels, Counter> = Family::default();
        let member = |direction| bytes.get_or_create(&BytesLabels { direction }).clone();
        Self {
            connections: Gauge::default(),
            dials: Family::default(),
            streams: Family::default(),
            sent: member(Direction::Sent),
            received: member(Direction::Received),
            bytes,
        }
    }
}

impl Metrics {
    /// Registers everything in the part of the process's registry that belongs to this room, so that names
    /// begin with `cosmic_net_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that stand now", self.connections.clone());
        registry.register("dials", "Dials that ended, by outcome", self.dials.clone());
        registry.register("streams", "Streams opened or accepted, by outcome", self.streams.clone());
        registry.register_with_unit(
            "stream",
            "Bytes of frames and bulk on streams",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    pub(crate) fn dialed(&self, outcome: DialOutcome) {
        self.dials.get_or_create(&DialLabels { outcome }).inc();
    }

    pub(crate) fn stream(&self, outcome: StreamOutcome) {
        self.streams.get_or_create(&StreamLabels { outcome }).inc();
    }

    pub(crate) fn sent(&self, bytes: usize) {
        count(&self.sent, bytes);
    }

    pub(crate) fn received(&self, bytes: usize) {
        count(&self.received, bytes);
    }
}

fn count(counter: &Counter, bytes: usize) {
    counter.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
}
