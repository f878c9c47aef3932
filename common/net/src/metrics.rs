//! What the network counts.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{directory, guard::Offence, reach::Nat};

/// The counters of one network; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Those of the directory.
    pub(crate) directory: directory::metrics::Metrics,
    connections: Gauge,
    bulk_connections: Gauge,
    bulk_fallbacks: Family<FallbackLabels, Counter>,
    dials: Family<DialLabels, Counter>,
    streams: Family<StreamLabels, Counter>,
    bytes: Family<BytesLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    offences: Family<OffenceLabels, Counter>,
    bans: Counter,
    banned: Gauge,
    pressure: Gauge,
    shed: Counter,
    throttled: Counter,
    retries: Counter,
    reservations: Gauge,
    circuits: Family<CircuitLabels, Counter>,
    punches: Family<PunchLabels, Counter>,
    // Members of `bytes`, kept apart since every read and write counts.
    by_swarm: Way,
    by_bulk: Way,
}

/// What a stream counts its bytes in.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    sent: Counter,
    received: Counter,
}

/// What carries a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Plane {
    Swarm,
    Bulk,
}

/// Why a bulk stream travels by the swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Fallback {
    /// The peer has no bulk plane.
    Unsupported,
    /// Its port does not answer, or somebody else does.
    Unreachable,
    /// Too many bulk connections stand.
    Busy,
    /// The connection ended while it was made or used.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    reason: Fallback,
}

/// How a dial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum DialOutcome {
    Connected,
    Failed,
}

/// What became of a stream that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum StreamOutcome {
    Opened,
    Failed,
    Accepted,
    /// Dropped because nobody took the streams before it.
    Busy,
    /// Dropped by the guard.
    Refused,
}

/// Why the guard let a connection or a stream not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Refused {
    /// The address has as many connections as it may.
    Address,
    /// The subnet has.
    Subnet,
    /// Too many handshakes are under way.
    Pending,
    /// The address began too many connections a moment ago.
    Arrivals,
    /// The peer or the address is kept out.
    Banned,
    /// A stranger, while there is too much to do.
    Overload,
    /// The peer owes too much for what it did before.
    Budget,
}

impl Refused {
    const ALL: [Self; 7] = [
        Self::Address,
        Self::Subnet,
        Self::Pending,
        Self::Arrivals,
        Self::Banned,
        Self::Overload,
        Self::Budget,
    ];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OffenceLabels {
    kind: Offence,
}

/// What became of a circuit of others, or of the wish for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum CircuitOutcome {
    Opened,
    Closed,
    Refused,
    ReservationRefused,
}

