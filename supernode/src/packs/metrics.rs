//! What is counted about packs.

use cosmic_runtime::metrics::Registry;
use prometheus_client::metrics::counter::Counter;

/// Counters of packs.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) made: Counter,
    pub(super) bytes_made: Counter,
    pub(super) failed: Counter,
    pub(super) noted: Counter,
    pub(super) refused: Counter,
    pub(super) freed: Counter,
    pub(super) entries_freed: Counter,
    pub(super) thinned: Counter,
    pub(super) bodies_dropped: Counter,
    pub(super) body_bytes_dropped: Counter,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("packs", |room| {
            room.register("made", "packs coded and placed by this supernode", metrics.made.clone());
            room.register("made_bytes", "bytes of these packs", metrics.bytes_made.clone());
            room.register(
                "failed",
                "packs that could not be placed, and are tried again",
                metrics.failed.clone(),
            );
            room.register(
                "noted",
                "packs noted after they were held against the own entries",
                metrics.noted.clone(),
            );
            room.register("refused", "packs that are not what they were said to be", metrics.refused.clone());
            room.register("freed", "runs whose entries were freed here", metrics.freed.clone());
            room.register("freed_entries", "entries in these runs", metrics.entries_freed.clone());
            room.register("thinned", "packed runs whose bodies snapshots replaced", metrics.thinned.clone());
            room.register(
                "dropped_bodies",
                "bodies that were dropped with them",
                metrics.bodies_dropped.clone(),
            );
            room.register("dropped_bytes", "bytes of these bodies", metrics.body_bytes_dropped.clone());
        });
        metrics
    }
}
