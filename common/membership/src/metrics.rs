//! What this room counts.

use std::fmt::{self, Write as _};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The counters of one membership; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    members: Gauge,
    trusted: Gauge,
    exchanges: Family<Labels, Counter>,
    searches: Counter,
    found: Counter,
}

/// How an exchange with a peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// Both know the same.
    Equal,
    /// Something changed meanwhile.
    Differ,
    /// The peer could not be reached or was lost.
    Failed,
    /// The peer told what it must not.
    Refused,
}

impl EncodeLabelValue for Ended {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Equal => "equal",
            Self::Differ => "differ",
            Self::Failed => "failed",
            Self::Refused => "refused",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Ended,
}

impl Metrics {
    /// Registers everything in this room's part of the process's registry, so that names begin with
    /// `cosmic_membership_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("members", "Active members of the ring", self.members.clone());
        registry.register("trusted_operators", "Operators that count by vouches", self.trusted.clone());
        registry.register("exchanges", "Exchanges with peers, by outcome", self.exchanges.clone());
        registry.register(
            "searches",
            "Searches in the directory for somebody of the ring, since nobody known answered",
            self.searches.clone(),
        );
        registry.register("found", "Supernodes and bootstrap nodes found by them", self.found.clone());
    }

    pub(crate) fn ended(&self, outcome: Ended) {
        self.exchanges.get_or_create(&Labels { outcome }).inc();
    }

    /// A search of the directory has found so many.
    pub(crate) fn found(&self, count: usize) {
        self.searches.inc();
        self.found.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn members(&self, count: usize, trusted_operators: usize) {
        self.members.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.trusted.set(i64::try_from(trusted_operators).unwrap_or(i64::MAX));
    }

    #[cfg(test)]
    pub(crate) fn count(&self, outcome: Ended) -> u64 {
        self.exchanges.get_or_create(&Labels { outcome }).get()
    }
}
