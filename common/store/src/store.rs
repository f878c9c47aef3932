//! The handle of a store: commit batches, read tables.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rocksdb::{DB, checkpoint::Checkpoint};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    batch::Batch,
    error::{Error, Unreadable},
    key::{Key, Span, bytes_of},
    mark::Mark,
    metrics::Metrics,
    open::{self, Opened, Setup, handle},
    scan::{Direction, Scan},
    space::Space,
    table::Table,
    writer::{Job, Poison, Probe, QUEUE_MAX_BATCHES, QUEUE_MAX_BYTES, Writer},
};

/// An open store. Cheap to clone; the last clone to go waits until everything queued is written.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    database: Arc<DB>,
    metrics: Metrics,
    poison: Arc<Poison>,
    mark: Arc<Mark>,
    /// `None` only while the last clone goes.
    queue: Option<mpsc::Sender<Job>>,
    queue_bytes: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in `path`, and makes it first if it is not there. Blocks.
    ///
    /// # Errors
    /// If the directory cannot be used, is in use, or holds tables of a format this build does not read.
    pub fn open(path: impl AsRef<Path>, setup: Setup<'_>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let probed = path.clone();
        Self::open_probing(path, setup, Box::new(move || Space::of(&probed)))
    }

    pub(crate) fn open_probing(path: PathBuf, setup: Setup<'_>, probe: Probe) -> Result<Self, Error> {
        let Setup { schema, config, clock, registry, health } = setup;
        fs::create_dir_all(&path)
            .map_err(|source| Error::Directory { path: path.clone(), source: Arc::new(source) })?;
        let Opened { database, buffers, dropped } = open::open(&path, &schema, config)?;
        let mark = Mark::open(&path, database.latest_sequence_number(), dropped)
            .map_err(|source| Error::Directory { path: path.clone(), source: Arc::new(source) })?;
        let mark = Arc::new(mark);
        let database = Arc::new(database);
        let metrics = Metrics::register(registry);
        let poison = Arc::new(Poison::default());
        let writer = Writer {
            path: path.clone(),
            database: Arc::clone(&database),
            buffers,
            reserve_bytes: config.reserve_bytes,
            probe,
            poison: Arc::clone(&poison),
            mark: Arc::clone(&mark),
            clock,
            health,
            metrics: metrics.clone(),
            full: false,
        };
        let (queue, jobs) = mpsc::channel(QUEUE_MAX_BATCHES);
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(jobs))
            .map_err(|source| Error::Thread { path: path.clone(), source: Arc::new(source) })?;
        Ok(Self(Arc::new(Inner {
            path,
            database,
            metrics,
            poison,
            mark,
            queue: Some(queue),
            queue_bytes: Arc::new(Semaphore::new(QUEUE_MAX_BYTES as usize)),
            writer: Mutex::new(Some(writer)),
        })))
    }

    /// The room on the disk of this store.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn room(&self) -> io::Result<Space> {
        Space::of(&self.0.path)
    }

    /// An empty batch for this store.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.0.database))
    }

    /// Makes all changes of `batch`, or none, and returns once they are on the disk. An empty batch
    /// returns once everything committed before it is.
    ///
    /// Waits while the queue is full. A caller that stops waiting does not stop the write.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Poisoned`] before anything was written, [`Error::Write`] if writing failed.
    pub async fn commit(&self, batch: Batch) -> Result<(), Error> {
        assert!(Arc::ptr_eq(&batch.database, &self.0.database), "a batch belongs to the store that made it");
        self.0.poison.check(&self.0.path)?;
        let share = u32::try_from(batch.size_bytes()).unwrap_or(u32::MAX).min(QUEUE_MAX_BYTES);
        let share = Arc::clone(&self.0.queue_bytes).acquire_many_owned(share).await;
        let (Ok(share), Some(queue)) = (share, &self.0.queue) else { return Err(Error::Closed) };
        let (answer, answered) = oneshot::channel();
        let job = Job { changes: batch.changes, stores: batch.stores, answer, _share: share };
        if queue.send(job).await.is_err() {
            return Err(Error::Closed);
        }
        answered.await.unwrap_or(Err(Error::Closed))
    }

    /// Whether writes can succeed, as far as is known; a full disk shows only when something is written.
    ///
    /// # Errors
    /// [`Error::Poisoned`] once a write has failed.
    pub fn check(&self) -> Result<(), Error> {
        self.0.poison.check(&self.0.path)
    }

    /// Whether something that was acknowledged is not there: the log is damaged, or shorter than it was. The store is as it
    /// was at an earlier point of time, at this start and each later one until [`begin_anew`](Self::begin_anew).
    #[must_use]
    pub fn was_cut_short(&self) -> bool {
        self.0.mark.is_lost()
    }

    /// Says that whoever uses the store has taken back, durably, what was promised before. Blocks.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn begin_anew(&self) -> Result<(), Error> {
        let begun = self.0.mark.begin_anew(self.0.database.latest_sequence_number());
        begun.map_err(|source| Error::Directory { path: self.0.path.clone(), source: Arc::new(source) })
    }

    /// What is under `key`. Blocks for one read of the disk at most.
    ///
    /// # Errors
    /// If it cannot be read or understood.
    pub fn get<K: Key, V>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>, Error> {
        let failed = |source| Error::Read { table: table.name(), source };
        let found = self.0.database.get_pinned_cf(self.handle(table), bytes_of(key)).map_err(failed)?;
        found.map(|bytes| self.decode(table, &bytes)).transpose()
    }

    /// What is under each of `keys`, in their order. Blocks.
    ///
    /// # Errors
    /// If any of it cannot be read or understood.
    pub fn multi_get<'k, K: Key + 'k, V>(
        &self,
        table: &Table<K, V>,
        keys: impl IntoIterator<Item = &'k K>,
    ) -> Result<Vec<Option<V>>, Error> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(bytes_of).collect();
        let found = self.0.database.batched_multi_get_cf(self.handle(table), &keys, false);
        let mut values = Vec::with_capacity(found.len());
        for found in found {
            let bytes = found.map_err(|source| Error::Read { table: table.name(), source })?;
            values.push(bytes.map(|bytes| self.decode(table, &bytes)).transpose()?);
        }
        Ok(values)
    }

    /// Whether something is under `key`. It reads the value: for large ones keep a small table beside theirs.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn contains<K: Key, V>(&self, table: &Table<K, V>, key: &K) -> Result<bool, Error> {
        let found = self.0.database.get_pinned_cf(self.handle(table), bytes_of(key));
        found.map(|found| found.is_some()).map_err(|source| Error::Read { table: table.name(), source })
    }

    /// Up to `limit` keys of `span` with their values, in the order of the keys. Blocks.
    #[must_use]
    pub fn scan<'a, K: Key, V>(
        &'a self,
        table: &'a Table<K, V>,
        span: &Span<K>,
        limit: usize,
    ) -> Scan<'a, K, V> {
        Scan::new(&self.0.database, table, span, Direction::Up, limit)
    }

    /// As [`scan`](Self::scan), from the last key to the first.
    #[must_use]
    pub fn scan_down<'a, K: Key, V>(
        &'a self,
        table: &'a Table<K, V>,
        span: &Span<K>,
        limit: usize,
    ) -> Scan<'a, K, V> {
        Scan::new(&self.0.database, table, span, Direction::Down, limit)
    }

    /// Where a scan that failed behind `after` may go on: at the end of the first file that holds keys behind it. None
    /// where no file is left.
    #[must_use]
    pub fn behind_damage<K: Key, V>(&self, table: &Table<K, V>, after: Option<&K>) -> Option<K> {
        let after = after.map(bytes_of).unwrap_or_default();
        // Without the list of files nothing is known of what lies behind.
        let files = self.0.database.live_files().unwrap_or_default();
        let ends = files.into_iter().filter(|file| file.column_family_name == table.name());
        let ends = ends.filter_map(|file| file.end_key).filter(|end| *end > after);
        ends.min().and_then(|end| K::read(&end))
    }

    /// Makes a copy of the store as it is now in `path`, which must not exist, out of hard links where the
    /// file system allows. Blocks.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        Checkpoint::new(&self.0.database)
            .and_then(|checkpoint| checkpoint.create_checkpoint(path))
            .map_err(|source| Error::Checkpoint { path: path.to_owned(), source })
    }

    /// How many batches wait for the writer thread.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.0.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    fn handle<K, V>(&self, table: &Table<K, V>) -> &rocksdb::ColumnFamily {
        handle(&self.0.database, table.layout.name)
    }

    fn decode<K: Key, V>(&self, table: &Table<K, V>, bytes: &[u8]) -> Result<V, Error> {
        table.decode(bytes).map_err(|source: Unreadable| {
            self.0.metrics.corrupt.inc();
            Error::Corrupt { table: table.name(), source }
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(path = %self.path.display(), "the writer thread panicked");
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("path", &self.path).finish_non_exhaustive()
    }
}
