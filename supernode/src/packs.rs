//! Packs: what replicas do with entries that are not new any more. The rules are those of `cosmic_custody::pack`.
//!
//! ```text
//! tails ── due, or somebody waits ──▶ packer ── put ──▶ objects
//!   ▲                                   │ Note
//! writer of the space ◀── packed ───────┴──▶ the other replicas
//!   ▲── free ── freeing: all shards signed for, twice
//!   ▲── thin ── replaced: snapshots say the same as all bodies of the run
//! ```

mod config;
mod freeing;
mod metrics;
mod notes;
mod packer;
mod reader;
mod status;
mod tails;
mod thinning;
mod wanted;

use std::{fmt, sync::Arc};

pub use self::{
    config::Config,
    metrics::Metrics,
    notes::Error,
    reader::{Reader, first_freed, freed},
};
use crate::{care::Care, context::Context, objects::Objects, spaces::Spaces};

/// The packs of this supernode. Cheap to clone.
#[derive(Clone)]
pub struct Packs(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    spaces: Spaces,
    objects: Objects,
    config: Config,
    metrics: Metrics,
    /// One pack is made at a time: each is in memory twice while it is.
    packing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Packs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packs").field("peer", &self.0.context.peer).finish_non_exhaustive()
    }
}

impl Packs {
    /// Packs of the spaces this supernode is a replica of; nothing is packed unasked before [`Self::start`].
    #[must_use]
    pub fn new(spaces: Spaces, objects: Objects, config: &Config, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            context: Arc::clone(spaces.context()),
            spaces,
            objects,
            config: config.clone(),
            metrics,
            packing: tokio::sync::Mutex::new(()),
        }))
    }

    /// Begins to pack what is due, and to free what is packed.
    pub fn start(&self, care: Care) {
        let tasks = &self.0.context.tasks;
        let packing = self.clone();
        tasks.spawn("packs", |stop| async move {
            stop.unless(packing.pack_what_is_due()).await;
        });
        let freeing = self.clone();
        tasks.spawn("freeing", |stop| async move {
            stop.unless(freeing.free_what_is_packed(care)).await;
        });
    }
}
