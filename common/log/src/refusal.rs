//! Why an entry, a header or a proof is not accepted.

use cosmic_common::{
    id::{EntryId, LogId},
    limit::{BODY_SEALED_MAX_BYTES, CLEAR_FIELD_MAX, DEPENDENCIES_MAX, HEADER_MAX_BYTES},
    record::RecordError,
};
use cosmic_identity::signature::SignatureError;

use crate::kind::Kind;

/// A rule that the content of one header breaks, whatever stands around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Entry 0, and only entry 0, is an open record without a previous entry.
    #[error("the first entry of a log, and only the first, is of kind open and has no previous entry")]
    First,
    /// A sealed kind without epoch, or a clear kind with one.
    #[error("an entry names a key epoch exactly if its kind is sealed")]
    Epoch,
    /// More dependencies than allowed.
    #[error("an entry has at most {DEPENDENCIES_MAX} dependencies; write a merge entry first")]
    Dependencies,
    /// More ids in one clear field than allowed.
    #[error("a clear field has at most {CLEAR_FIELD_MAX} ids")]
    ClearField,
    /// Ids of a list out of order or twice.
    #[error("the ids of a list must ascend, each once")]
    Order,
    /// The previous entry among the dependencies.
    #[error("the previous entry is a dependency already and is not listed")]
    Previous,
    /// A clear field that this kind does not have.
    #[error("objects belong to sealed kinds, covers to snapshots, targets to tombstones")]
    Field,
    /// A core of more bytes than allowed.
    #[error("a header has at most {HEADER_MAX_BYTES} bytes")]
    HeaderSize,
    /// A body of more bytes than allowed.
    #[error("a body has at most {BODY_SEALED_MAX_BYTES} bytes on the wire; larger content goes as objects")]
    BodySize,
}

/// Why an entry, an open record or a fork proof is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The header breaks a rule of its own.
    #[error("the header is not acceptable")]
    Rule(#[from] Rule),
    /// The bytes of an open record or of a header in a proof cannot be read.
    #[error("a record inside cannot be read")]
    Record(#[from] RecordError),
    /// The writer did not sign this.
    #[error("not signed by the writer of the log")]
    Signature(#[from] SignatureError),
    /// The log of the entry is another one.
    #[error("the entry belongs to log {found}, not to {expected}")]
    OtherLog {
        /// The log that was asked.
        expected: LogId,
        /// The log the entry names.
        found: LogId,
    },
    /// Entries before this one are missing; they may come later.
    #[error("entry {found} came, but {expected} is next in this log; send the entries between")]
    Gap {
        /// The next sequence number of the log.
        expected: u64,
        /// The sequence number that came.
        found: u64,
    },
    /// Right number, but it follows an entry that is not our head: the fork lies further back.
    #[error("entry {seq} follows another entry than our head; the log forked before it")]
    OtherBranch {
        /// The sequence number of the entry.
        seq: u64,
        /// Our entry before that number.
        ours: EntryId,
    },
    /// An entry below the head came, and the caller did not say which one is ours at that number.
    #[error("our entry {seq} is needed to tell a duplicate from a fork")]
    OursNeeded {
        /// The sequence number of the entry.
        seq: u64,
    },
    /// The entry is not the next one of the log.
    #[error("entry {seq} is in the log already, or its place is taken")]
    NotNext {
        /// The sequence number of the entry.
        seq: u64,
    },
    /// A log begins with another kind, or its open record is missing.
    #[error("a log begins with an open record in clear, this is {kind:?} number {seq}")]
    NotAnOpening {
        /// The kind that came.
        kind: Kind,
        /// The sequence number that came.
        seq: u64,
    },
    /// The secret key is not that of the log's writer.
    #[error("this secret key does not belong to the writer of the log")]
    OtherWriter,
    /// Two headers that prove no fork.
    #[error("these two headers prove no fork: they must have one log and number, and ascending ids")]
    NoFork,
}
