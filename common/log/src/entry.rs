//! Entries: a signed header that a chain runs over, and a body that may be dropped without breaking it.

use std::{fmt, ops::Range};

use cosmic_common::{
    hash,
    id::{EntryId, EpochId, Hash, LogId, ObjectId, WriterId},
    limit::{BODY_SEALED_MAX_BYTES, CLEAR_FIELD_MAX, DEPENDENCIES_MAX, HEADER_MAX_BYTES},
    record::RecordError,
    time::HybridTime,
};
use cosmic_identity::{
    key::SecretKey,
    signature::{Domain, PublicKey, Signature, SignatureError, verify},
};
use minicbor::Encode;

use crate::{
    frame::{Body, Frame, read_core},
    kind::{Kind, Priority},
};

/// What a writer signs: the id of the entry.
pub const DOMAIN: Domain = Domain::new("cosmic/entry/1");
const ID_CONTEXT: &str = "cosmic entry 1";
/// What stands in place of a body that was dropped, beside its length, takes so many bytes more than what says that one is
/// there: the hash, its head and a key.
pub const DROPPED_BODY_BYTES: i64 = 35;

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the records in it is malformed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// More ids in one field than allowed.
    #[error("an entry names {found} {field}, at most {limit} are allowed")]
    TooMany {
        /// The field.
        field: &'static str,
        /// Ids in it.
        found: usize,
        /// Ids that may be in it.
        limit: usize,
    },
    /// The first entry of a log is no open entry, or a later one is.
    #[error("entry {seq} of a log must {}be its open entry", if *.seq == 0 { "" } else { "not " })]
    Opening {
        /// The sequence number it claims.
        seq: u64,
    },
    /// The first entry of a log names a previous one, or a later one names none.
    #[error("entry {seq} of a log must {}name a previous entry", if *.seq == 0 { "not " } else { "" })]
    Previous {
        /// The sequence number it claims.
        seq: u64,
    },
    /// A sealed kind without its epoch, or a clear kind with one.
    #[error("an entry of kind {kind:?} must {}name a key epoch", if kind.is_sealed() { "" } else { "not " })]
    Epoch {
        /// The kind it claims.
        kind: Kind,
    },
    /// A clear field that this kind does not have.
    #[error("an entry of kind {kind:?} names no {field}")]
    Field {
        /// The kind it claims.
        kind: Kind,
        /// The field.
        field: &'static str,
    },
    /// The ids in a field do not ascend, or the previous entry stands among the dependencies.
    #[error("the {field} of an entry must ascend, each named once")]
    Order {
        /// The field.
        field: &'static str,
    },
    /// The header is longer than a header may be.
    #[error("a header has at most {HEADER_MAX_BYTES} bytes, this one has {0}")]
    HeaderTooLong(usize),
    /// The body is longer than a body may be.
    #[error("a body has at most {BODY_SEALED_MAX_BYTES} bytes, this entry says {0}")]
    BodyTooLong(u64),
}

/// The part of the header that is known before the body is sealed; the body's associated data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode)]
#[cbor(map)]
pub struct Core {
    /// The log this entry stands in.
    #[n(1)]
    pub log: LogId,
    /// Its place there, from 0.
    #[n(2)]
    pub seq: u64,
    /// The entry before it.
    #[n(3)]
    pub previous: Option<EntryId>,
    /// The maximal entries of other logs this one was made after: of the same channel, and of membership.
    #[n(4)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub dependencies: Vec<EntryId>,
    /// When, as the writer saw it. Advisory.
    #[n(5)]
    pub time: HybridTime,
    /// How urgent.
    #[n(6)]
    pub priority: Priority,
    /// What it is.
    #[n(7)]
    pub kind: Kind,
    /// The key epoch its body is sealed under.
    #[n(8)]
    pub epoch: Option<EpochId>,
    /// Clear: objects this entry needs kept.
    #[n(9)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub objects: Vec<ObjectId>,
    /// Clear: entries a snapshot replaces.
    #[n(10)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub covers: Vec<EntryId>,
    /// Clear: entries a tombstone removes.
    #[n(11)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub targets: Vec<EntryId>,
}

