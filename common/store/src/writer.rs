//! The one thread that writes: it takes what is waiting, writes it, and answers after one fsync for all.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use cosmic_runtime::{clock::Clock, exit::sentence, health::Health};
use rocksdb::{DB, WriteBatch, WriteBufferManager, WriteOptions};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{error, info, warn};

use crate::{
    error::{Error, Until, is_no_room},
    mark::Mark,
    metrics::{Metrics, Reason, Refusal},
    space::Space,
};

/// The room as the health of the process names it.
const ROOM: &str = "store";
/// Batches waiting to be written.
pub(crate) const QUEUE_MAX_BATCHES: usize = 1024;
/// Bytes waiting to be written: eight of the largest objects.
pub(crate) const QUEUE_MAX_BYTES: u32 = 32 * 1024 * 1024;
/// A group ends here, so that the first of it does not wait for all that come.
const GROUP_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A batch on its way.
pub(crate) struct Job {
    pub(crate) changes: WriteBatch,
    pub(crate) stores: bool,
    pub(crate) answer: oneshot::Sender<Result<(), Error>>,
    /// Its share of the queue's bytes, given back when the job is done.
    pub(crate) _share: OwnedSemaphorePermit,
}

/// The failure after which nothing is written any more.
#[derive(Debug, Default)]
pub(crate) struct Poison(Mutex<Option<Arc<Error>>>);

impl Poison {
    pub(crate) fn check(&self, path: &Path) -> Result<(), Error> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(source) => Err(Error::Poisoned { path: path.to_owned(), source: Arc::clone(source) }),
            None => Ok(()),
        }
    }

    fn set(&self, error: Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::new(error));
    }
}

/// How the writer learns about the room on the disk.
pub(crate) type Probe = Box<dyn Fn() -> io::Result<Space> + Send>;

/// What the thread owns.
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) database: Arc<DB>,
    pub(crate) buffers: WriteBufferManager,
    pub(crate) reserve_bytes: u64,
    pub(crate) probe: Probe,
    pub(crate) poison: Arc<Poison>,
    pub(crate) mark: Arc<Mark>,
    pub(crate) clock: Clock,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) full: bool,
}

impl Writer {
    /// Works until all senders are gone and the queue is empty.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let group = gather(first, &mut queue);
            let started = self.clock.monotonic();
            let (admitted, refused) = self.admit(group);
            for (job, error) in refused {
                answer(job.answer, Err(error));
            }
            if admitted.is_empty() {
                continue;
            }
            self.metrics.group_batches.observe(u32::try_from(admitted.len()).map_or(f64::MAX, f64::from));
            let (answers, batches): (Vec<_>, Vec<_>) =
                admitted.into_iter().map(|job| ((job.answer, job._share), job.changes)).unzip();
            let result = self.write(batches);
            self.metrics.group_seconds.observe(self.clock.monotonic().since(started).as_secs_f64());
            for (sender, _share) in answers {
                answer(sender, result.clone());
            }
        }
    }

    /// Parts `group` into batches that may be written and batches that may not, with the reason.
    fn admit(&mut self, group: Vec<Job>) -> (Vec<Job>, Vec<(Job, Error)>) {
        let refuse_all = |error: Error, group: Vec<Job>| {
            (Vec::new(), group.into_iter().map(|job| (job, error.clone())).collect())
        };
        if let Err(error) = self.poison.check(&self.path) {
            self.count_refused(Refusal::Poisoned, group.len());
            return refuse_all(error, group);
        }
        let space = match (self.probe)() {
            Ok(space) => space,
            Err(source) => {
                let source = Arc::new(source);
                return refuse_all(Error::Directory { path: self.path.clone(), source }, group);
            }
        };
        self.metrics.free_bytes.set(i64::try_from(space.free_bytes).unwrap_or(i64::MAX));
        let buffered = u64::try_from(self.buffers.get_usage()).unwrap_or(u64::MAX);
        let mut room = space.room(self.reserve_bytes, buffered);
        let (admitted, refused): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|job| room.take(job.changes.size_in_bytes(), job.stores));
        let stored = admitted.iter().any(|job| job.stores);
        self.tell_full(!refused.is_empty(), stored, space);
        self.count_refused(Refusal::Full, refused.len());
        let full =
            Error::Full { path: self.path.clone(), free_bytes: space.free_bytes, until: Until::SpaceIsBack };
        (admitted, refused.into_iter().map(|job| (job, full.clone())).collect())
    }

    /// Tells health and log when the disk becomes full, and when a batch finds room again.
    fn tell_full(&mut self, refused: bool, stored: bool, space: Space) {
        if refused && !self.full {
            self.full = true;
            warn!(path = %self.path.display(), free_bytes = space.free_bytes, "the disk is full: writes are refused");
            self.health.trouble(ROOM, "the disk is full: writes are refused until there is room");
        } else if self.full && stored && !refused {
            self.full = false;
            info!(path = %self.path.display(), free_bytes = space.free_bytes, "there is room again");
            self.health.well(ROOM);
        }
    }

    fn count_refused(&self, reason: Refusal, batches: usize) {
        if batches > 0 {
            self.metrics.refused.get_or_create(&Reason { reason }).inc_by(batches as u64);
        }
    }

    /// Writes all batches, each at once or not at all, and brings them to the disk.
    fn write(&self, batches: Vec<WriteBatch>) -> Result<(), Error> {
        let mut unsynced = false;
        for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
            self.metrics.written_bytes.inc_by(batch.size_in_bytes() as u64);
            self.database
                .write_opt(batch, &WriteOptions::default())
                .map_err(|source| self.poisoned_by(source))?;
            unsynced = true;
        }
        if unsynced {
            self.database.flush_wal(true).map_err(|source| self.poisoned_by(source))?;
            // Nothing is acknowledged that a restart could miss.
            self.mark.reach(self.database.latest_sequence_number()).map_err(|source| {
                self.poisoned(Error::Directory { path: self.path.clone(), source: Arc::new(source) })
            })?;
        }
        Ok(())
    }

    fn poisoned_by(&self, source: rocksdb::Error) -> Error {
        let path = self.path.clone();
        let error = if is_no_room(&source) {
            let free_bytes = (self.probe)().map_or(0, |space| space.free_bytes);
            Error::Full { path, free_bytes, until: Until::Restart }
        } else {
            Error::Write { path, source }
        };
        self.poisoned(error)
    }

    fn poisoned(&self, error: Error) -> Error {
        error!("{}", sentence(&error));
        self.health.trouble(ROOM, sentence(&error));
        self.poison.set(error.clone());
        error
    }
}

fn gather(first: Job, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut size = first.changes.size_in_bytes();
    let mut group = vec![first];
    while size < GROUP_MAX_BYTES && group.len() < QUEUE_MAX_BATCHES {
        let Ok(next) = queue.try_recv() else { break };
        size += next.changes.size_in_bytes();
        group.push(next);
    }
    group
}

fn answer(sender: oneshot::Sender<Result<(), Error>>, result: Result<(), Error>) {
    // Whoever stopped waiting does not want to know.
    drop(sender.send(result));
}
