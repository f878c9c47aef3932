//! What a store counts.

use std::fmt::{self, Write as _};

use cosmic_runtime::metrics::Registry;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Unit,
};

/// From 0.1 ms (a fast NVMe) to 6.5 s (a disk in trouble).
const SECONDS: (f64, f64, u16) = (0.0001, 3.0, 11);
/// From one batch to the largest group.
const BATCHES: (f64, f64, u16) = (1.0, 2.0, 11);

/// Why a batch was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    Full,
    Poisoned,
}

impl EncodeLabelValue for Refusal {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Full => "full",
            Self::Poisoned => "poisoned",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: Refusal,
}

/// Counted by the writer thread and by readers.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) group_seconds: Histogram,
    pub(crate) group_batches: Histogram,
    pub(crate) written_bytes: Counter,
    pub(crate) refused: Family<Reason, Counter>,
    pub(crate) corrupt: Counter,
    pub(crate) free_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let buckets = |(start, factor, count)| Histogram::new(exponential_buckets(start, factor, count));
        let metrics = Self {
            group_seconds: buckets(SECONDS),
            group_batches: buckets(BATCHES),
            written_bytes: Counter::default(),
            refused: Family::default(),
            corrupt: Counter::default(),
            free_bytes: Gauge::default(),
        };
        registry.room("store", |room| {
            let Self { group_seconds, group_batches, written_bytes, refused, corrupt, free_bytes } =
                metrics.clone();
            let help = "Time one group of batches took from its first write to its fsync";
            room.register_with_unit("group", help, Unit::Seconds, group_seconds);
            room.register("group_batches", "Batches written with one fsync", group_batches);
            room.register_with_unit("written", "Size of all batches written", Unit::Bytes, written_bytes);
            room.register("refused_batches", "Batches refused before anything was written", refused);
            room.register("corrupt_values", "Stored values that could not be read back", corrupt);
            room.register_with_unit("free", "Room on the disk of the store", Unit::Bytes, free_bytes);
        });
        metrics
    }
}
