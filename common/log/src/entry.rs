//! Entries: a signed header that a chain runs over, and a body that may be dropped without breaking it.

use cosmic_common::{
    hash,
    id::{EntryId, EpochId, Hash, LogId, ObjectId, WriterId},
    limit::{BODY_SEALED_MAX_BYTES, CLEAR_FIELD_MAX, DEPENDENCIES_MAX, ENTRY_MAX_BYTES, HEADER_MAX_BYTES},
    record::{Record, RecordError},
    time::HybridTime,
};
use cosmic_identity::{
    key::SecretKey,
    signature::{Domain, Signature, SignatureError, verify},
};
use minicbor::{Decode, Encode};

use crate::kind::{Kind, Priority};

/// What a writer signs: the id of the entry.
pub const DOMAIN: Domain = Domain::new("cosmic/entry/1");
const ID_CONTEXT: &str = "cosmic entry 1";

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
    /// The body is longer than a body may be.
    #[error("a body has at most {BODY_SEALED_MAX_BYTES} bytes, this entry says {0}")]
    BodyTooLong(u64),
    /// The body is not the one the header was signed for.
    #[error("the body does not match the length and hash in the signed header")]
    Body,
}

/// The part of the header that is known before the body is sealed; the body's associated data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
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
    #[cbor(skip_if = "Vec::is_empty", default)]
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
    #[cbor(skip_if = "Vec::is_empty", default)]
    pub objects: Vec<ObjectId>,
    /// Clear: entries a snapshot replaces.
    #[n(10)]
    #[cbor(skip_if = "Vec::is_empty", default)]
    pub covers: Vec<EntryId>,
    /// Clear: entries a tombstone removes.
    #[n(11)]
    #[cbor(skip_if = "Vec::is_empty", default)]
    pub targets: Vec<EntryId>,
}

impl Record for Core {
    const NAME: &'static str = "entry core";
    const LIMIT: usize = HEADER_MAX_BYTES - 64;
}

impl Core {
    fn check(&self) -> Result<(), Error> {
        let bounded = |field, found, limit| {
            if found > limit { Err(Error::TooMany { field, found, limit }) } else { Ok(()) }
        };
        bounded("dependencies", self.dependencies.len(), DEPENDENCIES_MAX)?;
        bounded("objects", self.objects.len(), CLEAR_FIELD_MAX)?;
        bounded("covered entries", self.covers.len(), CLEAR_FIELD_MAX)?;
        bounded("targets", self.targets.len(), CLEAR_FIELD_MAX)?;
        if (self.seq == 0) == self.previous.is_some() {
            return Err(Error::Previous { seq: self.seq });
        }
        if self.kind.is_sealed() != self.epoch.is_some() {
            return Err(Error::Epoch { kind: self.kind });
        }
        Ok(())
    }
}

/// The signed part of an entry: core, body length, body hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Header {
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    core: Vec<u8>,
    #[n(2)]
    body_bytes: u64,
    #[n(3)]
    body_hash: Hash,
}

impl Record for Header {
    const NAME: &'static str = "entry header";
    const LIMIT: usize = HEADER_MAX_BYTES;
}

/// The wire form of an entry.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Frame {
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    header: Vec<u8>,
    #[n(2)]
    signature: Signature,
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    body: Option<Vec<u8>>,
}

impl Record for Frame {
    const NAME: &'static str = "entry";
    const LIMIT: usize = ENTRY_MAX_BYTES;
}

/// One signed element of a log. Well formed and of the right body, but nothing says yet who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    id: EntryId,
    core: Core,
    header: Header,
    header_bytes: Vec<u8>,
    signature: Signature,
    body: Option<Vec<u8>>,
}

/// The id of the entry with this header.
#[must_use]
pub fn entry_id(header_bytes: &[u8]) -> EntryId {
    EntryId::from_bytes(hash::derive(ID_CONTEXT, &[header_bytes]))
}

impl Entry {
    /// Makes and signs an entry; `body` is what the kind asks for, sealed with `core.to_bytes()` as associated data.
    ///
    /// # Errors
    /// [`Error`] if core or body break a bound.
    pub fn create(core: Core, body: Vec<u8>, key: &SecretKey) -> Result<Self, Error> {
        core.check()?;
        if body.len() > BODY_SEALED_MAX_BYTES {
            return Err(Error::BodyTooLong(body.len() as u64));
        }
        let header =
            Header { core: core.to_bytes(), body_bytes: body.len() as u64, body_hash: hash::plain(&body) };
        let header_bytes = header.to_bytes();
        let id = entry_id(&header_bytes);
        let signature = key.sign(DOMAIN, id.as_bytes());
        Ok(Self { id, core, header, header_bytes, signature, body: Some(body) })
    }

    /// Reads an entry; its body, if it is there, is checked against the header.
    ///
    /// # Errors
    /// [`Error`] if anything is malformed, out of bounds or does not match.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let frame = Frame::from_bytes(bytes)?;
        let entry = Self::from_parts(frame.header, frame.signature)?;
        match frame.body {
            Some(body) if entry.body_matches(&body) => Ok(Self { body: Some(body), ..entry }),
            Some(_) => Err(Error::Body),
            None => Ok(entry),
        }
    }

    /// An entry without its body, from the signed header.
    ///
    /// # Errors
    /// As [`Entry::from_bytes`].
    pub fn from_parts(header_bytes: Vec<u8>, signature: Signature) -> Result<Self, Error> {
        let header = Header::from_bytes(&header_bytes)?;
        if header.body_bytes > BODY_SEALED_MAX_BYTES as u64 {
            return Err(Error::BodyTooLong(header.body_bytes));
        }
        let core = Core::from_bytes(&header.core)?;
        core.check()?;
        Ok(Self { id: entry_id(&header_bytes), core, header, header_bytes, signature, body: None })
    }

    /// The bytes for the wire or a table.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { header_bytes, signature, body, .. } = self;
        Frame { header: header_bytes.clone(), signature: *signature, body: body.clone() }.to_bytes()
    }

    /// Whether `writer` signed this entry (28 µs on the reference machine; do it once).
    ///
    /// # Errors
    /// [`SignatureError`] if not.
    pub fn verify_signature(&self, writer: &WriterId) -> Result<(), SignatureError> {
        verify(writer.as_bytes(), DOMAIN, self.id.as_bytes(), &self.signature)
    }

    /// The entry's name.
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
        &self.header.core
    }

    /// The exact bytes the id is a hash of.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// The signature over the id.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The body, unless it was dropped.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// How long the body is or was.
    #[must_use]
    pub const fn body_bytes(&self) -> u64 {
        self.header.body_bytes
    }

    /// The same entry without its body: id and chain still hold.
    #[must_use]
    pub fn without_body(self) -> Self {
        Self { body: None, ..self }
    }

    fn body_matches(&self, body: &[u8]) -> bool {
        body.len() as u64 == self.header.body_bytes && hash::plain(body) == self.header.body_hash
    }
}
