//! What the relay for browsers counts.

use cosmic_runtime::metrics::Registry;
use cosmic_turn::{Counts, Relay};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Unit,
};

/// Why a browser was refused, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Why {
    /// Its credential is wrong, or over.
    Unauthorized,
    /// Nothing is relayed to that peer.
    Forbidden,
    /// There is no more for it, or for anybody.
    Exhausted,
    /// It showed nothing, and asked too often.
    Ignored,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    reason: Why,
}

/// The counters.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    pub(super) credentials: Counter,
    pub(super) allocated: Counter,
    pub(super) refused: Family<Reason, Counter>,
    pub(super) relayed: Counter,
    pub(super) dropped: Counter,
    pub(super) allocations: Gauge,
    pub(super) devices: Gauge,
    pub(super) connections: Gauge,
}

impl Metrics {
    /// Registers them under `cosmic_turn_`.
    #[must_use]
    pub(super) fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        // A reason that has not come up yet is told as well.
        metrics.tell_refused(&Counts::default(), &Counts::default());
        registry.room("turn", |room| {
            let m = metrics.clone();
            room.register("credentials", "Credentials given to devices for their browsers", m.credentials);
            room.register("allocated", "Ports given to browsers since the start", m.allocated);
            room.register("refused", "What browsers were refused, by reason", m.refused);
            room.register_with_unit("relayed", "Relayed for browsers, both ways", Unit::Bytes, m.relayed);
            room.register_with_unit("dropped", "Not relayed: beyond the rate", Unit::Bytes, m.dropped);
            room.register("allocations", "Ports that browsers have", m.allocations);
            room.register("devices", "Devices whose browsers have any", m.devices);
            room.register("connections", "Browsers connected over TCP", m.connections);
        });
        metrics
    }

    /// Adds what has happened since `before`, and says what has happened until now.
    pub(super) fn tell(&self, before: Counts, relay: &Relay) -> Counts {
        let now = relay.counts();
        self.allocated.inc_by(now.allocated - before.allocated);
        self.relayed.inc_by(now.relayed_bytes - before.relayed_bytes);
        self.dropped.inc_by(now.dropped_bytes - before.dropped_bytes);
        self.tell_refused(&before, &now);
        self.allocations.set(i64::try_from(relay.allocations()).unwrap_or(i64::MAX));
        self.devices.set(i64::try_from(relay.users()).unwrap_or(i64::MAX));
        now
    }

    fn tell_refused(&self, before: &Counts, now: &Counts) {
        let refused = |reason, count| self.refused.get_or_create(&Reason { reason }).inc_by(count);
        refused(Why::Unauthorized, now.unauthorized - before.unauthorized);
        refused(Why::Forbidden, now.forbidden - before.forbidden);
        refused(Why::Exhausted, now.exhausted - before.exhausted);
        refused(Why::Ignored, now.ignored - before.ignored);
    }
}
