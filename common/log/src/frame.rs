//! The bytes of an entry: an outer map around core, signature and body, and the map of the core inside.

use std::{convert::Infallible, ops::Range};

use cosmic_common::{
    id::{EntryId, EpochId, Hash, LogId, ObjectId},
    limit::{CLEAR_FIELD_MAX, DEPENDENCIES_MAX, ENTRY_MAX_BYTES, HEADER_MAX_BYTES},
    record::RecordError,
    time::HybridTime,
};
use cosmic_identity::signature::Signature;
use minicbor::{Encoder, encode};

use crate::{
    entry::Core,
    kind::{Kind, Priority},
    strict::Strict,
};

const NAME: &str = "entry";
const CORE_NAME: &str = "entry core";
const VERSION: u16 = 1;

const VERSION_KEY: u8 = 0;
const CORE_KEY: u8 = 1;
const SIGNATURE_KEY: u8 = 2;
const BODY_KEY: u8 = 3;
const BODY_BYTES_KEY: u8 = 4;
const BODY_HASH_KEY: u8 = 5;

/// The first key of a core that an older reader skips, as in every record.
const FIRST_SKIPPABLE_KEY: u64 = 64;

/// A body, or what is left of one that was dropped.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    Here(&'a [u8]),
    Dropped { length: u64, hash: Hash },
}

/// The outer map, borrowed from its bytes.
pub(crate) struct Frame<'a> {
    pub(crate) core: &'a [u8],
    pub(crate) signature: Signature,
    pub(crate) body: Body<'a>,
}

impl<'a> Frame<'a> {
    /// The bytes, and where the core lies in them. A body comes last.
    pub(crate) fn to_bytes(&self) -> (Vec<u8>, Range<usize>) {
        /// Version, keys, heads, signature, length and hash of the body.
        const AROUND: usize = 128;
        let body = match self.body {
            Body::Here(body) => body.len(),
            Body::Dropped { .. } => 0,
        };
        let mut e = Encoder::new(Vec::with_capacity(self.core.len() + body + AROUND));
        #[expect(
            clippy::expect_used,
            reason = "writing to a Vec is infallible, and the encoders add no error"
        )]
        let core = self.write(&mut e).expect("encoding into memory cannot fail");
        (e.into_writer(), core)
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Result<Range<usize>, encode::Error<Infallible>> {
        e.map(if matches!(self.body, Body::Here(_)) { 4 } else { 5 })?;
        e.u8(VERSION_KEY)?.u16(VERSION)?;
        e.u8(CORE_KEY)?.bytes(self.core)?;
        let end = e.writer().len();
        e.u8(SIGNATURE_KEY)?.encode(self.signature)?;
        match self.body {
            Body::Here(body) => e.u8(BODY_KEY)?.bytes(body)?,
            Body::Dropped { length, hash } => {
                e.u8(BODY_BYTES_KEY)?.u64(length)?.u8(BODY_HASH_KEY)?.encode(hash)?
            }
        };
        Ok(end - self.core.len()..end)
    }

    /// Refuses too many bytes before anybody copies them.
    pub(crate) const fn check_length(bytes: &[u8]) -> Result<(), RecordError> {
        if bytes.len() > ENTRY_MAX_BYTES {
            return Err(RecordError::TooLong { name: NAME, found: bytes.len(), limit: ENTRY_MAX_BYTES });
        }
        Ok(())
    }

    /// Takes the outer map apart, and says where the core lies. Unlike other records it holds nothing
    /// else: no signature covers it, so anybody on the way could add to it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, Range<usize>), RecordError> {
        Self::check_length(bytes)?;
        let mut reader = Strict::new(NAME, bytes);
        let pairs = reader.map()?;
        reader.key(VERSION_KEY)?;
        let version = reader.unsigned()?;
        if version != u64::from(VERSION) {
            return Err(RecordError::Version { name: NAME, found: version, supported: VERSION });
        }
        reader.key(CORE_KEY)?;
        let core = reader.bytes()?;
        let core_end = reader.position();
        reader.key(SIGNATURE_KEY)?;
        let signature = Signature::from_bytes(reader.fixed()?);
        let body = match pairs {
            4 => {
                reader.key(BODY_KEY)?;
                Body::Here(reader.bytes()?)
            }
            5 => {
                reader.key(BODY_BYTES_KEY)?;
                let length = reader.unsigned()?;
                reader.key(BODY_HASH_KEY)?;
                Body::Dropped { length, hash: Hash::from_bytes(reader.fixed()?) }
            }
            _ => return Err(reader.not_canonical()),
        };
        reader.end()?;
        Ok((Self { core, signature, body }, core_end - core.len()..core_end))
    }
}

