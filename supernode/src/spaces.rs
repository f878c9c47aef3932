//! Spaces: one writer for each, loaded when somebody asks and at rest on disk otherwise.
//!
//! ```text
//! Space (handle) ── Command ──▶ Actor: admit ── Event::Grown ──▶ live sessions, at once
//!                                 │ ── Append ──▶ the other replicas, in parallel
//!                                 ▼
//!                        one durable batch ──▶ signed receipts: to who asked, and as Event::Receipts
//! ```
//! While a batch is being written the next one gathers, so that many appends share one fsync.

mod actor;
mod append;
mod courier;
mod disk;
mod error;
mod follow;
mod forget;
mod handle;
mod judging;
mod packed;
mod relay;
mod state;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{
    id::{Hash, PeerId, SpaceId},
    record::{Record as _, RecordError},
};
use cosmic_custody::message::replica::{SpaceHeads, heads_digest};
use cosmic_runtime::{clock::Monotonic, tasks::Group};
use cosmic_space::genesis::Genesis;
use cosmic_store::Span;
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{Semaphore, mpsc};

use self::{
    actor::Actor,
    handle::{COMMANDS_MAX, Command},
};
pub use self::{
    error::Error,
    forget::Forgotten,
    handle::{
        Appended, Brought, Challenge, Event, Grown, Opened, Origin, Pending, Receipts, Run, Space, Thin,
    },
    judging::Judged,
    relay::Overlay,
};
use crate::{
    context::Context,
    packs::Reader,
    replica::client::Replicas,
    tables::{LOGS, SPACES},
};

/// Digests kept in memory: 5 MB.
const DIGESTS_MAX: usize = 65_536;
/// Searches for the genesis of a space at once: each may ask the whole ring, and a stranger may ask for one.
const SEARCHES_MAX: usize = 4;
/// Supernodes asked for a genesis at once.
const ASKED_AT_ONCE: usize = 16;
/// How long they may take; a device waits meanwhile.
const GENESIS_PATIENCE: Duration = Duration::from_secs(2);

/// The spaces of this supernode. Cheap to clone.
#[derive(Clone)]
pub struct Spaces(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    replicas: Replicas,
    reader: Reader,
    actors: Group,
    slots: Mutex<HashMap<SpaceId, Slot>>,
    /// Digests of heads as they were last read from the tables.
    digests: Mutex<HashMap<SpaceId, Hash>>,
    searches: Semaphore,
}

/// An actor that runs.
struct Slot {
    commands: mpsc::Sender<Command>,
    used: Monotonic,
}

impl Spaces {
    /// No space is in memory yet.
    #[must_use]
    pub fn new(context: Arc<Context>, replicas: Replicas, reader: Reader) -> Self {
        let actors = context.tasks.group("spaces", context.limits.spaces_max);
        Self(Arc::new(Inner {
            context,
            replicas,
            reader,
            actors,
            slots: Mutex::default(),
            digests: Mutex::default(),
            searches: Semaphore::new(SEARCHES_MAX),
        }))
    }

    /// The writer of `space`, which is loaded if it is at rest.
    ///
    /// # Errors
    /// [`Error::Busy`] if as many spaces as may be are in use.
    pub fn get(&self, space: SpaceId) -> Result<Space, Error> {
        let now = self.0.context.clock.monotonic();
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(&space) {
            slot.used = now;
            return Ok(Space::new(space, slot.commands.clone()));
        }
        self.make_room(&slots);
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let actor = Actor::new(self.clone(), space, inbox);
        self.0.actors.spawn(|stop| actor.run(stop)).map_err(|_busy| Error::Busy)?;
        slots.insert(space, Slot { commands: commands.clone(), used: now });
        self.0.context.metrics.spaces.set(i64::try_from(slots.len()).unwrap_or(i64::MAX));
        Ok(Space::new(space, commands))
    }

    /// Takes in the genesis of a space, and tells its writer if that changes where its data may lie.
    pub fn learn(&self, genesis: &Genesis) {
        if self.0.context.residences.learn(genesis)
            && let Some(space) = self.loaded(&genesis.space_id())
        {
            space.residence_changed();
        }
    }

    /// The same of its bytes.
    ///
    /// # Errors
    /// If they are none.
    pub fn introduced(&self, genesis: &[u8]) -> Result<(), RecordError> {
        self.learn(&Genesis::from_bytes(genesis)?);
        Ok(())
    }

