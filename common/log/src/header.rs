//! The header of an entry: a core that sealing binds to, and the length and hash of the body.

use cosmic_common::{
    hash,
    id::{EntryId, EpochId, Hash, LogId, ObjectId},
    limit::{BODY_SEALED_MAX_BYTES, CLEAR_FIELD_MAX, DEPENDENCIES_MAX, HEADER_MAX_BYTES},
    record::RecordError,
    time::HybridTime,
};
use minicbor::{Decode, Encode};

use crate::{
    kind::{Kind, Priority},
    refusal::Rule,
    strict::Strict,
};

/// The first key that an older reader skips (as for every record).
const FIRST_SKIPPABLE_KEY: u64 = 64;

/// All that stands in a header before the body is known: the associated data of a sealed body.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode)]
#[cbor(map)]
pub struct Core {
    /// The log the entry belongs to.
    #[n(1)]
    pub log: LogId,
    /// Its place in the log; the open record has 0.
    #[n(2)]
    pub seq: u64,
    /// The entry before it in the log; none for the open record.
    #[n(3)]
    pub previous: Option<EntryId>,
    /// The maximal heads its writer knew in the same channel, and the membership heads; ascending.
    #[n(4)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub dependencies: Vec<EntryId>,
    /// When it was written, as its writer's clock told.
    #[n(5)]
    pub time: HybridTime,
    /// How urgent it is.
    #[n(6)]
    pub priority: Priority,
    /// What it is.
    #[n(7)]
    pub kind: Kind,
    /// The key epoch of a sealed body.
    #[n(8)]
    pub epoch: Option<EpochId>,
    /// The objects it refers to, so that a blind server can tell which are in use; ascending.
    #[n(9)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub objects: Vec<ObjectId>,
    /// The entries a snapshot replaces; ascending.
    #[n(10)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub covers: Vec<EntryId>,
    /// The entries a tombstone removes; ascending.
    #[n(11)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub targets: Vec<EntryId>,
}

impl Core {
    /// The name in errors.
    const NAME: &'static str = "core";

    /// The canonical bytes, which are signed, sealed to, kept and forwarded.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        #[expect(
            clippy::expect_used,
            reason = "writing to a Vec is infallible, and the encoders add no error"
        )]
        minicbor::encode(self, &mut bytes).expect("encoding into memory cannot fail");
        bytes
    }

    /// The core in `bytes`, read once and not encoded again.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are too many, malformed, not canonical or break a [`Rule`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Strict::new(Self::NAME, HEADER_MAX_BYTES, bytes)?;
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
        let core = fields.complete().ok_or_else(|| reader.broken("a mandatory field is missing"))?;
        core.check().map_err(|rule| reader.broken(rule))?;
        Ok(core)
    }

    /// Puts every list into the one order it has on the wire.
    pub(crate) fn normalise(&mut self) {
        ascending(&mut self.dependencies);
        ascending(&mut self.objects);
        ascending(&mut self.covers);
        ascending(&mut self.targets);
        if let Some(previous) = self.previous {
            self.dependencies.retain(|dependency| *dependency != previous);
        }
    }

    /// Whether this is a header anybody may have written.
    ///
    /// # Errors
    /// The [`Rule`] it breaks.
    pub fn check(&self) -> Result<(), Rule> {
        let first = self.seq == 0;
        if first != self.previous.is_none() || first != (self.kind == Kind::Open) {
            return Err(Rule::First);
        }
        if self.epoch.is_some() != self.kind.is_sealed() {
            return Err(Rule::Epoch);
        }
        if self.dependencies.len() > DEPENDENCIES_MAX {
            return Err(Rule::Dependencies);
        }
        if [self.objects.len(), self.covers.len(), self.targets.len()]
            .iter()
            .any(|len| *len > CLEAR_FIELD_MAX)
        {
            return Err(Rule::ClearField);
        }
        let misplaced = (!self.objects.is_empty() && !self.kind.is_sealed())
            || (!self.covers.is_empty() && self.kind != Kind::Snapshot)
            || (!self.targets.is_empty() && self.kind != Kind::Tombstone);
        if misplaced {
            return Err(Rule::Field);
        }
        let ordered = is_ascending(&self.dependencies)
            && is_ascending(&self.objects)
            && is_ascending(&self.covers)
            && is_ascending(&self.targets);
        if !ordered {
            return Err(Rule::Order);
        }
        match self.previous {
            Some(previous) if self.dependencies.binary_search(&previous).is_ok() => Err(Rule::Previous),
            _ => Ok(()),
        }
    }
}

fn ascending<T: Ord>(ids: &mut Vec<T>) {
    ids.sort_unstable();
    ids.dedup();
}

fn is_ascending<T: Ord>(ids: &[T]) -> bool {
    ids.windows(2).all(|pair| matches!(pair, [first, second] if first < second))
}

/// The fields of a core while it is read.
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
            4 => self.dependencies = ids(reader, DEPENDENCIES_MAX, EntryId::from_bytes)?,
            5 => self.time = Some(HybridTime::from_bits(reader.unsigned()?)),
            6 => {
                let number = reader.unsigned()?;
                self.priority =
                    Some(Priority::from_number(number).ok_or_else(|| reader.broken("an unknown priority"))?);
            }
            7 => {
                let number = reader.unsigned()?;
                self.kind = Some(Kind::from_number(number).ok_or_else(|| reader.broken("an unknown kind"))?);
            }
            8 => self.epoch = Some(EpochId::from_bytes(reader.fixed()?)),
            9 => self.objects = ids(reader, CLEAR_FIELD_MAX, ObjectId::from_bytes)?,
            10 => self.covers = ids(reader, CLEAR_FIELD_MAX, EntryId::from_bytes)?,
            11 => self.targets = ids(reader, CLEAR_FIELD_MAX, EntryId::from_bytes)?,
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

/// A list that stands only if it holds something; counted before it is allocated.
fn ids<T>(reader: &mut Strict<'_>, max: usize, id: fn([u8; 32]) -> T) -> Result<Vec<T>, RecordError> {
    let count = reader.array()?;
    match usize::try_from(count) {
        Ok(0) => Err(reader.not_canonical()),
        Ok(count) if count <= max => (0..count).map(|_| reader.fixed().map(id)).collect(),
        _ => Err(reader.broken("too many ids in one list")),
    }
}

/// What the id of an entry is the hash of: it stays when the body is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// The exact bytes of the core.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub core: Vec<u8>,
    /// How long the body is.
    #[n(2)]
    pub body_length: u64,
    /// The plain hash of the body.
    #[n(3)]
    pub body_hash: Hash,
}

impl Header {
    /// The id of the entry with this header.
    #[must_use]
    pub fn id(&self) -> EntryId {
        entry_id(&self.core, self.body_length, &self.body_hash)
    }
}

/// The id of an entry: the parts of fixed size come first, so that the concatenation is unambiguous.
pub(crate) fn entry_id(core: &[u8], body_length: u64, body_hash: &Hash) -> EntryId {
    EntryId::from_bytes(hash::derive(
        "cosmic entry 1",
        &[&body_length.to_be_bytes(), body_hash.as_bytes(), core],
    ))
}

/// Whether a core and a body are within their limits.
pub(crate) const fn check_sizes(core: usize, body: u64) -> Result<(), Rule> {
    if core > HEADER_MAX_BYTES {
        return Err(Rule::HeaderSize);
    }
    if body > BODY_SEALED_MAX_BYTES as u64 {
        return Err(Rule::BodySize);
    }
    Ok(())
}
