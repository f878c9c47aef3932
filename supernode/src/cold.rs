//! The cold tier: the bytes of old shards lie in an object store; their rows, manifests and receipts stay here.
//!
//! ```text
//!          ┌── old enough ── upload ── verify ── one batch: row cold, bytes gone from here ──▶┐
//!     hot ─┤                                                                                  ├─ cold ── check
//!          └◀── one batch: bytes here, row hot, object to be deleted ── fetch ── hot again, ──┘
//!                                                                        thawed, written anew
//! discards ── deleted there ──▶ gone           sweep ── what no row leads to ──▶ deleted there
//! ```
//! A shard counts as kept wherever its bytes lie: receipts, surveys and repairs do not ask. A store that does not answer
//! makes reads fail for now, and others serve; nothing is lost by it.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use cosmic_common::{
    hash,
    id::ObjectId,
    record::{Record as _, RecordError},
};
use cosmic_runtime::random;
use tokio::sync::{Notify, mpsc};

use crate::{
    context::Context,
    scrub::{Fault, Thing},
    shards::Shards,
    tables::{FACTS, Fact, KEPT, KeptRow},
};

mod check;
mod config;
mod credentials;
mod memory;
mod metrics;
mod mover;
mod names;
mod place;
mod reach;
mod status;
mod sweep;
mod warmth;

pub use config::{Config, Verify};
pub use memory::{Check, Memory, Mode};
pub use metrics::Metrics;
pub use place::Place;
pub use status::{State, Status};

use names::{Folder, Name};
use warmth::Warmth;

/// Which shard.
pub(crate) type Shard = (ObjectId, u8);

/// Shards that wait to be brought back because they are read often; a later read asks again.
const WARMING_MAX: usize = 64;
/// What the cold tier is called where troubles are listed.
const ROOM: &str = "cold";

/// Why the cold tier cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer, or said that it cannot.
    #[error("the cold store of this supernode does not answer now")]
    Away,
    /// There are cold shards, and no store.
    #[error(
        "shards lie in a cold store, and the settings name none; set [cold] again, and thaw before you take it away"
    )]
    Unset,
    /// The store is another one, or empty.
    #[error(
        "the folder that cold shards were written to is not in this bucket; correct [cold] in the settings, or give those shards up: cosmic-supernode cold forget --yes"
    )]
    Elsewhere,
    /// The bytes are gone.
    #[error("the cold store does not have the shard any more")]
    Missing,
    /// The bytes are others.
    #[error("the cold store gave other bytes than it was given")]
    Wrong,
    /// There are no credentials.
    #[error(
        "the credentials of the cold store are missing: name a file in cold.credentials_file, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials,
    /// Their file cannot be read.
    #[error("the credentials of the cold store in {} cannot be read", path.display())]
    CredentialsFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others can read their file.
    #[error("others can read the credentials of the cold store in {}; chmod 600 it", path.display())]
    CredentialsSeen {
        /// The file.
        path: PathBuf,
    },
    /// Their file holds something else.
    #[error("{} does not hold aws_access_key_id = … and aws_secret_access_key = …", path.display())]
    CredentialsUnreadable {
        /// The file.
        path: PathBuf,
    },
    /// The settings name no usable store.
    #[error("the cold store cannot be used")]
    Unusable {
        /// Why not.
        source: Box<object_store::Error>,
    },
    /// What was written down makes no sense.
    #[error("what the cold tier wrote down cannot be read")]
    Memory(#[from] RecordError),
    /// The own store.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
    /// A shard could not be changed here.
    #[error("the shard cannot be changed here")]
    Shard(#[source] Box<crate::shards::Error>),
    /// The process is ending.
    #[error("the supernode is stopping")]
    Stopping,
}

impl Error {
    /// Whether it says something of the shard, and not of the way to it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Missing | Self::Wrong)
    }
}

/// The cold tier of this supernode. Cheap to clone.
#[derive(Clone)]
pub struct Cold(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    config: Config,
    place: Option<Place>,
    memory: Mutex<Memory>,
    /// Held while it is written down, so that no older one is written over a newer.
    writing: tokio::sync::Mutex<()>,
    /// Whether the folder turned out to be another one than was written to.
    elsewhere: Mutex<bool>,
    warmth: Mutex<Warmth>,
    warming: mpsc::Sender<Shard>,
    /// Taken by the task that brings them back.
    warmed: Mutex<Option<mpsc::Receiver<Shard>>>,
    /// What to do has changed.
    told: Notify,
    /// Something is to be deleted.
    discarded: Notify,
    metrics: Metrics,
}

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cold").field("place", &self.0.place).finish_non_exhaustive()
    }
}

