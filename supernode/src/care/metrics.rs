//! What is counted about care.

use cosmic_custody::{Stuck, repair::queue::Failure, repair::queue::Waiting};
use cosmic_runtime::metrics::Registry;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use serde::Serialize;

use super::census::OfClass;

/// Why an object waits, as a label and as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Why {
    /// It is being mended.
    Mending,
    /// The operator paused repairs.
    Paused,
    /// Another supernode comes first.
    Turn,
    /// This supernode has no part of it.
    NotOurs,
    /// Another one holds the lease.
    Leased,
    /// A lease was asked for.
    AskingLease,
    /// The budget is used up.
    Budget,
    /// More endangered objects come first.
    Behind,
    /// Too few shards can be read.
    TooFewSources,
    /// Everybody who is there has a shard already.
    NoPlace,
    /// Those asked did not give their shards.
    Unread,
    /// New holders did not take theirs.
    Unplaced,
    /// It took too long.
    Late,
    /// The own disk or memory.
    Local,
}

impl Why {
    pub(super) const ALL: [Self; 14] = [
        Self::Mending,
        Self::Paused,
        Self::Turn,
        Self::NotOurs,
        Self::Leased,
        Self::AskingLease,
        Self::Budget,
        Self::Behind,
        Self::TooFewSources,
        Self::NoPlace,
        Self::Unread,
        Self::Unplaced,
        Self::Late,
        Self::Local,
    ];

    pub(super) const fn of(waiting: Waiting) -> Self {
        match waiting {
            Waiting::Mending { .. } => Self::Mending,
            Waiting::Paused => Self::Paused,
            Waiting::Turn { .. } => Self::Turn,
            Waiting::NotOurs => Self::NotOurs,
            Waiting::Leased { .. } => Self::Leased,
            Waiting::AskingLease { .. } => Self::AskingLease,
            Waiting::Budget { .. } => Self::Budget,
            Waiting::Behind { .. } => Self::Behind,
            Waiting::Retry { failure, .. } => match failure {
                Failure::Stuck(Stuck::TooFewSources { .. }) => Self::TooFewSources,
                Failure::Stuck(Stuck::NoPlace { .. }) => Self::NoPlace,
                Failure::Unread => Self::Unread,
                Failure::Unplaced => Self::Unplaced,
                Failure::Late => Self::Late,
                Failure::Local => Self::Local,
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: Why,
}

/// The counters of care.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) members_silent: Gauge,
    pub(super) looked_at_ms: Gauge,
    pub(super) walks: Counter,
    pub(super) queued: Gauge,
    pub(super) queued_bytes: Gauge,
    pub(super) margin_least: Gauge,
    pub(super) waiting: Family<Reason, Gauge>,
    pub(super) objects_mended: Counter,
    pub(super) repairs_failed: Counter,
    pub(super) bytes_read: Counter,
    pub(super) bytes_rebuilt: Counter,
    pub(super) objects_recoded: Counter,
    pub(super) bytes_recoded: Counter,
    pub(super) objects: Family<OfClass, Gauge>,
    pub(super) to_recode: Gauge,
    pub(super) queued_to_recode: Gauge,
    pub(super) to_recode_bytes: Gauge,
    pub(super) owners_awaited: Gauge,
    pub(super) shards_handed_over: Counter,
}

impl Metrics {
    /// Registers them under `cosmic_care_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("care", |room| {
            let m = metrics.clone();
            room.register(
                "members_silent",
                "Other members of the ring that were not heard lately",
                m.members_silent,
            );
            room.register("looked_at_ms", "When all members were asked last, unix time", m.looked_at_ms);
            room.register("walks", "Walks over everything kept here that came to their end", m.walks);
            room.register("queued", "Objects in danger that this supernode knows of", m.queued);
            room.register("queued_bytes", "Bytes that their repair will move", m.queued_bytes);
            room.register(
                "margin_least",
                "Shards the most endangered object can still lose; below 0 it cannot be read now",
                m.margin_least,
            );
            room.register("waiting", "Objects in danger by what they wait for", m.waiting);
            room.register("objects_mended", "Objects mended by this supernode", m.objects_mended);
            room.register("repairs_failed", "Repairs that did not succeed", m.repairs_failed);
            room.register("bytes_read", "Bytes read from others for repairs", m.bytes_read);
            room.register("bytes_rebuilt", "Bytes of shards made again and placed", m.bytes_rebuilt);
            room.register(
                "objects_recoded",
                "Objects coded anew by this supernode in the class of the ring",
                m.objects_recoded,
            );
            room.register("objects", "Objects of which something is kept here, by class", m.objects);
            room.register(
                "to_recode",
                "Those of them that lie in another class than the ring's",
                m.to_recode,
            );
            room.register(
                "queued_to_recode",
                "Objects that wait here to be coded anew, by this supernode or another",
                m.queued_to_recode,
            );
            room.register("to_recode_bytes", "Bytes of their shards here", m.to_recode_bytes);
            room.register("bytes_recoded", "Bytes read and placed to code objects anew", m.bytes_recoded);
            room.register("owners_awaited", "Holders for whom shards are kept here", m.owners_awaited);
            room.register(
                "shards_handed_over",
                "Shards kept for others that were given to them",
                m.shards_handed_over,
            );
        });
        metrics
    }
}
