//! SQLite behind two doors: one writer thread that commits in groups, and a pool of readers.
//!
//! Writes arrive as closures. The writer takes all that wait (up to a named bound), runs each in a savepoint
//! of one transaction, commits once (one fsync, about 2.3 ms on the reference machine) and only then answers.
//! What the closures keep in memory beside the database is a [`State`]; whenever the database rolls something
//! back, the state forgets what it cached and reads it again.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{Semaphore, mpsc, oneshot};

mod schema;
/// Our tables, with nothing in them.
#[cfg(test)]
pub(crate) fn empty() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::prepare(Path::new("memory"), &mut connection).unwrap();
    connection
}

#[cfg(test)]
mod tests;

/// Writes that share one transaction; 200 documents in one cost 23 µs each (measured).
const GROUP_MAX: usize = 256;
/// Writes that wait for the writer; more wait at the caller.
const QUEUE_MAX: usize = 1024;
/// Readers at work at the same time.
const READERS_MAX: usize = 4;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk is full: the write was refused, nothing that was acknowledged is lost.
    #[error("the disk that holds {path} is full; free some space and try again")]
    Full {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file is newer than this program.
    #[error("{path} has data format {found}, this program knows up to {known}; update CosmicSync")]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The format it has.
        found: i64,
        /// The newest format this build reads.
        known: i64,
    },
    /// The file is something else.
    #[error("{path} is not a CosmicSync database; choose another data directory")]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error("cannot open the database {path}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// SQLite refused.
    #[error("the database refused")]
    Sqlite(#[from] rusqlite::Error),
    /// The group this write belonged to could not be committed.
    #[error("the write could not be made durable: {0}")]
    Commit(String),
    /// The thread that could open another connection is gone.
    #[error("the database is closed: the node is shutting down")]
    Closed,
}

/// What the writer keeps in memory beside the database, and does once for a whole group.
pub trait State: Send + 'static {
    /// How far the state's list of things to tell has grown.
    fn mark(&self) -> usize;

    /// The writes since `mark` were rolled back: forget what was cached, and what was to be told since then.
    fn rolled_back(&mut self, mark: usize);

    /// The group is about to be committed; the last chance to write.
    ///
    /// # Errors
    /// [`Error`] fails the whole group.
    fn before_commit(&mut self, connection: &Connection) -> Result<(), Error>;

    /// The group is on disk: tell everybody.
    fn committed(&mut self);
}

type Job<S> = Box<dyn FnOnce(&mut S, &Connection) -> Answer + Send>;
/// Called once with the group's fate.
type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

struct Inner<S> {
    path: PathBuf,
    jobs: mpsc::Sender<Job<S>>,
    readers: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

/// The database of a node. Cheap to clone; closes when the last clone is gone.
pub struct Database<S: State> {
    inner: Arc<Inner<S>>,
}

impl<S: State> Clone for Database<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: State> fmt::Debug for Database<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// The writer thread; [`Writer::join`] waits until what was queued is durable.
#[derive(Debug)]
pub struct Writer(thread::JoinHandle<()>);

impl Writer {
    /// Waits for the writer to end, which it does when every [`Database`] is dropped.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!(
                "the database writer panicked; acknowledged writes are safe, the last ones may be missing"
            );
        }
    }
}

