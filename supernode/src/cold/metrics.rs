//! What the cold tier counts.

use cosmic_runtime::metrics::Registry;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Unit,
};

/// The counters of the cold tier.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) shards_moved: Counter,
    pub(super) moved: Counter,
    pub(super) shards_returned: Counter,
    pub(super) shards_read: Counter,
    pub(super) reads_unavailable: Counter,
    pub(super) shards_checked: Counter,
    pub(super) shards_damaged: Counter,
    pub(super) objects_deleted: Counter,
    pub(super) orphans_deleted: Counter,
    pub(super) away: Gauge,
    pub(super) shards: Gauge,
    pub(super) kept: Gauge,
}

impl Metrics {
    /// Registers them under `cosmic_cold_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("cold", |room| {
            let m = metrics.clone();
            room.register("shards_moved", "Shards whose bytes went to the cold store", m.shards_moved);
            room.register_with_unit("moved", "Their bytes", Unit::Bytes, m.moved);
            room.register("shards_returned", "Shards whose bytes came back", m.shards_returned);
            room.register("shards_read", "Cold shards that were read", m.shards_read);
            room.register(
                "reads_unavailable",
                "Reads of cold shards that the store did not answer",
                m.reads_unavailable,
            );
            room.register("shards_checked", "Cold shards that were verified again", m.shards_checked);
            room.register(
                "shards_damaged",
                "Cold shards that the store lost or has otherwise than they were",
                m.shards_damaged,
            );
            room.register("objects_deleted", "Objects deleted from the cold store", m.objects_deleted);
            room.register(
                "orphans_deleted",
                "Objects deleted from the cold store that no shard led to",
                m.orphans_deleted,
            );
            room.register("away", "1 while the cold store does not answer", m.away);
            room.register("shards", "Shards whose bytes lie in the cold store", m.shards);
            room.register_with_unit("kept", "Their bytes", Unit::Bytes, m.kept);
        });
        metrics
    }
}
