//! Entries: the exact bytes that travel, and what they say.

use std::ops::Range;

use cosmic_common::{
    hash,
    id::{EntryId, Hash, WriterId},
    limit::ENTRY_MAX_BYTES,
    record::{Record, RecordError},
};
use cosmic_identity::{
    key::SecretKey,
    signature::{Domain, PublicKey, Signature, SignatureError, verify},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    header::{Core, Header, check_sizes, entry_id},
    refusal::Refusal,
    strict::Strict,
};

/// What an entry's signature is about: the signed bytes are this and the entry's id.
pub const ENTRY_DOMAIN: Domain = Domain::new("cosmic/entry/1");

/// One signed element of a log, kept as the exact bytes it came in.
///
/// With its body it carries core, signature and body; the body's length and hash follow from it. Without it,
/// they stand in its place. Both have the same id and the same signature.
#[derive(Clone)]
pub struct Entry {
    bytes: Vec<u8>,
    core_range: Range<usize>,
    body_range: Option<Range<usize>>,
    core: Core,
    id: EntryId,
    body_length: u64,
    body_hash: Hash,
    signature: Signature,
}

impl Entry {
    /// Signs an entry of a log. [`crate::append::Appender`] keeps the chain; this does not look at it.
    ///
    /// # Errors
    /// [`Refusal::Rule`] if `core` or the size of `body` is not acceptable.
    pub fn create(core: Core, body: &[u8], key: &SecretKey) -> Result<Self, Refusal> {
        core.check()?;
        let core_bytes = core.to_bytes();
        Self::assemble(core, &core_bytes, body, key)
    }

    /// Signs an entry whose core is checked and encoded already.
    pub(crate) fn assemble(
        core: Core,
        core_bytes: &[u8],
        body: &[u8],
        key: &SecretKey,
    ) -> Result<Self, Refusal> {
        let body_length = body.len() as u64;
        check_sizes(core_bytes.len(), body_length)?;
        let body_hash = hash::plain(body);
        let id = entry_id(core_bytes, body_length, &body_hash);
        let signature = key.sign(ENTRY_DOMAIN, id.as_bytes());
        let content = Content { core: core_bytes, signature: &signature, body: Body::Here(body) };
        let (bytes, core_range) = content.encode();
        let body_range = Some(bytes.len() - body.len()..bytes.len());
        Ok(Self { bytes, core_range, body_range, core, id, body_length, body_hash, signature })
    }

    /// The entry in `bytes`, which it keeps without copying. Its signature is not verified yet.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are too many, malformed, of another version, not canonical or break a rule.
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, RecordError> {
        let Parts { core: core_range, signature, body } = Parts::read(&bytes)?;
        let slice = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        let core_bytes = slice(&core_range);
        let core = Core::from_bytes(core_bytes)?;
        let (body_length, body_hash, body_range) = match body {
            Body::Here(range) => (range.len() as u64, hash::plain(slice(&range)), Some(range)),
            Body::Dropped { length, hash } => (length, hash, None),
        };
        let id = entry_id(core_bytes, body_length, &body_hash);
        Ok(Self { core_range, body_range, core, id, body_length, body_hash, signature, bytes })
    }

    /// The name of the entry: the hash of its header.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.id
    }

    /// What the header says before the body.
    #[must_use]
    pub const fn core(&self) -> &Core {
        &self.core
    }

    /// The exact bytes of the core: the associated data of a sealed body.
    #[must_use]
    pub fn core_bytes(&self) -> &[u8] {
        self.bytes.get(self.core_range.clone()).unwrap_or_default()
    }

    /// The header, as fork proofs carry it.
    #[must_use]
    pub fn header(&self) -> Header {
        Header { core: self.core_bytes().to_vec(), body_length: self.body_length, body_hash: self.body_hash }
    }

    /// The body, unless it was dropped.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        self.body_range.as_ref().and_then(|range| self.bytes.get(range.clone()))
    }

    /// How long the body is, or was.
    #[must_use]
    pub const fn body_length(&self) -> u64 {
        self.body_length
    }

    /// The plain hash of the body.
    #[must_use]
    pub const fn body_hash(&self) -> &Hash {
        &self.body_hash
    }

    /// The writer's signature over the id.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The exact bytes, as they travel and lie in tables.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The exact bytes, given away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The same entry without its body; id and signature stay.
    #[must_use]
    pub fn without_body(&self) -> Self {
        let body = Body::Dropped { length: self.body_length, hash: self.body_hash };
        let (bytes, core_range) =
            Content { core: self.core_bytes(), signature: &self.signature, body }.encode();
        Self { bytes, core_range, body_range: None, core: self.core.clone(), ..*self }
    }

    /// Checks the signature for a writer whose key is not at hand; [`crate::state::LogState::verify`] is quicker.
    ///
    /// # Errors
    /// [`SignatureError`] if `writer` did not sign this entry.
    pub fn verify_signature(&self, writer: &WriterId) -> Result<(), SignatureError> {
        verify(writer.as_bytes(), ENTRY_DOMAIN, self.id.as_bytes(), &self.signature)
    }

    /// Checks the signature with a key that was made ready before.
    ///
    /// # Errors
    /// [`SignatureError`] if `key` did not sign this entry.
    pub fn verify_with(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(ENTRY_DOMAIN, self.id.as_bytes(), &self.signature)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Entry {}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Core { log, seq, kind, .. } = &self.core;
        let length = self.body_length;
        write!(f, "Entry({kind:?} {seq} of {log:?}, {:?}, body of {length} bytes)", self.id)
    }
}