/// How an attempt to punch a hole ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum PunchOutcome {
    Punched,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CircuitLabels {
    outcome: CircuitOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PunchLabels {
    nat: Nat,
    outcome: PunchOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Direction {
    Sent,
    Received,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DialLabels {
    outcome: DialOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    outcome: StreamOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BytesLabels {
    direction: Direction,
    plane: Plane,
}

impl Default for Metrics {
    fn default() -> Self {
        let bytes: Family<BytesLabels, Counter> = Family::default();
        let member = |direction, plane| bytes.get_or_create(&BytesLabels { direction, plane }).clone();
        // Told before the first one happens, so that pictures show a line at nothing instead of nothing.
        let refused: Family<RefusedLabels, Counter> = Family::default();
        for reason in Refused::ALL {
            drop(refused.get_or_create(&RefusedLabels { reason }));
        }
        let offences: Family<OffenceLabels, Counter> = Family::default();
        for kind in Offence::ALL {
            drop(offences.get_or_create(&OffenceLabels { kind }));
        }
        let way = |plane| Way {
            sent: member(Direction::Sent, plane),
            received: member(Direction::Received, plane),
        };
        Self {
            directory: directory::metrics::Metrics::default(),
            connections: Gauge::default(),
            dials: Family::default(),
            streams: Family::default(),
            bulk_connections: Gauge::default(),
            bulk_fallbacks: Family::default(),
            refused,
            offences,
            bans: Counter::default(),
            banned: Gauge::default(),
            pressure: Gauge::default(),
            shed: Counter::default(),
            throttled: Counter::default(),
            retries: Counter::default(),
            by_swarm: way(Plane::Swarm),
            by_bulk: way(Plane::Bulk),
            reservations: Gauge::default(),
            circuits: Family::default(),
            punches: Family::default(),
            bytes,
        }
    }
}

impl Metrics {
    /// Registers everything in the part of the process's registry that belongs to this room, so that names
    /// begin with `cosmic_net_`.
    pub fn register(&self, registry: &mut Registry) {
        self.directory.register(registry);
        registry.register("connections", "Connections that stand now", self.connections.clone());
        registry.register(
            "bulk_connections",
            "Connections of the bulk plane that stand now",
            self.bulk_connections.clone(),
        );
        registry.register(
            "bulk_fallbacks",
            "Bulk streams that travelled by the swarm, by reason",
            self.bulk_fallbacks.clone(),
        );
        registry.register("dials", "Dials that ended, by outcome", self.dials.clone());
        registry.register(
            "reservations",
            "Peers that are reachable through this relay now",
            self.reservations.clone(),
        );
        registry.register("circuits", "Circuits through this relay, by outcome", self.circuits.clone());
        registry.register(
            "hole_punches",
            "Attempts to reach a peer directly that was reached through a relay, by kind of NAT and outcome",
            self.punches.clone(),
        );
        registry.register("streams", "Streams opened or accepted, by outcome", self.streams.clone());
        registry.register_with_unit(
            "stream",
            "Bytes of frames and bulk on streams, by direction and plane",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "refused",
            "Connections and streams refused by the guard, by reason",
            self.refused.clone(),
        );
        registry.register("offences", "What nobody honest does, by kind", self.offences.clone());
        registry.register("bans", "Bans of peers and addresses", self.bans.clone());
        registry.register("banned", "Peers and addresses kept out now", self.banned.clone());
        registry.register("pressure", "0 calm, 1 busy, 2 overloaded", self.pressure.clone());
        registry.register("shed", "Connections closed to make room", self.shed.clone());
        registry.register(
            "retries",
            "Bulk connections asked to show that their address is their own",
            self.retries.clone(),
        );
        registry.register("throttled", "Waits of peers that owed for what they sent", self.throttled.clone());
    }

    pub(crate) fn refused(&self, reason: Refused) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    pub(crate) fn offended(&self, kind: Offence) {
        self.offences.get_or_create(&OffenceLabels { kind }).inc();
    }

    pub(crate) fn banned(&self) {
        self.bans.inc();
    }

    pub(crate) fn shed(&self) {
        self.shed.inc();
    }

    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    pub(crate) fn throttled(&self) {
        self.throttled.inc();
    }

    /// How hard pressed the process is, from 0, and how many are kept out.
    pub(crate) fn load(&self, pressure: i64, banned: usize) {
        self.pressure.set(pressure);
        self.banned.set(i64::try_from(banned).unwrap_or(i64::MAX));
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    pub(crate) fn dialed(&self, outcome: DialOutcome) {
        self.dials.get_or_create(&DialLabels { outcome }).inc();
    }

    pub(crate) fn stream(&self, outcome: StreamOutcome) {
        self.streams.get_or_create(&StreamLabels { outcome }).inc();
    }

    pub(crate) fn reservations(&self, count: usize) {
        self.reservations.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn circuit(&self, outcome: CircuitOutcome) {
        self.circuits.get_or_create(&CircuitLabels { outcome }).inc();
    }

    pub(crate) fn punched(&self, nat: Nat, outcome: PunchOutcome) {
        self.punches.get_or_create(&PunchLabels { nat, outcome }).inc();
    }

    pub(crate) fn bulk_connected(&self) {
        self.bulk_connections.inc();
    }

    pub(crate) fn bulk_disconnected(&self) {
        self.bulk_connections.dec();
    }

    pub(crate) fn fell_back(&self, reason: Fallback) {
        self.bulk_fallbacks.get_or_create(&FallbackLabels { reason }).inc();
    }

    pub(crate) fn by_swarm(&self) -> Way {
        self.by_swarm.clone()
    }

    pub(crate) fn by_bulk(&self) -> Way {
        self.by_bulk.clone()
    }
}

impl Way {
    pub(crate) fn sent(&self, bytes: usize) {
        count(&self.sent, bytes);
    }

    pub(crate) fn received(&self, bytes: usize) {
        count(&self.received, bytes);
    }
}

fn count(counter: &Counter, bytes: usize) {
    counter.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
}
