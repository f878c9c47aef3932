//! The tables of a node, their format number, and the refusal of formats this build does not know.
//!
//! Everything but entries and keys can be rebuilt from them.

use std::path::Path;

use rusqlite::Connection;

use super::Error;

/// `PRAGMA application_id` of our files: "COSM".
const APPLICATION_ID: i64 = 0x434f_534d;
/// The format this build writes; `PRAGMA user_version` holds it.
pub(super) const FORMAT: i64 = STEPS.len() as i64;

/// What makes each format of the one before it. A step that was released never changes.
pub(super) const STEPS: [&str; 4] = [FIRST, PACKS, COVERS, WANTED];

const FIRST: &str = "
    -- one value each: incarnation, fingerprint of the data directory
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

    -- spaces this device is a member of, with this device's secrets in them
    CREATE TABLE spaces (
        space BLOB PRIMARY KEY, name TEXT NOT NULL, writer_reference BLOB NOT NULL, constant BLOB, delegation BLOB,
        ticket TEXT, peers TEXT NOT NULL, created_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE epochs (
        space BLOB NOT NULL, epoch BLOB NOT NULL, secret BLOB NOT NULL, PRIMARY KEY (space, epoch)
    ) WITHOUT ROWID;
    CREATE TABLE channels (
        space BLOB NOT NULL, channel BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (space, channel)
    ) WITHOUT ROWID;

    -- logs and entries; `applied` is 0 while an entry waits for its dependencies or its epoch
    CREATE TABLE logs (
        log BLOB PRIMARY KEY, space BLOB NOT NULL, channel BLOB NOT NULL, open BLOB NOT NULL,
        mine INTEGER NOT NULL, seq INTEGER NOT NULL, head BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX logs_by_space ON logs (space, channel);
    CREATE TABLE entries (
        number INTEGER PRIMARY KEY, log BLOB NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL,
        applied INTEGER NOT NULL, bytes BLOB NOT NULL, UNIQUE (log, seq)
    );
    CREATE INDEX entries_by_id ON entries (id);
    CREATE INDEX entries_waiting ON entries (log, seq) WHERE applied = 0;
    CREATE TABLE forks (log BLOB NOT NULL, seq INTEGER NOT NULL, proof BLOB NOT NULL, PRIMARY KEY (log, seq)) WITHOUT ROWID;

    -- changes that are durable here and not sealed yet
    CREATE TABLE pending (
        number INTEGER PRIMARY KEY, space BLOB NOT NULL, collection TEXT NOT NULL, document TEXT NOT NULL,
        incarnation BLOB NOT NULL, content BLOB NOT NULL
    );
    CREATE INDEX pending_by_space ON pending (space, collection);

    -- what apps read; json is NULL for a deleted document, log and seq name the entry of its newest change
    CREATE TABLE documents (
        space BLOB NOT NULL, collection TEXT NOT NULL, document TEXT NOT NULL, json TEXT, crdt BLOB NOT NULL,
        version TEXT NOT NULL, updated_ms INTEGER NOT NULL, log BLOB, seq INTEGER,
        PRIMARY KEY (space, collection, document)
    );
    CREATE INDEX documents_by_entry ON documents (log, seq);
    CREATE TABLE events (
        cursor INTEGER PRIMARY KEY AUTOINCREMENT, space BLOB NOT NULL, collection TEXT NOT NULL, document TEXT NOT NULL,
        kind TEXT NOT NULL, at_ms INTEGER NOT NULL
    );

    -- files and their chunks; an object is `cached` while its sealed bytes lie in the chunk directory
    CREATE TABLE files (
        space BLOB NOT NULL, name TEXT NOT NULL, content BLOB NOT NULL, time INTEGER NOT NULL, entry BLOB NOT NULL,
        log BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (space, name)
    ) WITHOUT ROWID;
    CREATE TABLE objects (
        object BLOB PRIMARY KEY, space BLOB NOT NULL, bytes INTEGER NOT NULL, mine INTEGER NOT NULL,
        cached INTEGER NOT NULL, manifest BLOB, durable INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX objects_to_upload ON objects (space) WHERE mine = 1 AND durable = 0;

    -- receipts as signed bytes: cumulative per log and holder, and per shard
    CREATE TABLE receipts (
        log BLOB NOT NULL, holder BLOB NOT NULL, keeps INTEGER NOT NULL, seq INTEGER NOT NULL, signed BLOB NOT NULL,
        PRIMARY KEY (log, holder, keeps)
    ) WITHOUT ROWID;
    CREATE TABLE shard_receipts (object BLOB NOT NULL, shard INTEGER NOT NULL, holder BLOB NOT NULL, signed BLOB NOT NULL, PRIMARY KEY (object, shard, holder)) WITHOUT ROWID;

    CREATE TABLE idempotency (key TEXT PRIMARY KEY, answer TEXT NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID;
";

const PACKS: &str = "
    -- packs that entries of logs lie in, first and last included; their receipts are in shard_receipts
    CREATE TABLE packs (
        log BLOB NOT NULL, last INTEGER NOT NULL, first INTEGER NOT NULL, object BLOB NOT NULL, manifest BLOB NOT NULL,
        PRIMARY KEY (log, last)
    ) WITHOUT ROWID;
    -- the last entry of a log that somebody waits for to lie in a pack
    CREATE TABLE wanted (log BLOB PRIMARY KEY, space BLOB NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX wanted_by_space ON wanted (space);
";

const COVERS: &str = "
    -- snapshots and where they stand; `verified` once what they say was held against the entries they cover
    CREATE TABLE snapshots (
        snapshot BLOB PRIMARY KEY, space BLOB NOT NULL, log BLOB NOT NULL, seq INTEGER NOT NULL, verified INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE covers (entry BLOB NOT NULL, snapshot BLOB NOT NULL, PRIMARY KEY (entry, snapshot)) WITHOUT ROWID;
    -- who says that he has verified a snapshot: the log that says so, and where
    CREATE TABLE acknowledged (
        snapshot BLOB NOT NULL, log BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (snapshot, log)
    ) WITHOUT ROWID;
    -- the last entry of a channel that was looked at for a snapshot
    CREATE TABLE looked (
        space BLOB NOT NULL, channel BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (space, channel)
    ) WITHOUT ROWID;
";

const WANTED: &str = "
    -- the entries that somebody waits for to lie in a pack: neighbours may lie in several
    ALTER TABLE wanted RENAME TO wanted_last;
    CREATE TABLE wanted (log BLOB NOT NULL, seq INTEGER NOT NULL, space BLOB NOT NULL, PRIMARY KEY (log, seq)) WITHOUT ROWID;
    INSERT INTO wanted SELECT log, seq, space FROM wanted_last;
    DROP TABLE wanted_last;
    CREATE INDEX wanted_by_space ON wanted (space, log, seq);
";

/// Creates the tables in a new file, brings an older one up to date, accepts ours, refuses everything else.
pub(super) fn prepare(path: &Path, connection: &mut Connection) -> Result<(), Error> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (application, found) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let known = match (application, found, tables) {
        (0, 0, 0) => 0,
        (APPLICATION_ID, 1..=FORMAT, _) => usize::try_from(found).unwrap_or_default(),
        (APPLICATION_ID, _, _) => return Err(Error::Newer { path: path.to_owned(), found, known: FORMAT }),
        _ => return Err(Error::Foreign { path: path.to_owned() }),
    };
    match STEPS.get(known..) {
        None | Some([]) => Ok(()),
        Some(steps) => take(path, connection, steps),
    }
}

/// Takes these steps, all or none.
fn take(path: &Path, connection: &mut Connection, steps: &[&str]) -> Result<(), Error> {
    let full_or = |source: rusqlite::Error| {
        if super::is_full(&source) {
            Error::Full { path: path.to_owned(), source }
        } else {
            Error::Open { path: path.to_owned(), source }
        }
    };
    let transaction = connection.transaction().map_err(full_or)?;
    transaction
        .execute_batch(&format!(
            "{} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};",
            steps.concat()
        ))
        .map_err(full_or)?;
    transaction.commit().map_err(full_or)
}
