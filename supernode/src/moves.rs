//! Moves: what belongs elsewhere by the ring goes there, and is freed here last. The rules are those of
//! `cosmic_custody::{plan::target, release}`; here they get their hands.
//!
//! ```text
//! walk ── strays ──▶ shards ── Survey, Put ──▶ where they belong ── Which, twice, a delay apart ──▶ freed here
//! ring ── leaving ──▶ spaces ── Append, Note ──▶ their replicas ── Attest, twice, a delay apart ──▶ forgotten here
//! ```
//! Whoever has the old copy moves it; new holders and replicas wait for it. Reads find it here until it goes.

mod asking;
mod codings;
mod config;
mod metrics;
mod round;
mod shards;
mod spaces;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cosmic_custody::repair::budget::Budget;
use cosmic_runtime::tasks::Tasks;
use serde_json::{Value, json};

use self::round::Round;
pub use self::{config::Config, metrics::Metrics};
use crate::{
    care::{self, Care},
    context::Context,
    packs::{self, Packs},
    replica::{client, reconcile},
    shards::{self as shard_hands, Shards},
    spaces::{self as space_hands, Spaces},
};

/// Why something could not be moved now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tables.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
    /// A shard.
    #[error(transparent)]
    Shard(#[from] shard_hands::Error),
    /// Those who look after what is kept.
    #[error(transparent)]
    Care(#[from] care::Error),
    /// A replica.
    #[error("a replica of the space does not answer")]
    Replica(#[from] client::Error),
    /// Heads could not be compared, or what is missing not sent.
    #[error("the entries of the space could not be handed over")]
    HandOver(#[from] reconcile::Error),
    /// A pack was not noted.
    #[error("the packs of the space could not be handed over")]
    Packs(#[from] packs::Error),
    /// The writer of the space.
    #[error(transparent)]
    Space(#[from] space_hands::Error),
    /// The process is ending.
    #[error("the supernode is stopping")]
    Stopping,
}

/// Moves what belongs elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct Moves(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    shards: Shards,
    care: Care,
    spaces: Spaces,
    packs: Packs,
    config: Config,
    /// What moving shards may take of the uplink: as much as repairs.
    budget: Mutex<Budget>,
    /// What the last round over the strays, and over the spaces, found.
    told: Mutex<Told>,
    metrics: Metrics,
}

#[derive(Debug, Clone, Default)]
struct Told {
    shards: Round,
    spaces: Round,
}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moves").field("peer", &self.0.context.peer).finish_non_exhaustive()
    }
}

impl Moves {
    /// Begins to move.
    #[must_use]
    pub fn start(
        (shards, spaces): (Shards, Spaces),
        care: Care,
        packs: Packs,
        config: &Config,
        metrics: Metrics,
        tasks: &Tasks,
    ) -> Self {
        let context = Arc::clone(spaces.context());
        let budget = Mutex::new(Budget::new(care.allowance(), context.clock.now()));
        let config = config.clone();
        let told = Mutex::default();
        let moves =
            Self(Arc::new(Inner { context, shards, care, spaces, packs, config, budget, told, metrics }));
        let moving = moves.clone();
        tasks.spawn("moves of shards", |stop| async move {
            stop.unless(moving.move_shards()).await;
        });
        let moving = moves.clone();
        tasks.spawn("moves of spaces", |stop| async move {
            stop.unless(moving.move_spaces()).await;
        });
        moves
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// What waits to be moved or freed, and for what, as one JSON object.
    #[must_use]
    pub fn status(&self) -> Value {
        let Told { shards, spaces } = self.told().clone();
        let metrics = &self.0.metrics;
        json!({
            "paused": self.0.care.is_paused(),
            "shards": shards.status(),
            "spaces": spaces.status(),
            "shards_given": metrics.shards_given.get(),
            "bytes_given": metrics.bytes_given.get(),
            "shards_freed": metrics.shards_freed.get(),
            "spaces_freed": metrics.spaces_freed.get(),
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
