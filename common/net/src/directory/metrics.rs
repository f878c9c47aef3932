//! What the directory counts.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::store::Refusal;

/// The counters of one directory; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    servers: Gauge,
    records: Gauge,
    queries: Family<QueryLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Asked {
    Join,
    Publish,
    Find,
}

/// How it ended; a search that found nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Succeeded,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueryLabels {
    asked: Asked,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: Refusal,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        // Told before the first one happens, so that pictures show a line at nothing instead of nothing.
        for asked in [Asked::Join, Asked::Publish, Asked::Find] {
            for outcome in [Outcome::Succeeded, Outcome::Failed] {
                drop(self.queries.get_or_create(&QueryLabels { asked, outcome }));
            }
        }
        for reason in [Refusal::TooLong, Refusal::NotValid, Refusal::Quota, Refusal::Full] {
            drop(self.refused.get_or_create(&RefusedLabels { reason }));
        }
        registry.register(
            "directory_servers",
            "Servers in the routing table of the directory",
            self.servers.clone(),
        );
        registry.register(
            "directory_records",
            "Records of the directory kept for others",
            self.records.clone(),
        );
        registry.register(
            "directory_queries",
            "Questions to the directory, by kind and outcome",
            self.queries.clone(),
        );
        registry.register(
            "directory_refused",
            "Records of others that are not kept, by reason",
            self.refused.clone(),
        );
    }

    pub(crate) fn asked(&self, asked: Asked, well: bool) {
        let outcome = if well { Outcome::Succeeded } else { Outcome::Failed };
        self.queries.get_or_create(&QueryLabels { asked, outcome }).inc();
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    pub(crate) fn holds(&self, servers: usize, records: usize) {
        self.servers.set(i64::try_from(servers).unwrap_or(i64::MAX));
        self.records.set(i64::try_from(records).unwrap_or(i64::MAX));
    }
}