impl Record for Entry {
    const NAME: &'static str = "entry";
    const LIMIT: usize = ENTRY_MAX_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > Self::LIMIT {
            return Err(RecordError::TooLong { name: Self::NAME, found: bytes.len(), limit: Self::LIMIT });
        }
        Self::from_vec(bytes.to_vec())
    }
}

impl Encode<()> for Entry {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut (),
    ) -> Result<(), encode::Error<W::Error>> {
        e.writer_mut().write_all(&self.bytes).map_err(encode::Error::write)
    }
}

impl<'b> Decode<'b, ()> for Entry {
    fn decode(d: &mut Decoder<'b>, _context: &mut ()) -> Result<Self, decode::Error> {
        let start = d.position();
        d.skip()?;
        let bytes = d.input().get(start..d.position()).unwrap_or_default();
        Self::from_bytes(bytes).map_err(|error| decode::Error::message(error).at(start))
    }
}

const VERSION_KEY: u8 = 0;
const CORE_KEY: u8 = 1;
const SIGNATURE_KEY: u8 = 2;
const BODY_KEY: u8 = 3;
const BODY_LENGTH_KEY: u8 = 4;
const BODY_HASH_KEY: u8 = 5;

/// A body that is there, or what remains of one that was dropped.
enum Body<B> {
    Here(B),
    Dropped { length: u64, hash: Hash },
}

/// An entry to be written.
struct Content<'a> {
    core: &'a [u8],
    signature: &'a Signature,
    body: Body<&'a [u8]>,
}

impl Content<'_> {
    /// The bytes, and where the core lies in them. A body comes last.
    fn encode(&self) -> (Vec<u8>, Range<usize>) {
        /// Version, keys, heads, signature, length and hash of the body.
        const AROUND: usize = 128;
        let body = match self.body {
            Body::Here(body) => body.len(),
            Body::Dropped { .. } => 0,
        };
        let mut e = Encoder::new(Vec::with_capacity(self.core.len() + body + AROUND));
        #[expect(clippy::expect_used, reason = "writing to a Vec is infallible")]
        let core = self.write(&mut e).expect("encoding into memory cannot fail");
        (e.into_writer(), core)
    }

    fn write(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<Range<usize>, encode::Error<std::convert::Infallible>> {
        e.map(if matches!(self.body, Body::Here(_)) { 4 } else { 5 })?;
        e.u8(VERSION_KEY)?.u16(Entry::VERSION)?;
        e.u8(CORE_KEY)?.bytes(self.core)?;
        let end = e.writer().len();
        e.u8(SIGNATURE_KEY)?.encode(self.signature)?;
        match &self.body {
            Body::Here(body) => e.u8(BODY_KEY)?.bytes(body)?,
            Body::Dropped { length, hash } => {
                e.u8(BODY_LENGTH_KEY)?.u64(*length)?.u8(BODY_HASH_KEY)?.encode(hash)?
            }
        };
        Ok(end - self.core.len()..end)
    }
}

/// Where the parts of an entry lie.
struct Parts {
    core: Range<usize>,
    signature: Signature,
    body: Body<Range<usize>>,
}

impl Parts {
    /// Takes the outer map apart. Unlike other records it holds nothing else: what no signature covers
    /// would let anybody on the way blow up an entry.
    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Strict::new(Entry::NAME, Entry::LIMIT, bytes)?;
        let pairs = reader.map()?;
        expect_key(&mut reader, VERSION_KEY)?;
        let version = reader.unsigned()?;
        if version != u64::from(Entry::VERSION) {
            return Err(RecordError::Version {
                name: Entry::NAME,
                found: version,
                supported: Entry::VERSION,
            });
        }
        expect_key(&mut reader, CORE_KEY)?;
        let core = byte_range(&mut reader)?;
        expect_key(&mut reader, SIGNATURE_KEY)?;
        let signature = Signature::from_bytes(reader.fixed()?);
        let body = match pairs {
            4 => {
                expect_key(&mut reader, BODY_KEY)?;
                Body::Here(byte_range(&mut reader)?)
            }
            5 => {
                expect_key(&mut reader, BODY_LENGTH_KEY)?;
                let length = reader.unsigned()?;
                expect_key(&mut reader, BODY_HASH_KEY)?;
                Body::Dropped { length, hash: Hash::from_bytes(reader.fixed()?) }
            }
            _ => return Err(reader.not_canonical()),
        };
        reader.end()?;
        let length = match &body {
            Body::Here(range) => range.len() as u64,
            Body::Dropped { length, .. } => *length,
        };
        check_sizes(core.len(), length).map_err(|rule| reader.broken(rule))?;
        Ok(Self { core, signature, body })
    }
}

fn expect_key(reader: &mut Strict<'_>, key: u8) -> Result<(), RecordError> {
    if reader.unsigned()? == u64::from(key) { Ok(()) } else { Err(reader.not_canonical()) }
}

fn byte_range(reader: &mut Strict<'_>) -> Result<Range<usize>, RecordError> {
    let length = reader.bytes()?.len();
    Ok(reader.position() - length..reader.position())
}
