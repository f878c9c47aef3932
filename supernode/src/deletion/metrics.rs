//! What is counted about deletion.

use cosmic_runtime::metrics::Registry;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

/// Counters of deletion.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) removals_begun: Counter,
    pub(super) removals_withdrawn: Counter,
    pub(super) removals_done: Counter,
    pub(super) removals_under_way: Gauge,
    pub(super) objects_deleted: Counter,
    pub(super) shards_deleted: Counter,
    pub(super) bytes_deleted: Counter,
    pub(super) removals_refused: Counter,
    pub(super) receipts_kept: Counter,
    pub(super) leases_over: Counter,
}

impl Metrics {
    /// Registers them under `cosmic_deletion_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("deletion", |room| {
            let m = metrics.clone();
            room.register("removals_begun", "Objects this replica began to remove", m.removals_begun);
            room.register(
                "removals_withdrawn",
                "Removals given up because somebody claims the object again",
                m.removals_withdrawn,
            );
            room.register("removals_done", "Objects that are gone everywhere", m.removals_done);
            room.register(
                "removals_under_way",
                "Objects that this replica is removing, the first 1,024",
                m.removals_under_way,
            );
            room.register("objects_deleted", "Objects deleted here", m.objects_deleted);
            room.register("shards_deleted", "Shards deleted here", m.shards_deleted);
            room.register("deleted_bytes", "Bytes of these shards", m.bytes_deleted);
            room.register(
                "removals_refused",
                "Removals of others that were not signed by who may",
                m.removals_refused,
            );
            room.register("receipts_kept", "Signed deletions of holders that were stored", m.receipts_kept);
            room.register(
                "leases_over",
                "Objects kept here that nobody had claimed when their lease was over",
                m.leases_over,
            );
        });
        metrics
    }
}
