//! What a supernode counts about entries and sessions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cosmic_custody::message::refusal::RefusalCode;
use cosmic_runtime::metrics::Registry;
use cosmic_summary::LatencySketch;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// Why an entry or a stream was refused, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Why {
    /// Signature, chain, rights or form.
    Invalid,
    /// Something it rests on is missing.
    Gap,
    /// Another entry has its place.
    Fork,
    /// The space is full.
    Quota,
    /// The store failed.
    Storage,
    /// The proof of the session does not hold.
    NotAuthorised,
    /// Anything else.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: Why,
}

/// The counters of the entries half.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) entries_stored: Counter,
    pub(crate) entries_forwarded: Counter,
    pub(crate) entries_refused: Family<Reason, Counter>,
    pub(crate) sessions_refused: Family<Reason, Counter>,
    pub(crate) work_missing: Counter,
    pub(crate) sessions_sent_away: Counter,
    pub(crate) receipts_signed: Counter,
    pub(crate) sessions: Gauge,
    pub(crate) spaces: Gauge,
    pub(crate) cards: Gauge,
    pub(crate) genesis_searches: Counter,
    pub(crate) kept_elsewhere: Counter,
    pub(crate) roots_equal: Counter,
    pub(crate) roots_differing: Counter,
    /// How long entries of devices took from their arrival until they were durable, since somebody took it.
    pub(crate) waits: Waits,
}

/// Times that are gathered for the next summary.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits(Arc<Mutex<LatencySketch>>);

impl Waits {
    /// Somebody waited so long.
    pub(crate) fn add(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(took);
    }

    /// All since the last time.
    pub(crate) fn take(&self) -> LatencySketch {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Metrics {
    /// Registers them under `cosmic_supernode_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("supernode", |room| {
            let m = metrics.clone();
            room.register("entries_stored", "Entries stored durably", m.entries_stored);
            room.register("cards", "Cards by which devices of a space find each other", m.cards);
            room.register(
                "entries_forwarded",
                "Entries kept until replicas have signed for them",
                m.entries_forwarded,
            );
            room.register("entries_refused", "Entries refused, by reason", m.entries_refused);
            room.register("sessions_refused", "Sessions refused or cut off, by reason", m.sessions_refused);
            room.register(
                "work_missing",
                "Sessions refused to strangers that brought no work while there was too much to do",
                m.work_missing,
            );
            room.register(
                "sessions_sent_away",
                "Sessions sent to other supernodes: this one is full or leaves",
                m.sessions_sent_away,
            );
            room.register("receipts_signed", "Receipts signed", m.receipts_signed);
            room.register("sessions", "Sessions of devices that are open", m.sessions);
            room.register("spaces", "Spaces held in memory", m.spaces);
            room.register(
                "genesis_searches",
                "Searches for the regions of a space nobody here knew",
                m.genesis_searches,
            );
            room.register(
                "kept_elsewhere",
                "Entries passed on from memory, whose spaces keep their data in other regions",
                m.kept_elsewhere,
            );
            room.register("roots_equal", "Comparisons of roots that were equal", m.roots_equal);
            room.register("roots_differing", "Comparisons of roots that differed", m.roots_differing);
        });
        metrics
    }

    pub(crate) fn refused_entry(&self, why: Why) {
        self.entries_refused.get_or_create(&Reason { reason: why }).inc();
    }

    pub(crate) fn refused_session(&self, why: Why) {
        self.sessions_refused.get_or_create(&Reason { reason: why }).inc();
    }
}

impl Why {
    pub(crate) const fn of(code: RefusalCode) -> Self {
        match code {
            RefusalCode::InvalidEntry | RefusalCode::Malformed => Self::Invalid,
            RefusalCode::Gap => Self::Gap,
            RefusalCode::Fork => Self::Fork,
            RefusalCode::QuotaExceeded => Self::Quota,
            RefusalCode::Storage => Self::Storage,
            RefusalCode::NotAuthorised => Self::NotAuthorised,
            _ => Self::Other,
        }
    }
}
