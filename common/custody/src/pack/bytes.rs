//! The bytes of a pack.

use std::ops::Range;

use cosmic_common::{
    hash,
    id::{LogId, ObjectId},
    limit::OBJECT_MAX_BYTES,
};

/// Version, log, first sequence number, number of entries.
pub const HEADER_BYTES: usize = 1 + LOG_BYTES + 8 + 4;
/// What stands before each entry: its length.
pub const LENGTH_BYTES: usize = 4;
/// A whole pack.
pub const PACK_MAX_BYTES: usize = OBJECT_MAX_BYTES;

/// Entries of one pack: more would not fit even if they were empty.
pub const ENTRIES_MAX: u64 = (PACK_MAX_BYTES / LENGTH_BYTES) as u64;

const LOG_BYTES: usize = 32;
const VERSION: u8 = 1;

/// Why bytes are no pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPack {
    /// More bytes than a pack may have.
    #[error("a pack has at most {PACK_MAX_BYTES} bytes, this has {found}")]
    TooLong {
        /// Bytes that came.
        found: usize,
    },
    /// A version this build does not know.
    #[error("version {found} of packs is not known here; update CosmicSync")]
    Version {
        /// What was found.
        found: u8,
    },
    /// It ends too early, goes on behind its end, or counts beyond the last sequence number.
    #[error("the bytes of a pack do not add up")]
    Malformed,
}

/// The bytes a run takes whose entries have `entry_bytes` together.
#[must_use]
pub const fn length(entries: u64, entry_bytes: u64) -> u64 {
    HEADER_BYTES as u64 + entries * LENGTH_BYTES as u64 + entry_bytes
}

/// The pack of entries that follow each other in `log`, the first of them at `from`. None if they are none or too many.
#[must_use]
pub fn encode<'a>(log: LogId, from: u64, entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.push(VERSION);
    bytes.extend_from_slice(log.as_bytes());
    bytes.extend_from_slice(&from.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let mut count = 0_u32;
    for entry in entries {
        if bytes.len() + LENGTH_BYTES + entry.len() > PACK_MAX_BYTES {
            return None;
        }
        bytes.extend_from_slice(&u32::try_from(entry.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(entry);
        count += 1;
    }
    bytes.get_mut(HEADER_BYTES - 4..HEADER_BYTES)?.copy_from_slice(&count.to_be_bytes());
    (count > 0).then_some(bytes)
}

/// The object that the bytes of a pack are.
#[must_use]
pub fn object(pack: &[u8]) -> ObjectId {
    ObjectId::from_bytes(*hash::plain(pack).as_bytes())
}

/// A pack that was read.
#[derive(Debug, Clone)]
pub struct Pack {
    log: LogId,
    from: u64,
    bytes: Vec<u8>,
    entries: Vec<Range<usize>>,
}

impl Pack {
    /// Reads a pack. The entries in it are not looked at.
    ///
    /// # Errors
    /// [`NotAPack`].
    pub fn read(bytes: Vec<u8>) -> Result<Self, NotAPack> {
        if bytes.len() > PACK_MAX_BYTES {
            return Err(NotAPack::TooLong { found: bytes.len() });
        }
        let (version, rest) = bytes.split_first().ok_or(NotAPack::Malformed)?;
        if *version != VERSION {
            return Err(NotAPack::Version { found: *version });
        }
        let (log, rest) = rest.split_first_chunk::<LOG_BYTES>().ok_or(NotAPack::Malformed)?;
        let (from, rest) = rest.split_first_chunk::<8>().ok_or(NotAPack::Malformed)?;
        let (count, mut rest) = rest.split_first_chunk::<4>().ok_or(NotAPack::Malformed)?;
        let (log, from, count) =
            (LogId::from_bytes(*log), u64::from_be_bytes(*from), u32::from_be_bytes(*count));
        if count == 0 || from.checked_add(u64::from(count) - 1).is_none() {
            return Err(NotAPack::Malformed);
        }
        let mut entries = Vec::new();
        let mut at = HEADER_BYTES;
        for _ in 0..count {
            let (length, behind) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(NotAPack::Malformed)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_wide| NotAPack::Malformed)?;
            rest = behind.get(length..).ok_or(NotAPack::Malformed)?;
            at += LENGTH_BYTES;
            entries.push(at..at + length);
            at += length;
        }
        if !rest.is_empty() {
            return Err(NotAPack::Malformed);
        }
        Ok(Self { log, from, bytes, entries })
    }

    /// The log its entries are of.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// The sequence number of the first entry.
    #[must_use]
    pub const fn from(&self) -> u64 {
        self.from
    }

    /// How many entries it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Range<usize>>()
    }

    /// The entries from `seq` on, to the end of the pack.
    pub fn entries_from(&self, seq: u64) -> impl Iterator<Item = &[u8]> {
        let skipped = seq.checked_sub(self.from).and_then(|skipped| usize::try_from(skipped).ok());
        let entries = skipped.and_then(|skipped| self.entries.get(skipped..)).unwrap_or_default();
        entries.iter().filter_map(|place| self.bytes.get(place.clone()))
    }
}