impl<S: State> Database<S> {
    /// Opens or creates the database at `path` and starts its writer.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be opened, is foreign, or newer than this program.
    pub fn open(path: &Path, state: S) -> Result<(Self, Writer), Error> {
        let mut connection = open_connection(path)?;
        schema::prepare(path, &mut connection)?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let inner = Inner {
            path: path.to_owned(),
            jobs,
            readers: Mutex::new(Vec::new()),
            permits: Semaphore::new(READERS_MAX),
        };
        let file = path.to_owned();
        let thread = thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || write_groups(&file, &connection, state, queue))
            .map_err(|_error| Error::Closed)?;
        Ok((Self { inner: Arc::new(inner) }, Writer(thread)))
    }

    /// Runs `work` in the next group; resolves when what it wrote is on disk.
    ///
    /// # Errors
    /// What `work` returns (its writes are rolled back then), or [`Error`] if the group cannot be committed.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut S, &Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job<S> = Box::new(move |state, connection| {
            let result = in_savepoint(state, connection, work);
            let finish = move |fate: Result<(), Error>| {
                let result = result.and_then(|value| fate.map(|()| value).map_err(E::from));
                // The caller may have gone away; the write stands all the same.
                drop(answer.send(result));
            };
            Box::new(finish)
        });
        self.inner.jobs.send(job).await.map_err(|_error| E::from(Error::Closed))?;
        answered.await.map_err(|_error| E::from(Error::Closed))?
    }

    /// Runs `work` on a connection that only reads, away from the async threads.
    ///
    /// # Errors
    /// What `work` returns, or [`Error`] if no connection can be had.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let _permit = self.inner.permits.acquire().await.map_err(|_error| E::from(Error::Closed))?;
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || {
            let idle = inner.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => open_reader(&inner.path)?,
            };
            let result = work(&connection);
            inner.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        })
        .await
        .map_err(|_error| E::from(Error::Closed))?
    }
}

/// Runs `work` in a savepoint; a failure leaves neither the database nor `state` changed.
fn in_savepoint<S: State, T, E: From<Error>>(
    state: &mut S,
    connection: &Connection,
    work: impl FnOnce(&mut S, &Connection) -> Result<T, E>,
) -> Result<T, E> {
    let sql = |text| connection.execute_batch(text).map_err(|source| E::from(Error::Sqlite(source)));
    let (changes_before, mark) = (connection.total_changes(), state.mark());
    sql("SAVEPOINT job")?;
    let result = work(state, connection);
    if result.is_err() {
        if connection.total_changes() != changes_before {
            state.rolled_back(mark);
        }
        sql("ROLLBACK TO job")?;
    }
    sql("RELEASE job")?;
    result
}

fn write_groups<S: State>(
    path: &Path,
    connection: &Connection,
    mut state: S,
    mut queue: mpsc::Receiver<Job<S>>,
) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            tracing::error!(path = %path.display(), %error, "the database takes no writes");
            // Nothing can be written, so the closures are not even run: dropping them answers "closed".
            group.clear();
            continue;
        }
        let mark = state.mark();
        let answers: Vec<Answer> = group.drain(..).map(|job| job(&mut state, connection)).collect();
        let committed = state
            .before_commit(connection)
            .and_then(|()| connection.execute_batch("COMMIT").map_err(|error| commit_error(path, &error)));
        match committed {
            Ok(()) => {
                state.committed();
                answers.into_iter().for_each(|finish| finish(Ok(())));
            }
            Err(error) => {
                // SQLite may have rolled back by itself already; then this says so and that is fine.
                if let Err(again) = connection.execute_batch("ROLLBACK") {
                    tracing::debug!(%again, "nothing left to roll back");
                }
                state.rolled_back(mark);
                tracing::error!(path = %path.display(), %error, "a group of writes could not be committed");
                for finish in answers {
                    finish(Err(again(path, &error)));
                }
            }
        }
    }
}

/// The error of a group, once more: each of its writers gets an answer of its own, and errors cannot be cloned.
fn again(path: &Path, error: &Error) -> Error {
    match error {
        Error::Full { .. } => full(path),
        other => Error::Commit(other.to_string()),
    }
}

fn full(path: &Path) -> Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    Error::Full { path: path.to_owned(), source: rusqlite::Error::SqliteFailure(code, None) }
}

fn commit_error(path: &Path, error: &rusqlite::Error) -> Error {
    if is_full(error) { full(path) } else { Error::Commit(error.to_string()) }
}
/// Whether SQLite says that the disk is full (a failed write or flush of a full tmpfs counts too).
#[must_use]
pub fn is_full(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull))
}

fn open_connection(path: &Path) -> Result<Connection, Error> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::Foreign { path: path.to_owned() },
        Some(ErrorCode::DiskFull) => Error::Full { path: path.to_owned(), source },
        _ => Error::Open { path: path.to_owned(), source },
    };
    let connection = Connection::open(path).map_err(failed)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = 16777216;
             PRAGMA cache_size = -8192;
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}
