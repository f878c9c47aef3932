//! What is counted about audits.

use cosmic_custody::audit::evidence::Finding;
use cosmic_runtime::metrics::Registry;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// What was found, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Found {
    /// The holder does not have the shard.
    Denied,
    /// What came is no proof.
    Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct What {
    pub(super) finding: Found,
}

/// What became of evidence that came, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Heard {
    /// It was new and counts.
    New,
    /// It was known, or too old to matter.
    Known,
    /// It does not stand: signatures, members, hashes.
    Refused,
    /// Its auditor has brought too much of it.
    TooMuch,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Became {
    pub(super) outcome: Heard,
}

/// The counters of audits.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) audits_proved: Counter,
    pub(super) audits_failed: Family<What, Counter>,
    pub(super) audits_unanswered: Counter,
    pub(super) shards_lost: Counter,
    pub(super) challenges_proved: Counter,
    pub(super) challenges_refused: Counter,
    pub(super) evidence_heard: Family<Became, Counter>,
    pub(super) accusations: Counter,
    pub(super) cases: Gauge,
    pub(super) holders_distrusted: Gauge,
}

impl Metrics {
    /// Registers them under `cosmic_audit_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("audit", |room| {
            let m = metrics.clone();
            room.register("audits_proved", "Audits that ended with a proof", m.audits_proved);
            room.register("audits_failed", "Audits that ended without one, by finding", m.audits_failed);
            room.register("audits_unanswered", "Audits that were not answered", m.audits_unanswered);
            room.register("shards_lost", "Shards of others that came to count as lost", m.shards_lost);
            room.register("challenges_proved", "Proofs given to others", m.challenges_proved);
            room.register("challenges_refused", "Proofs that were not given", m.challenges_refused);
            room.register("evidence_heard", "Evidence that others told, by outcome", m.evidence_heard);
            room.register("accusations", "Evidence of others against this supernode", m.accusations);
            room.register("cases", "Shards of others that findings stand against", m.cases);
            room.register(
                "holders_distrusted",
                "Members of the ring that get nothing new",
                m.holders_distrusted,
            );
        });
        metrics
    }

    pub(super) fn failed(&self, finding: Finding) {
        let finding = match finding {
            Finding::Denied => Found::Denied,
            Finding::Wrong => Found::Wrong,
        };
        self.audits_failed.get_or_create(&What { finding }).inc();
    }

    pub(super) fn heard(&self, outcome: Heard) {
        self.evidence_heard.get_or_create(&Became { outcome }).inc();
    }
}
