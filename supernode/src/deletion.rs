//! Deletion: what nobody claims any more leaves every supernode, and each signs that it did. The rules are those of
//! `cosmic_custody::removal`; here they get their hands.
//!
//! ```text
//! replica: entries ── claims, tombstones ──▶ settle ── nobody claims it ──▶ removals ── Survey, Remove ──▶ holders
//!                                              ▲                              ▲ signed deletions ◀────────────┘
//! holder:  its lease is over ── Claims ────────┴──────────────────────────────┘
//! holder:  Remove ── a quorum, and again after the delay ──▶ rows, bytes and counters in one batch ──▶ Deletion
//! ```

mod asking;
mod claims;
mod config;
mod holder;
mod leases;
mod metrics;
mod progress;
mod prune;
mod settle;
mod status;
mod tally;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_custody::{
    Duty,
    message::{
        care::{CareAnswer, CareRequest},
        refusal::{Refusal, RefusalCode},
    },
};
use cosmic_runtime::exit::sentence;

pub(crate) use self::{
    claims::{learn_from_old_entries, note_entry, note_pack},
    settle::unpack,
};
pub use self::{config::Config, metrics::Metrics};
use crate::{
    care,
    context::Context,
    duty,
    shards::{self, Shards},
    spaces::{self, Spaces},
    tables::{FACTS, Fact},
};

/// Rows looked at in one go.
const PAGE: usize = 1024;
/// Supernodes asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Why something was not removed, or not asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tables.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
    /// The space, whose membership says which tombstones count.
    #[error(transparent)]
    Space(#[from] spaces::Error),
    /// Another supernode.
    #[error(transparent)]
    Care(#[from] care::Error),
    /// What is kept here.
    #[error(transparent)]
    Shard(#[from] shards::Error),
    /// A removal or a deletion that is not what it should be.
    #[error(transparent)]
    Custody(#[from] cosmic_custody::Error),
    /// Somebody asked for what he may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The process is ending.
    #[error("the supernode is stopping")]
    Stopping,
}

impl Error {
    /// The answer for whoever asked.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) | Self::Care(care::Error::Refused(refusal)) => refusal.clone(),
            Self::Space(error) => error.refusal(),
            Self::Shard(error) => error.refusal(),
            Self::Custody(error) => Refusal::new(RefusalCode::NotAuthorised, error),
            Self::Care(_) => Refusal::new(RefusalCode::Unavailable, sentence(self)),
            Self::Store(_) => Refusal::new(RefusalCode::Storage, self),
            Self::Stopping => Refusal::new(RefusalCode::Stopping, self),
        }
    }
}

/// Sees to it that what nobody claims is removed, here and everywhere. Cheap to clone.
#[derive(Clone)]
pub struct Deletion(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    shards: Shards,
    spaces: Spaces,
    config: Config,
    metrics: Metrics,
    /// Whether the claims of all entries kept here are known.
    knows_claims: AtomicBool,
}

/// How far each of the walks is, when there is more than a page.
#[derive(Debug, Default)]
struct Places {
    unsettled: Option<(SpaceId, cosmic_common::id::EntryId)>,
    removals: Option<(SpaceId, ObjectId)>,
    deletions: Option<(ObjectId, PeerId)>,
}

impl fmt::Debug for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deletion").field("peer", &self.0.context.peer).finish_non_exhaustive()
    }
}

impl Deletion {
    /// Deletion of what is kept here, and of what the spaces say that are kept here.
    #[must_use]
    pub fn new(
        context: &Arc<Context>,
        shards: Shards,
        spaces: Spaces,
        config: &Config,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            context: Arc::clone(context),
            shards,
            spaces,
            config: config.clone(),
            metrics,
            knows_claims: AtomicBool::new(false),
        }))
    }

    /// Begins to look for what is to be removed.
    pub fn start(&self) {
        let looking = self.clone();
        self.0.context.tasks.spawn("deletion", |shutdown| async move {
            shutdown.unless(looking.run()).await;
        });
    }

    async fn run(self) {
        let clock = self.0.context.clock.clone();
        let mut places = Places::default();
        loop {
            clock.sleep(self.0.config.look_every()).await;
            for (what, looked) in [
                ("old entries", self.learn_claims().await),
                ("what was claimed or removed", self.settle(&mut places.unsettled).await),
                ("what is being removed", self.ask_holders(&mut places.removals).await),
                ("what nobody has claimed", self.end_leases().await),
                ("old deletions", self.prune(&mut places.deletions).await),
            ] {
                if let Err(error) = looked {
                    tracing::warn!(reason = sentence(&error), "{what} could not be looked at");
                }
            }
        }
    }

    /// Answers another supernode; none if the question is about something else.
    pub(crate) async fn answer(&self, request: CareRequest) -> Result<Option<CareAnswer>, Error> {
        Ok(Some(match request {
            CareRequest::Remove(removals) => CareAnswer::Removing(self.hear(removals).await?),
            CareRequest::Claims { space, objects, overdue } => {
                CareAnswer::Claimed(self.claims_of(space, objects, overdue).await?)
            }
            CareRequest::Removals { space, objects } => CareAnswer::Removals(self.progress(space, &objects)?),
            _ => return Ok(None),
        }))
    }

    /// Asks another supernode, or this one.
    async fn ask(&self, peer: PeerId, request: &CareRequest) -> Result<CareAnswer, Error> {
        if peer != self.me() {
            return Ok(care::ask_peer(&self.0.context, peer, request).await?);
        }
        match request {
            CareRequest::Survey(objects) => {
                let kept = objects.iter().map(|object| self.0.shards.keeper().surveyed(object));
                Ok(CareAnswer::Surveyed(kept.collect::<Result<_, _>>()?))
            }
            request => self.answer(request.clone()).await?.ok_or_else(|| care::unexpected(peer).into()),
        }
    }

    fn now(&self) -> Timestamp {
        self.0.context.clock.now()
    }

    fn me(&self) -> PeerId {
        self.0.context.peer
    }

    /// Those who speak for a space: its replicas, by this and by earlier tables.
    fn duty(&self, space: &SpaceId) -> Duty {
        self.0.shards.holders().borrow().duty(space, &self.0.shards.regions(space))
    }

    fn is_replica(&self, space: &SpaceId) -> bool {
        duty::is_replica(&self.0.context, &self.me(), space)
    }

    fn must_be_replica(&self, space: &SpaceId) -> Result<(), Error> {
        if self.is_replica(space) {
            return Ok(());
        }
        Err(Refusal::new(RefusalCode::NotResponsible, "this supernode is no replica of the space").into())
    }

    /// Notes the claims of entries that a version without deletion has kept; nothing is removed before.
    async fn learn_claims(&self) -> Result<(), Error> {
        if self.0.knows_claims.load(Ordering::Acquire) {
            return Ok(());
        }
        let store = &self.0.context.store;
        if !store.contains(&FACTS, &(Fact::Claims as u8))? {
            learn_from_old_entries(store, self.0.spaces.reader()).await?;
        }
        self.0.knows_claims.store(true, Ordering::Release);
        Ok(())
    }

    fn knows_claims(&self) -> bool {
        self.0.knows_claims.load(Ordering::Acquire)
    }
}