impl Core {
    /// The canonical bytes: what a body is sealed to, what is hashed into the id, kept and forwarded.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        /// An entry with one dependency and an epoch has 158 bytes here.
        const USUAL: usize = 192;
        let mut bytes = Vec::with_capacity(USUAL);
        #[expect(
            clippy::expect_used,
            reason = "writing to a Vec is infallible, and the encoders add no error"
        )]
        minicbor::encode(self, &mut bytes).expect("encoding into memory cannot fail");
        bytes
    }

    /// Puts the ids of every field in the order they have on the wire.
    pub(crate) fn sort(&mut self) {
        fn ascending<T: Ord>(ids: &mut Vec<T>) {
            ids.sort_unstable();
            ids.dedup();
        }
        ascending(&mut self.dependencies);
        ascending(&mut self.objects);
        ascending(&mut self.covers);
        ascending(&mut self.targets);
        if let Some(previous) = self.previous {
            self.dependencies.retain(|dependency| *dependency != previous);
        }
    }

    /// Whether this can be the core of any entry, whatever log it stands in.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self { seq, kind, .. } = *self;
        if (seq == 0) != (kind == Kind::Open) {
            return Err(Error::Opening { seq });
        }
        if (seq == 0) == self.previous.is_some() {
            return Err(Error::Previous { seq });
        }
        if kind.is_sealed() != self.epoch.is_some() {
            return Err(Error::Epoch { kind });
        }
        let everywhere = true;
        ids("dependencies", &self.dependencies, DEPENDENCIES_MAX, kind, everywhere)?;
        ids("objects", &self.objects, CLEAR_FIELD_MAX, kind, kind.is_sealed())?;
        ids("covered entries", &self.covers, CLEAR_FIELD_MAX, kind, kind == Kind::Snapshot)?;
        ids("targets", &self.targets, CLEAR_FIELD_MAX, kind, kind == Kind::Tombstone)?;
        match self.previous {
            Some(previous) if self.dependencies.binary_search(&previous).is_ok() => {
                Err(Error::Order { field: "dependencies" })
            }
            _ => Ok(()),
        }
    }
}

/// Checks one list of ids: where it may stand, how many it may hold, and that it has one order.
fn ids<T: Ord>(field: &'static str, ids: &[T], limit: usize, kind: Kind, may: bool) -> Result<(), Error> {
    if !may && !ids.is_empty() {
        return Err(Error::Field { kind, field });
    }
    if ids.len() > limit {
        return Err(Error::TooMany { field, found: ids.len(), limit });
    }
    if ids.is_sorted_by(|first, second| first < second) { Ok(()) } else { Err(Error::Order { field }) }
}

/// The id of an entry: the hash of its header. The parts of fixed size come first, so that it is unambiguous.
pub(crate) fn entry_id(core: &[u8], body_bytes: u64, body_hash: &Hash) -> EntryId {
    EntryId::from_bytes(hash::derive(ID_CONTEXT, &[&body_bytes.to_be_bytes(), body_hash.as_bytes(), core]))
}

/// One signed element of a log, kept as the exact bytes it came in. Well formed, but nothing says yet who signed it.
///
/// The bytes hold core, signature and body; length and hash of the body follow from it. When the body is
/// dropped they stand in its place. Id and signature are the same either way.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    bytes: Vec<u8>,
    core_range: Range<usize>,
    body_range: Option<Range<usize>>,
    core: Core,
    id: EntryId,
    body_bytes: u64,
    body_hash: Hash,
    signature: Signature,
}

impl Entry {
    /// Makes and signs an entry; `body` is what the kind asks for, sealed with `core.to_bytes()` as associated data.
    ///
    /// # Errors
    /// [`Error`] if core or body break a bound.
    pub fn create(core: Core, body: Vec<u8>, key: &SecretKey) -> Result<Self, Error> {
        core.check()?;
        let core_bytes = core.to_bytes();
        Self::assemble(core, &core_bytes, &body, key)
    }