impl Cold {
    /// The cold tier that `config` describes, if it describes one. Reads the credentials. Blocks.
    ///
    /// # Errors
    /// [`Error`] if the credentials or what was written down cannot be read.
    pub fn open(context: &Arc<Context>, config: &Config, metrics: Metrics) -> Result<Self, Error> {
        let (clock, away) = (context.clock.clone(), metrics.away.clone());
        let place = Place::open(config, context.peer, clock, away)?;
        Self::over(context, config, place, metrics)
    }

    /// The cold tier over `place`.
    ///
    /// # Errors
    /// [`Error`] if what was written down cannot be read.
    pub fn over(
        context: &Arc<Context>,
        config: &Config,
        place: Option<Place>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let known = context.store.get(&FACTS, &(Fact::Cold as u8))?;
        let memory = known.map(|bytes| Memory::from_bytes(&bytes)).transpose()?.unwrap_or_default();
        let (warming, warmed) = mpsc::channel(WARMING_MAX);
        Ok(Self(Arc::new(Inner {
            context: Arc::clone(context),
            config: config.clone(),
            place,
            memory: Mutex::new(memory),
            writing: tokio::sync::Mutex::default(),
            elsewhere: Mutex::default(),
            warmth: Mutex::default(),
            warming,
            warmed: Mutex::new(Some(warmed)),
            told: Notify::new(),
            discarded: Notify::new(),
            metrics,
        })))
    }

    /// Begins to move shards, and to check those that were moved.
    pub fn start(&self, shards: Shards) {
        let tasks = &self.0.context.tasks;
        let moving = self.clone();
        tasks.spawn("cold", |shutdown| async move {
            shutdown.unless(moving.work(shards)).await;
        });
        let checking = self.clone();
        tasks.spawn("cold check", |shutdown| async move {
            shutdown.unless(checking.check()).await;
        });
    }

    /// Reads the bytes of a shard that `row` says are there under `number`, for somebody who wants the shard.
    pub(crate) async fn read(&self, shard: Shard, number: u64, row: &KeptRow) -> Result<Bytes, Error> {
        let read = self.fetch(shard, number, row).await;
        match &read {
            Ok(_bytes) => self.0.metrics.shards_read.inc(),
            // Whether it is damaged is looked at by whoever asked: it may just have come back.
            Err(Error::Missing | Error::Wrong) => 0,
            Err(_) => self.0.metrics.reads_unavailable.inc(),
        };
        read
    }

    /// Whether bytes that were missing or wrong under `number` should be there still: then they are damaged, which is counted
    /// and told to the scrub.
    pub(crate) fn is_damaged(&self, (object, index): Shard, number: u64) -> Result<bool, Error> {
        let row = self.0.context.store.get(&KEPT, &(object, index))?;
        let is_damaged = row.and_then(|row| row.cold) == Some(number);
        if is_damaged {
            self.0.metrics.shards_damaged.inc();
            self.0.context.suspects.report(Thing::Shard { object, index });
        }
        Ok(is_damaged)
    }

    /// Counts that somebody wanted a cold shard: one that is read often comes back.
    pub(crate) fn was_wanted(&self, shard: Shard) {
        let now = self.0.context.clock.now();
        if lock(&self.0.warmth).read(shard, now) && self.0.warming.try_send(shard).is_err() {
            tracing::debug!("too many shards are coming back at once; a later read asks again");
        }
    }

    /// Says that something is to be deleted from the store.
    pub(crate) fn discarded(&self) {
        self.0.discarded.notify_one();
    }

    /// What is wrong with the bytes of a shard, if they are cold and something is.
    pub(crate) async fn examine(&self, (object, index): Shard) -> Result<Option<Fault>, Error> {
        let row = self.0.context.store.get(&KEPT, &(object, index))?;
        let Some((row, number)) = row.and_then(|row| row.cold.map(|number| (row, number))) else {
            return Ok(None);
        };
        let fault = match self.fetch((object, index), number, &row).await {
            Ok(_bytes) => return Ok(None),
            Err(Error::Missing) => Fault::Missing,
            Err(Error::Wrong) => Fault::Wrong,
            Err(error) => return Err(error),
        };
        // It may have come back meanwhile.
        let now = self.0.context.store.get(&KEPT, &(object, index))?;
        Ok(now.filter(|row| row.cold == Some(number)).map(|_row| fault))
    }

