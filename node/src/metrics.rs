//! What a node counts.

use prometheus_client::{
    metrics::{
        counter::Counter,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Buckets of the time without a gateway: ten milliseconds, doubled eleven times, to twenty seconds.
const REHOMING: (f64, f64, u16) = (0.01, 2.0, 12);

/// Counters of a node; each is shown by a panel or asked for by a test.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Rounds of sync that ended with equal roots.
    pub rounds_equal: Counter,
    /// Rounds that ended with different roots: a reason to look.
    pub rounds_differing: Counter,
    /// Sessions ended because the peer broke the protocol or sent what cannot stand.
    pub peers_refused: Counter,
    /// Entries stored that others wrote.
    pub entries_received: Counter,
    /// Chunks whose shards are all signed for.
    pub chunks_uploaded: Counter,
    /// Chunks fetched from elsewhere.
    pub chunks_fetched: Counter,
    /// Chunks given to other devices.
    pub chunks_shared: Counter,
    /// Receipts that were forged or malformed.
    pub receipts_refused: Counter,
    /// How long a space was without a gateway after one was lost or sent it away.
    pub rehoming_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let (start, factor, count) = REHOMING;
        Self {
            rounds_equal: Counter::default(),
            rounds_differing: Counter::default(),
            peers_refused: Counter::default(),
            entries_received: Counter::default(),
            chunks_uploaded: Counter::default(),
            chunks_fetched: Counter::default(),
            chunks_shared: Counter::default(),
            receipts_refused: Counter::default(),
            rehoming_seconds: Histogram::new(exponential_buckets(start, factor, count)),
        }
    }
}

impl Metrics {
    /// Registers the counters in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let mut add =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        add("rounds_equal", "Rounds of sync that ended with equal roots", &self.rounds_equal);
        add("rounds_differing", "Rounds of sync that ended with different roots", &self.rounds_differing);
        add(
            "peers_refused",
            "Sessions ended for a broken protocol or an entry that cannot stand",
            &self.peers_refused,
        );
        add("entries_received", "Entries stored that others wrote", &self.entries_received);
        add("chunks_uploaded", "Chunks whose shards are all signed for", &self.chunks_uploaded);
        add("chunks_fetched", "Chunks fetched from elsewhere", &self.chunks_fetched);
        add("chunks_shared", "Chunks given to other devices", &self.chunks_shared);
        add("receipts_refused", "Receipts that were forged or malformed", &self.receipts_refused);
        registry.register(
            "rehoming_seconds",
            "Time without a gateway after one was lost or sent a space away",
            self.rehoming_seconds.clone(),
        );
    }
}
