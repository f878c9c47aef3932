//! What is counted about moves.

use cosmic_runtime::metrics::Registry;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::round::{Reason, Round, Why};

/// Counters of moves.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) shards_given: Counter,
    pub(super) bytes_given: Counter,
    pub(super) shards_freed: Counter,
    pub(super) spaces_freed: Counter,
    shards_waiting: Family<Reason, Gauge>,
    spaces_waiting: Family<Reason, Gauge>,
}

impl Metrics {
    /// Registers them under `cosmic_moves_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("moves", |room| {
            let m = metrics.clone();
            room.register("shards_given", "Shards given to where they belong by the ring", m.shards_given);
            room.register("given_bytes", "Bytes of these shards", m.bytes_given);
            room.register("shards_freed", "Shards freed after they moved", m.shards_freed);
            room.register("spaces_freed", "Spaces whose entries were freed after they moved", m.spaces_freed);
            room.register(
                "shards_waiting",
                "Shards that belong elsewhere, by what they wait for",
                m.shards_waiting,
            );
            room.register(
                "spaces_waiting",
                "Spaces that belong elsewhere, by what they wait for",
                m.spaces_waiting,
            );
        });
        metrics
    }

    pub(super) fn tell_shards(&self, round: &Round) {
        tell(&self.shards_waiting, round);
    }

    pub(super) fn tell_spaces(&self, round: &Round) {
        tell(&self.spaces_waiting, round);
    }
}

fn tell(waiting: &Family<Reason, Gauge>, round: &Round) {
    for reason in Why::ALL {
        let count = i64::try_from(round.count(reason)).unwrap_or(i64::MAX);
        waiting.get_or_create(&Reason { reason }).set(count);
    }
}