    /// Sees to it that it is known where the data of `space` may lie, before it is looked for by the ring: whoever brings no
    /// genesis, as one who joins by a ticket does not, leaves it to be asked for. First those are asked who have it if it
    /// names no regions, then all others.
    pub(crate) async fn locate(&self, space: SpaceId) -> Result<(), cosmic_store::Error> {
        let context = &self.0.context;
        let atlas = Arc::clone(&context.ring_view().atlas);
        let is_known =
            context.residences.genesis(&space).is_some() || context.store.contains(&SPACES, &space)?;
        if is_known || atlas.regions().count() < 2 {
            return Ok(());
        }
        let Ok(_one_of_few) = self.0.searches.try_acquire() else { return Ok(()) };
        context.metrics.genesis_searches.inc();
        let likely = self.replicas().of(&space);
        let mut others: Vec<PeerId> = atlas.everybody().sites().iter().map(|site| site.peer).collect();
        others.retain(|peer| *peer != context.peer && !likely.contains(peer));
        for some in std::iter::once(&likely[..]).chain(others.chunks(ASKED_AT_ONCE)) {
            let mut asked: FuturesUnordered<_> =
                some.iter().map(|peer| self.replicas().genesis(*peer, space)).collect();
            let answers = async {
                while let Some(answer) = asked.next().await {
                    if let Ok(Some(genesis)) = answer {
                        return Some(genesis);
                    }
                }
                None
            };
            if let Some(genesis) = context.clock.timeout(GENESIS_PATIENCE, answers).await.flatten() {
                self.learn(&genesis);
                break;
            }
        }
        Ok(())
    }

    /// The writer of `space`, if it is in memory.
    #[must_use]
    pub fn loaded(&self, space: &SpaceId) -> Option<Space> {
        self.slots().get(space).map(|slot| Space::new(*space, slot.commands.clone()))
    }

    /// Where the logs of a space end, by the tables.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn stored_heads(&self, space: SpaceId) -> Result<SpaceHeads, cosmic_store::Error> {
        let mut heads = SpaceHeads::new();
        for row in self.0.context.store.scan(&LOGS, &Span::prefix(&space), usize::MAX) {
            let ((_, channel, log), row) = row?;
            heads.entry(channel).or_default().insert(log, row.head);
        }
        Ok(heads)
    }

    /// One hash over the heads of a space in the tables.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn digest(&self, space: SpaceId) -> Result<Hash, cosmic_store::Error> {
        let known = self.digests().get(&space).copied();
        if let Some(digest) = known {
            return Ok(digest);
        }
        let digest = heads_digest(&self.stored_heads(space)?);
        let mut digests = self.digests();
        if digests.len() >= DIGESTS_MAX {
            digests.clear();
        }
        digests.insert(space, digest);
        Ok(digest)
    }

    /// The heads of a space in the tables have moved.
    pub(crate) fn moved(&self, space: &SpaceId) {
        self.digests().remove(space);
    }

    fn digests(&self) -> MutexGuard<'_, HashMap<SpaceId, Hash>> {
        self.0.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The context.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// The way to other replicas.
    #[must_use]
    pub fn replicas(&self) -> &Replicas {
        &self.0.replicas
    }

    /// Reads entries kept here.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// Asks the spaces that were not used for the longest time to rest, before there are too many.
    fn make_room(&self, slots: &HashMap<SpaceId, Slot>) {
        let max = self.0.context.limits.spaces_max;
        if slots.len() < max - max / 8 {
            return;
        }
        let mut idle: Vec<_> = slots.values().filter(|slot| slot.commands.strong_count() == 1).collect();
        idle.sort_by_key(|slot| slot.used);
        for slot in idle.iter().take(1 + max / 16) {
            // A full inbox means that the space is in use.
            drop(slot.commands.try_send(Command::Rest));
        }
    }

    /// Takes an actor that wants to rest out of the registry, unless somebody holds a handle.
    fn retire(&self, space: &SpaceId, inbox: &mpsc::Receiver<Command>) -> bool {
        let mut slots = self.slots();
        let unused = inbox.is_empty() && inbox.sender_strong_count() <= 1;
        if unused {
            slots.remove(space);
            self.0.context.metrics.spaces.set(i64::try_from(slots.len()).unwrap_or(i64::MAX));
        }
        unused
    }

    /// Takes an actor that ended, and closed its inbox, out of the registry, so that the next caller loads the space anew.
    fn remove(&self, space: &SpaceId) {
        let mut slots = self.slots();
        // After a retirement the slot may be another actor's already.
        if slots.get(space).is_some_and(|slot| slot.commands.is_closed()) {
            slots.remove(space);
            self.0.context.metrics.spaces.set(i64::try_from(slots.len()).unwrap_or(i64::MAX));
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SpaceId, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Spaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spaces").field("loaded", &self.slots().len()).finish_non_exhaustive()
    }
}
