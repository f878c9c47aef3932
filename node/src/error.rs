//! Why the node did not do what an app or a person asked.

use cosmic_common::{id::ParseIdError, record::RecordError};

use crate::{database, documents::engine};

/// Everything that can go wrong between a request and its answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The document.
    #[error(transparent)]
    Document(#[from] engine::Error),
    /// This device is no member of the space.
    #[error("this device has no space {space}; see them all with: cosmic-node space list")]
    NoSpace {
        /// What was asked for.
        space: String,
    },
    /// A beginning of an id fits several spaces.
    #[error("{count} spaces begin with {prefix}; give more of the id")]
    AmbiguousSpace {
        /// What was given.
        prefix: String,
        /// How many fit.
        count: usize,
    },
    /// There is no such document.
    #[error("there is no document {document} in {collection}")]
    NoDocument {
        /// The collection.
        collection: String,
        /// The document.
        document: String,
    },
    /// There is no such file.
    #[error("there is no file {name}")]
    NoFile {
        /// The file.
        name: String,
    },
    /// The document is not at the version the app expected.
    #[error("the document is at version {found}, not at {expected}; read it again and repeat the change")]
    Version {
        /// What it has.
        found: String,
        /// What `If-Match` said.
        expected: String,
    },
    /// The space's secrets have not arrived.
    #[error("space {space} is still being joined: its keys have not arrived; see: cosmic-node doctor")]
    NotYet {
        /// The space.
        space: String,
    },
    /// A name or id is empty, too long, or holds control characters.
    #[error("{what} must have 1 to {limit} bytes and no control characters")]
    Name {
        /// What it names.
        what: &'static str,
        /// The longest.
        limit: usize,
    },
    /// A change does not fit into an entry.
    #[error("the change has {found} bytes, at most {limit} fit; store large content as a file")]
    TooLarge {
        /// Bytes it has.
        found: usize,
        /// Bytes that fit.
        limit: usize,
    },
    /// A file has more chunks than an entry may name.
    #[error("a file has at most {limit_bytes} bytes")]
    FileTooLarge {
        /// The longest file.
        limit_bytes: u64,
    },
    /// No region has such a name.
    #[error("{region} is no name of a region; names have at most 32 of a-z, 0-9, - and .")]
    Region {
        /// What was asked for.
        region: String,
    },
    /// More regions than a genesis can name.
    #[error(
        "a space can name {} regions, not {found}; leave them out to let it lie everywhere",
        cosmic_space::genesis::REGIONS_MAX
    )]
    Regions {
        /// How many were named.
        found: usize,
    },
    /// The role is not one that can be given.
    #[error("the role {role} cannot be given; use viewer, editor or admin")]
    Role {
        /// What was asked for.
        role: String,
    },
    /// The writer of this device lacks the right.
    #[error("this device may not do that in the space")]
    NotAllowed(#[source] cosmic_space::refusal::Refusal),
    /// The ticket cannot be used.
    #[error(transparent)]
    Ticket(#[from] cosmic_space::ticket::TicketError),
    /// A peer sent an entry that cannot stand.
    #[error("an entry was refused")]
    Entry(#[from] cosmic_log::entry::Error),
    /// Membership says no.
    #[error(transparent)]
    Space(#[from] cosmic_space::refusal::Refusal),
    /// Sealing or opening failed.
    #[error("sealing or opening failed")]
    Seal(#[from] cosmic_seal::error::Error),
    /// Something in the database cannot be read; everything but entries and keys can be rebuilt.
    #[error("a record in the database is damaged")]
    Damaged(#[from] RecordError),
    /// An id in the database has another size.
    #[error("an id in the database is damaged")]
    DamagedId(#[from] ParseIdError),
    /// A sealed chunk cannot be read or written.
    #[error("cannot use the chunk cache at {path}")]
    Cache {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The app's own stream broke.
    #[error("the upload was interrupted; nothing was stored")]
    Upload(#[source] std::io::Error),
    /// A chunk is neither here nor can it be fetched now.
    #[error("a part of the file is not here and no supernode or device that has it can be reached")]
    Unreachable,
    /// The node is offline or stopping.
    #[error("the node is offline; go online with: cosmic-node network online")]
    Offline,
    /// Waiting for a level took longer than asked.
    #[error("not as safe as asked within the time; it is stored on this device and the upload goes on")]
    NotSafeYet,
    /// An export cannot be written.
    #[error("cannot write the export to {path}")]
    Export {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(database::Error::Sqlite(error))
    }
}

impl From<rusqlite::types::FromSqlError> for Error {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Database(database::Error::Sqlite(error.into()))
    }
}