    /// The bytes under `number`, which are what `row` says.
    async fn fetch(&self, (object, index): Shard, number: u64, row: &KeptRow) -> Result<Bytes, Error> {
        let (place, folder) = self.whereabouts()?;
        let name = Name { object, index, number };
        match place.get(&folder, &name, row.length).await {
            Ok(bytes) if hash::plain(&bytes) == row.hash => Ok(bytes),
            Ok(_other) => Err(Error::Wrong),
            Err(Error::Missing) => Err(self.missing(place, &folder).await?),
            Err(error) => Err(error),
        }
    }

    /// What it means that something is not in `folder`: nothing about it, if that is not the folder it was written to.
    async fn missing(&self, place: &Place, folder: &Folder) -> Result<Error, Error> {
        let is_here = place.is_marked(folder).await?;
        self.set_elsewhere(!is_here);
        Ok(if is_here { Error::Missing } else { Error::Elsewhere })
    }

    /// Where cold shards are.
    fn whereabouts(&self) -> Result<(&Place, Folder), Error> {
        // What was never written, or was given up, is not there; whoever can, makes it again.
        let number = self.memory().place.ok_or(Error::Missing)?;
        let place = self.0.place.as_ref().ok_or(Error::Unset)?;
        Ok((place, place.folder(number)))
    }

    fn set_elsewhere(&self, elsewhere: bool) {
        let before = std::mem::replace(&mut *lock(&self.0.elsewhere), elsewhere);
        let health = &self.0.context.health;
        if elsewhere && !before {
            tracing::error!("{}", Error::Elsewhere);
            health.trouble(ROOM, Error::Elsewhere.to_string());
        } else if before && !elsewhere {
            health.well(ROOM);
        }
    }

    fn memory(&self) -> Memory {
        *lock(&self.0.memory)
    }

    /// Changes what is remembered, and writes it down.
    async fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), Error> {
        let _turn = self.0.writing.lock().await;
        let bytes = {
            let mut memory = lock(&self.0.memory);
            change(&mut memory);
            memory.to_bytes()
        };
        let store = &self.0.context.store;
        let mut batch = store.batch();
        batch.put_slice(&FACTS, &(Fact::Cold as u8), &bytes);
        Ok(store.commit(batch).await?)
    }

    /// Moves nothing, deletes nothing and checks nothing until [`resume`](Self::resume), over restarts too. Reads go on.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub async fn pause(&self) -> Result<(), Error> {
        self.tell(Mode::Pause).await
    }

    /// Moves what is old enough.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub async fn resume(&self) -> Result<(), Error> {
        self.tell(Mode::Move).await
    }

    /// Brings everything back and moves nothing more, over restarts too.
    ///
    /// # Errors
    /// [`Error::Unset`], or if it cannot be written down.
    pub async fn thaw(&self) -> Result<(), Error> {
        if self.0.place.is_none() && self.memory().place.is_some() {
            return Err(Error::Unset);
        }
        self.tell(Mode::Thaw).await
    }

    /// Gives up what lies in the store: it counts as missing from now on, and is made again from other supernodes. What is
    /// written from now on goes to a folder of its own.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub async fn forget(&self) -> Result<(), Error> {
        tracing::warn!("what lies in the cold store is given up, and is made again from others");
        self.remember(|memory| (memory.place, memory.check) = (None, None)).await?;
        self.set_elsewhere(false);
        self.0.context.health.well(ROOM);
        self.wake();
        Ok(())
    }

    /// Makes a folder that nobody has written to.
    async fn begin(&self, place: &Place) -> Result<u64, Error> {
        let number = u64::from_be_bytes(random::bytes());
        place.mark(&place.folder(number)).await?;
        Ok(number)
    }

    /// Has those who rest look again at what to do; one that is just about to rest as well.
    fn wake(&self) {
        self.0.told.notify_waiters();
        self.0.told.notify_one();
    }

    async fn tell(&self, mode: Mode) -> Result<(), Error> {
        self.remember(|memory| memory.mode = mode).await?;
        self.wake();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
