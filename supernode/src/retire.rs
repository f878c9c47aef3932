//! Leaving: devices are sent to other gateways, what is kept is moved to where it belongs, and when nothing is left that is
//! said. The rules are those of `cosmic_custody::retire`; here they get their hands.
//!
//! ```text
//! member record, sessions, counters ──▶ Retirement ──▶ the door of sessions, the end of placement records, a sentence
//! ```

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_custody::{
    Retirement,
    retire::{Input, Left, Output, Stage},
};
use cosmic_runtime::metrics::Registry;
use cosmic_store::Span;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Value, json};

use crate::{
    context::Context,
    moves::Moves,
    quota::{self, Quotas},
    session::Door,
    tables::{DOOMS, FORWARDS, LEASES, LOGS, PLACEMENTS, RESIDENCES},
};

/// How often is looked how many devices are left, and at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is said when nothing is left.
const NOTHING_LEFT: &str = "nothing is left here: this supernode may be stopped, and its disk wiped";

/// Gauges of leaving.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    stage: Gauge,
    shards_left: Gauge,
    logs_left: Gauge,
    bytes_left: Gauge,
}

impl Metrics {
    /// Registers them under `cosmic_retire_`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.room("retire", |room| {
            let m = metrics.clone();
            room.register("stage", "0 serving, 1 draining, 2 drained, 3 moving, 4 empty", m.stage);
            room.register("shards_left", "Shards a retired supernode still keeps", m.shards_left);
            room.register("logs_left", "Logs a retired supernode still keeps", m.logs_left);
            room.register("left_bytes", "Bytes a retired supernode still keeps", m.bytes_left);
        });
        metrics
    }
}

/// The way out of this supernode. Cheap to clone.
#[derive(Clone)]
pub struct Leaving(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    quotas: Quotas,
    moves: Moves,
    way: Mutex<Retirement>,
    metrics: Metrics,
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving").field("stage", &self.stage()).finish_non_exhaustive()
    }
}

impl Leaving {
    /// Begins to watch the record of this supernode.
    #[must_use]
    pub fn start(context: &Arc<Context>, quotas: Quotas, moves: Moves, metrics: Metrics) -> Self {
        let way = Mutex::new(Retirement::new(moves.config().drain()));
        let leaving = Self(Arc::new(Inner { context: Arc::clone(context), quotas, moves, way, metrics }));
        let watching = leaving.clone();
        context.tasks.spawn("leaving", |stop| async move {
            stop.unless(watching.run()).await;
        });
        leaving
    }

    /// Sends devices elsewhere and takes no new ones, until [`Self::resume`] or the next start.
    pub fn drain(&self) {
        self.tell(Input::Clients(self.0.context.sessions.len()));
        self.tell(Input::Drain);
    }

    /// Takes devices again.
    pub fn resume(&self) {
        self.tell(Input::Resume);
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.way().stage()
    }

    /// Where it stands, what is left, and what that waits for, as one JSON object.
    #[must_use]
    pub fn status(&self) -> Value {
        let stage = self.stage();
        let (since, left) = match stage {
            Stage::Serving | Stage::Drained => (None, None),
            Stage::Draining { since } => (Some(since), None),
            Stage::Moving { since, left } => (Some(since), Some(left)),
            Stage::Empty { since } => (Some(since), Some(Left::default())),
        };
        let left = left.map(|left| {
            json!({
                "shards": left.shards, "logs": left.logs, "forwards": left.forwards, "bytes": left.bytes,
            })
        });
        json!({
            "stage": name(&stage),
            "since": since.map(cosmic_common::time::Timestamp::unix_ms),
            "sessions": self.0.context.sessions.len(),
            "left": left,
            "moves": self.0.moves.status(),
            "sentence": sentence(&stage),
        })
    }

