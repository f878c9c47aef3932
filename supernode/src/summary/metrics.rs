//! What is counted about summaries, and what they say.

use std::{sync::atomic::AtomicU64, time::Duration};

use cosmic_runtime::metrics::Registry;
use cosmic_summary::{Figures, LatencySketch, MemberState, States, Why};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// What a figure is about, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Of {
    /// The region of this supernode.
    Region,
    /// All regions.
    World,
}

/// How members are, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum State {
    Well,
    Troubled,
    Leaving,
    Untold,
    Away,
}

/// Why a summary was refused, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Refusal {
    Malformed,
    NotAMember,
    NotMine,
    Stale,
    Forged,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Scope {
    of: Of,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Members {
    of: Of,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: Refusal,
}

type Numbers = Family<Scope, Gauge>;
type Seconds = Family<Scope, Gauge<f64, AtomicU64>>;

/// Counters of summaries, and the figures of the region and the world.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) told: Counter,
    pub(super) untold: Counter,
    pub(super) heard: Counter,
    pub(super) merged: Counter,
    pub(super) silent_regions: Gauge,
    refused: Family<Reason, Counter>,
    members: Family<Members, Gauge>,
    devices: Numbers,
    spaces: Numbers,
    kept_bytes: Numbers,
    capacity_bytes: Numbers,
    free_bytes: Numbers,
    median_seconds: Seconds,
    p99_seconds: Seconds,
}

impl Metrics {
    /// Registers them under `cosmic_summary_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("summary", |room| {
            let m = metrics.clone();
            room.register("told", "Aggregators told of this supernode", m.told);
            room.register("untold", "Aggregators that could not be told, or refused", m.untold);
            room.register("heard", "Words of members taken", m.heard);
            room.register("refused", "Words of members and of aggregators refused, by reason", m.refused);
            room.register("merged", "Times this supernode merged its region", m.merged);
            room.register("silent_regions", "Regions no aggregator of which was heard", m.silent_regions);
            room.register("members", "Members, by how they are", m.members);
            room.register("devices", "Devices with an open session, each once", m.devices);
            room.register("spaces", "Spaces", m.spaces);
            room.register("kept_bytes", "Bytes kept, each copy counted", m.kept_bytes);
            room.register("capacity_bytes", "Bytes the disks have", m.capacity_bytes);
            room.register("free_bytes", "Bytes of them that are free", m.free_bytes);
            room.register(
                "latency_median_seconds",
                "How long half of the writes took at most",
                m.median_seconds,
            );
            room.register("latency_p99_seconds", "How long 99 of 100 writes took at most", m.p99_seconds);
        });
        // What is told from the beginning is missed when it is not.
        for of in [Of::Region, Of::World] {
            metrics.show(of, &States::default(), &Figures::default(), &LatencySketch::new());
        }
        for reason in Refusal::ALL {
            drop(metrics.refused.get_or_create(&Reason { reason }));
        }
        metrics
    }

    pub(super) fn refused(&self, why: Why) {
        let reason = match why {
            Why::Malformed => Refusal::Malformed,
            Why::NotAMember => Refusal::NotAMember,
            Why::NotMine => Refusal::NotMine,
            Why::Stale => Refusal::Stale,
            Why::Forged => Refusal::Forged,
        };
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Shows what is known of the region or the world.
    pub(super) fn show(&self, of: Of, states: &States, figures: &Figures, latency: &LatencySketch) {
        for state in MemberState::ALL {
            let label = Members { of, state: State::of(state) };
            self.members.get_or_create(&label).set(i64::from(states.get(state)));
        }
        let scope = Scope { of };
        for (gauge, value) in [
            (&self.devices, figures.devices),
            (&self.spaces, super::status::whole(figures.spaces_milli)),
            (&self.kept_bytes, figures.kept_bytes),
            (&self.capacity_bytes, figures.capacity_bytes),
            (&self.free_bytes, figures.free_bytes),
        ] {
            gauge.get_or_create(&scope).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        for (gauge, part) in [(&self.median_seconds, 0.5), (&self.p99_seconds, 0.99)] {
            let seconds = latency.quantile(part).map_or(0.0, |took: Duration| took.as_secs_f64());
            gauge.get_or_create(&scope).set(seconds);
        }
    }
}

impl Refusal {
    const ALL: [Self; 5] = [Self::Malformed, Self::NotAMember, Self::NotMine, Self::Stale, Self::Forged];
}

impl State {
    const fn of(state: MemberState) -> Self {
        match state {
            MemberState::Well => Self::Well,
            MemberState::Troubled => Self::Troubled,
            MemberState::Leaving => Self::Leaving,
            MemberState::Untold => Self::Untold,
            MemberState::Away => Self::Away,
        }
    }
}