/// Reads the map of a core in one pass. Its rules are [`Core::check`]'s matter.
pub(crate) fn read_core(bytes: &[u8]) -> Result<Core, RecordError> {
    if bytes.len() > HEADER_MAX_BYTES {
        return Err(RecordError::TooLong { name: CORE_NAME, found: bytes.len(), limit: HEADER_MAX_BYTES });
    }
    let mut reader = Strict::new(CORE_NAME, bytes);
    let pairs = reader.map()?;
    let mut fields = Fields::default();
    let mut last = 0;
    for _ in 0..pairs {
        let key = reader.unsigned()?;
        if key <= last {
            return Err(reader.not_canonical());
        }
        last = key;
        fields.read(key, &mut reader)?;
    }
    reader.end()?;
    fields.complete().ok_or_else(|| reader.broken("a mandatory field is missing"))
}

/// The fields of a core as far as they were read.
#[derive(Default)]
struct Fields {
    log: Option<LogId>,
    seq: Option<u64>,
    previous: Option<EntryId>,
    dependencies: Vec<EntryId>,
    time: Option<HybridTime>,
    priority: Option<Priority>,
    kind: Option<Kind>,
    epoch: Option<EpochId>,
    objects: Vec<ObjectId>,
    covers: Vec<EntryId>,
    targets: Vec<EntryId>,
}

impl Fields {
    fn read(&mut self, key: u64, reader: &mut Strict<'_>) -> Result<(), RecordError> {
        match key {
            1 => self.log = Some(LogId::from_bytes(reader.fixed()?)),
            2 => self.seq = Some(reader.unsigned()?),
            3 => self.previous = Some(EntryId::from_bytes(reader.fixed()?)),
            4 => self.dependencies = read_ids(reader, DEPENDENCIES_MAX, EntryId::from_bytes)?,
            5 => self.time = Some(HybridTime::from_bits(reader.unsigned()?)),
            6 => {
                let number = reader.unsigned()?;
                let priority = Priority::from_number(number);
                self.priority = Some(priority.ok_or_else(|| reader.broken("an unknown priority"))?);
            }
            7 => {
                let number = reader.unsigned()?;
                self.kind = Some(Kind::from_number(number).ok_or_else(|| reader.broken("an unknown kind"))?);
            }
            8 => self.epoch = Some(EpochId::from_bytes(reader.fixed()?)),
            9 => self.objects = read_ids(reader, CLEAR_FIELD_MAX, ObjectId::from_bytes)?,
            10 => self.covers = read_ids(reader, CLEAR_FIELD_MAX, EntryId::from_bytes)?,
            11 => self.targets = read_ids(reader, CLEAR_FIELD_MAX, EntryId::from_bytes)?,
            FIRST_SKIPPABLE_KEY.. => reader.skip()?,
            _ => return Err(reader.not_canonical()),
        }
        Ok(())
    }

    fn complete(self) -> Option<Core> {
        Some(Core {
            log: self.log?,
            seq: self.seq?,
            previous: self.previous,
            dependencies: self.dependencies,
            time: self.time?,
            priority: self.priority?,
            kind: self.kind?,
            epoch: self.epoch,
            objects: self.objects,
            covers: self.covers,
            targets: self.targets,
        })
    }
}

/// A list, which stands only if it holds something; counted before it is allocated.
fn read_ids<T>(reader: &mut Strict<'_>, max: usize, id: fn([u8; 32]) -> T) -> Result<Vec<T>, RecordError> {
    let count = reader.array()?;
    match usize::try_from(count) {
        Ok(0) => Err(reader.not_canonical()),
        Ok(count) if count <= max => (0..count).map(|_| reader.fixed().map(id)).collect(),
        _ => Err(reader.broken("more ids in one list than allowed")),
    }
}