    fn way(&self) -> MutexGuard<'_, Retirement> {
        self.0.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self) {
        let clock = self.0.context.clock.clone();
        let mut ring = self.0.context.ring.clone();
        let mut counted_at = None;
        loop {
            let state = {
                let view = ring.borrow_and_update();
                view.members.get(&self.0.context.peer).map(|member| member.state)
            };
            self.tell(Input::Record(state));
            self.tell(Input::Clients(self.0.context.sessions.len()));
            let is_leaving = matches!(self.stage(), Stage::Moving { .. } | Stage::Empty { .. });
            let now = clock.monotonic();
            let every = self.0.moves.config().look_every();
            if is_leaving && counted_at.is_none_or(|at| now.since(at) >= every) {
                counted_at = Some(now);
                self.count().await;
            }
            // The sender lives as long as the process; when it ends so does this.
            let _change = clock.timeout(LOOK_EVERY, ring.changed()).await;
        }
    }

    /// Counts what is left.
    async fn count(&self) {
        let (context, quotas) = (Arc::clone(&self.0.context), self.0.quotas.clone());
        let counting = tokio::task::spawn_blocking(move || left(&context, &quotas));
        match counting.await {
            Ok(Ok(left)) => {
                let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                self.0.metrics.shards_left.set(gauge(left.shards));
                self.0.metrics.logs_left.set(gauge(left.logs));
                self.0.metrics.bytes_left.set(gauge(left.bytes));
                if left.is_nothing() {
                    self.clear().await;
                }
                self.tell(Input::Left(left));
            }
            Ok(Err(error)) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::warn!(reason, "what is left cannot be counted");
            }
            Err(_stopping) => {}
        }
    }

    /// Placement records are others' by the ring, and can be made again: they go with the last copy, as does what is noted
    /// about objects that were here.
    async fn clear(&self) {
        let store = &self.0.context.store;
        let mut batch = store.batch();
        batch.delete_span(&PLACEMENTS, &Span::all());
        batch.delete_span(&DOOMS, &Span::all()).delete_span(&LEASES, &Span::all());
        batch.delete_span(&RESIDENCES, &Span::all());
        if let Err(error) = store.commit(batch).await {
            tracing::warn!(%error, "placement records could not be removed");
        }
    }

    /// Tells the machine what happened, and does what it wants.
    fn tell(&self, input: Input) {
        let (outputs, stage) = {
            let mut way = self.way();
            (way.handle(input, self.0.context.clock.now()), way.stage())
        };
        let sessions = &self.0.context.sessions;
        for output in outputs {
            match output {
                Output::TurnAway => {
                    let within = self.0.moves.config().drain();
                    tracing::info!(seconds = within.as_secs(), "devices are sent to other supernodes");
                    sessions.set_door(Door::Closing { within });
                }
                Output::CutOff => sessions.set_door(Door::Closed),
                Output::Welcome => sessions.set_door(Door::Open),
                Output::SayEmpty => tracing::info!("{NOTHING_LEFT}"),
                // Moves go on by themselves, and the clock is looked at every second anyway.
                Output::Move | Output::Wake(_) => {}
            }
        }
        self.0.metrics.stage.set(number(&stage));
    }
}

/// What is still kept, counted. Blocks.
fn left(context: &Context, quotas: &Quotas) -> Result<Left, quota::Error> {
    let totals = quotas.totals()?;
    let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
    let logs = context.store.scan(&LOGS, &Span::all(), usize::MAX).count();
    let forwards = context.store.scan(&FORWARDS, &Span::all(), usize::MAX).count();
    Ok(Left {
        shards: totals.shards,
        logs: count(logs),
        forwards: count(forwards),
        bytes: totals.entry_bytes + totals.shard_bytes,
    })
}

/// Where it stands, as a word.
pub(crate) const fn name(stage: &Stage) -> &'static str {
    match stage {
        Stage::Serving => "serving",
        Stage::Draining { .. } => "draining",
        Stage::Drained => "drained",
        Stage::Moving { .. } => "moving",
        Stage::Empty { .. } => "empty",
    }
}

const fn number(stage: &Stage) -> i64 {
    match stage {
        Stage::Serving => 0,
        Stage::Draining { .. } => 1,
        Stage::Drained => 2,
        Stage::Moving { .. } => 3,
        Stage::Empty { .. } => 4,
    }
}

/// Where it stands, for people.
fn sentence(stage: &Stage) -> String {
    match stage {
        Stage::Serving => "it serves devices and keeps what belongs to it".to_owned(),
        Stage::Draining { .. } => "devices are sent to other supernodes; what is kept stays".to_owned(),
        Stage::Drained => "no device is here any more; what is kept stays".to_owned(),
        Stage::Moving { left, .. } => format!(
            "it has left the ring and passes on what it has: {} shards, {} logs and {} bytes are left",
            left.shards, left.logs, left.bytes
        ),
        Stage::Empty { .. } => NOTHING_LEFT.to_owned(),
    }
}
