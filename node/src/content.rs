//! What members read in the sealed bodies of entries: changes of documents, and files.

use cosmic_common::{
    hash,
    id::{Incarnation, LogId},
    limit::{BODY_PLAIN_MAX_BYTES, CLEAR_FIELD_MAX},
    record::Record,
};
use cosmic_seal::chunk::ChunkReference;
use minicbor::{Decode, Encode};

use crate::documents::engine::ReplicaId;

/// The longest id of a document and name of a collection or file.
pub const NAME_MAX_BYTES: usize = 256;

/// The body of a change entry: updates of documents of one collection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChangeBody {
    /// The collection, whose channel the entry stands in.
    #[n(1)]
    pub collection: String,
    /// The run in which the updates were made, if it is not that of the log: they waited through a restart.
    #[n(2)]
    pub made_in: Option<Incarnation>,
    /// The updates, in the order they were made.
    #[n(3)]
    pub updates: Vec<Update>,
}

/// An update of one document.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Update {
    /// The document's id.
    #[n(0)]
    pub document: String,
    /// The CRDT operations.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub operations: Vec<u8>,
}

impl Record for ChangeBody {
    const NAME: &'static str = "change";
    const LIMIT: usize = BODY_PLAIN_MAX_BYTES;
}

/// The body of a snapshot entry: what the changes it covers say, in the order in which it names them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotBody {
    /// The collection, whose channel the entry stands in.
    #[n(1)]
    pub collection: String,
    /// What each change says.
    #[n(2)]
    pub said: Vec<Said>,
}

/// What a change says, beside its collection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Said {
    /// The run in which the updates were made, if it is not that of the log.
    #[n(0)]
    pub made_in: Option<Incarnation>,
    /// The updates, in the order they were made.
    #[n(1)]
    pub updates: Vec<Update>,
}

impl Record for SnapshotBody {
    const NAME: &'static str = "snapshot";
    const LIMIT: usize = BODY_PLAIN_MAX_BYTES;
}

/// The body of a file entry: a file as it stands from now on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FileBody {
    /// Its name in the space.
    #[n(1)]
    pub name: String,
    /// Its length in bytes.
    #[n(2)]
    pub bytes: u64,
    /// Its media type, as the app told.
    #[n(3)]
    pub media_type: Option<String>,
    /// Its chunks in order; at most one for each object in the entry's clear field. Of a removed file those it had, which
    /// stand in no clear field any more.
    #[n(4)]
    pub chunks: Vec<ChunkReference>,
    /// Whether it was removed.
    #[n(5)]
    pub removed: bool,
}

impl Record for FileBody {
    const NAME: &'static str = "file";
    const LIMIT: usize = BODY_PLAIN_MAX_BYTES;
}

/// Chunks of one file: as many as an entry may name.
pub const CHUNKS_MAX: usize = CLEAR_FIELD_MAX;

/// The replica of a document inside the CRDT that writes in `log`.
#[must_use]
pub fn replica_of(log: &LogId, document: &str) -> ReplicaId {
    let bytes = hash::derive("cosmic document replica 1", &[log.as_bytes(), document.as_bytes()]);
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    // The CRDT library keeps the largest id for itself.
    ReplicaId(u64::from_be_bytes([a, b, c, d, e, f, g, h]).min(u64::MAX - 1))
}

#[cfg(test)]
mod tests;
