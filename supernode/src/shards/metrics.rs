//! What a supernode counts about objects and shards.

use cosmic_runtime::metrics::Registry;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

/// The counters of the objects half.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) objects_stored: Counter,
    pub(crate) objects_served: Counter,
    pub(crate) objects_refused: Counter,
    pub(crate) objects_in_flight: Gauge,
    pub(crate) shards_kept: Counter,
    pub(crate) shards_kept_for_others: Counter,
    pub(crate) shards_freed: Counter,
    pub(crate) shards_served: Counter,
    pub(crate) shards_refused: Counter,
    pub(crate) shards_wrong: Counter,
    pub(crate) shards_mended: Counter,
    pub(crate) manifests_forged: Counter,
    pub(crate) searches_beyond_ring: Counter,
}

impl Metrics {
    /// Registers them under `cosmic_storage_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("storage", |room| {
            let m = metrics.clone();
            room.register("objects_stored", "Objects coded and placed", m.objects_stored);
            room.register("objects_served", "Objects given to devices", m.objects_served);
            room.register(
                "objects_refused",
                "Requests of devices for objects that were refused",
                m.objects_refused,
            );
            room.register("objects_in_flight", "Objects in memory now", m.objects_in_flight);
            room.register("shards_kept", "Shards stored durably", m.shards_kept);
            room.register(
                "shards_kept_for_others",
                "Shards stored for holders that were away",
                m.shards_kept_for_others,
            );
            room.register(
                "shards_freed",
                "Shards deleted because those who should have them signed for them",
                m.shards_freed,
            );
            room.register("shards_served", "Shards given to other supernodes", m.shards_served);
            room.register(
                "shards_refused",
                "Requests of supernodes for shards that were refused",
                m.shards_refused,
            );
            room.register(
                "shards_wrong",
                "Shards that came and were not what their manifest says",
                m.shards_wrong,
            );
            room.register(
                "shards_mended",
                "Wrong shards that were replaced at their holders",
                m.shards_mended,
            );
            room.register(
                "manifests_forged",
                "Manifests that turned out not to be their object's",
                m.manifests_forged,
            );
            room.register(
                "searches_beyond_ring",
                "Objects not found at the holders the ring names",
                m.searches_beyond_ring,
            );
        });
        metrics
    }
}
