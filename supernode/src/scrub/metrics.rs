//! What the scrub counts.

use cosmic_runtime::metrics::Registry;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::{Fault, walk::Walked};

/// What is wrong, as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    fault: Label,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Label {
    Wrong,
    Missing,
    Unreadable,
}

/// The counters of the scrub.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    shards_read: Counter,
    entries_read: Counter,
    read_bytes: Counter,
    found: Family<Kind, Counter>,
    pub(super) healed: Counter,
    open: Gauge,
    pub(super) rounds_finished: Counter,
}

impl Metrics {
    /// Registers them under `cosmic_scrub_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("scrub", |room| {
            let m = metrics.clone();
            room.register("shards_read", "Shards that were read again", m.shards_read);
            room.register("entries_read", "Entries that were read again", m.entries_read);
            room.register("read_bytes", "Bytes that were read again", m.read_bytes);
            room.register("damage_found", "Damaged things found, by what is wrong", m.found);
            room.register("damage_healed", "Damaged things healed", m.healed);
            room.register("damage_open", "Damaged things nobody could heal yet", m.open);
            room.register("rounds_finished", "Rounds in which everything was read", m.rounds_finished);
        });
        metrics
    }

    pub(super) fn read(&self, walked: &Walked) {
        self.shards_read.inc_by(walked.shards);
        self.entries_read.inc_by(walked.entries);
        self.read_bytes.inc_by(walked.bytes);
    }

    pub(super) fn found(&self, fault: Fault) {
        let fault = match fault {
            Fault::Wrong => Label::Wrong,
            Fault::Missing => Label::Missing,
            Fault::Unreadable => Label::Unreadable,
        };
        self.found.get_or_create(&Kind { fault }).inc();
    }

    pub(super) fn open(&self, count: usize) {
        self.open.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