    /// Signs an entry whose core is checked and encoded already.
    pub(crate) fn assemble(
        core: Core,
        core_bytes: &[u8],
        body: &[u8],
        key: &SecretKey,
    ) -> Result<Self, Error> {
        let body_bytes = body.len() as u64;
        check_sizes(core_bytes.len(), body_bytes)?;
        let body_hash = hash::plain(body);
        let id = entry_id(core_bytes, body_bytes, &body_hash);
        let signature = key.sign(DOMAIN, id.as_bytes());
        let frame = Frame { core: core_bytes, signature, body: Body::Here(body) };
        let (bytes, core_range) = frame.to_bytes();
        let body_range = Some(bytes.len() - body.len()..bytes.len());
        Ok(Self { bytes, core_range, body_range, core, id, body_bytes, body_hash, signature })
    }

    /// Reads an entry. Its bytes are checked in one pass and not encoded again.
    ///
    /// # Errors
    /// [`Error`] if anything is malformed, not canonical or out of bounds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Frame::check_length(bytes)?;
        Self::from_vec(bytes.to_vec())
    }

    /// Reads an entry and keeps `bytes` without copying them.
    ///
    /// # Errors
    /// As [`Entry::from_bytes`].
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, Error> {
        let (Frame { core: core_bytes, signature, body }, core_range) = Frame::read(&bytes)?;
        let body_bytes = match body {
            Body::Here(body) => body.len() as u64,
            Body::Dropped { length, .. } => length,
        };
        check_sizes(core_bytes.len(), body_bytes)?;
        let core = read_core(core_bytes)?;
        core.check()?;
        let (body_hash, body_range) = match body {
            Body::Here(body) => (hash::plain(body), Some(bytes.len() - body.len()..bytes.len())),
            Body::Dropped { hash, .. } => (hash, None),
        };
        let id = entry_id(core_bytes, body_bytes, &body_hash);
        Ok(Self { core_range, body_range, core, id, body_bytes, body_hash, signature, bytes })
    }

    /// The exact bytes, for the wire or a table.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A copy of the exact bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The exact bytes, given away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether `writer` signed this entry (28 µs on the reference machine; do it once).
    ///
    /// # Errors
    /// [`SignatureError`] if not.
    pub fn verify_signature(&self, writer: &WriterId) -> Result<(), SignatureError> {
        verify(writer.as_bytes(), DOMAIN, self.id.as_bytes(), &self.signature)
    }

    /// As [`Entry::verify_signature`], with a key that was made ready before: about a tenth quicker.
    ///
    /// # Errors
    /// [`SignatureError`] if `key` did not sign this entry.
    pub fn verify_with(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(DOMAIN, self.id.as_bytes(), &self.signature)
    }

    /// The entry's name: the hash of its header.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.id
    }

    /// What the writer said about it in the clear.
    #[must_use]
    pub const fn core(&self) -> &Core {
        &self.core
    }

    /// The exact bytes of the core: the associated data of a sealed body.
    #[must_use]
    pub fn core_bytes(&self) -> &[u8] {
        self.bytes.get(self.core_range.clone()).unwrap_or_default()
    }

    /// The signature over the id.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The body, unless it was dropped.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        self.body_range.clone().and_then(|range| self.bytes.get(range))
    }

    /// How long the body is or was.
    #[must_use]
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The plain hash of the body.
    #[must_use]
    pub const fn body_hash(&self) -> &Hash {
        &self.body_hash
    }

    /// The same entry without its body: id, signature and chain still hold.
    #[must_use]
    pub fn without_body(self) -> Self {
        let body = Body::Dropped { length: self.body_bytes, hash: self.body_hash };
        let (bytes, core_range) =
            Frame { core: self.core_bytes(), signature: self.signature, body }.to_bytes();
        Self { bytes, core_range, body_range: None, ..self }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Core { log, seq, kind, .. } = &self.core;
        write!(f, "Entry({kind:?} {seq} of {log:?}: {:?}, {} bytes of body)", self.id, self.body_bytes)
    }
}

const fn check_sizes(core: usize, body: u64) -> Result<(), Error> {
    if core > HEADER_MAX_BYTES {
        return Err(Error::HeaderTooLong(core));
    }
    if body > BODY_SEALED_MAX_BYTES as u64 {
        return Err(Error::BodyTooLong(body));
    }
    Ok(())
}
