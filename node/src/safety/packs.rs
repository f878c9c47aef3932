//! Packs in the database: those somebody waits for, those that are known, and how safe they make entries.

use std::ops::RangeInclusive;

use cosmic_common::{
    id::{LogId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{
    level::Level,
    message::PACKS_WANTED_MAX,
    pack::{Packed, bytes::PACK_MAX_BYTES},
};
use cosmic_erasure::Manifest;
use cosmic_ring::Regions;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Safety;
use crate::error::Error;

/// Packs that somebody waits for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Entries that replicas can pack now, the first of each log; as many as are asked for at once.
    pub ready: Vec<(LogId, u64)>,
    /// Whether there are entries that the replicas may not have yet.
    pub early: bool,
}

/// Notes that somebody waits for this entry to lie in a pack.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn want(connection: &Connection, space: &SpaceId, log: &LogId, seq: u64) -> Result<(), Error> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO wanted (log, seq, space) VALUES (?1, ?2, ?3)")?
        .execute(params![log.as_bytes(), seq, space.as_bytes()])?;
    Ok(())
}

/// The packs of `space` that somebody waits for.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn wanted(safety: &Safety, connection: &Connection, space: &SpaceId) -> Result<Wanted, Error> {
    let mut statement =
        connection.prepare_cached("SELECT log, min(seq) FROM wanted WHERE space = ?1 GROUP BY log")?;
    let mut rows = statement.query([space.as_bytes()])?;
    let mut wanted = Wanted::default();
    while let Some(row) = rows.next()? {
        let (log, seq) = (LogId::try_from(row.get_ref(0)?.as_blob()?)?, row.get(1)?);
        let is_packed = || {
            connection
                .prepare_cached("SELECT 1 FROM packs WHERE log = ?1 AND last >= ?2 AND first <= ?2")?
                .exists(params![log.as_bytes(), seq])
        };
        if safety.level(connection, space, (&log, seq))? < Level::Replicated && !is_packed()? {
            wanted.early = true;
        } else if wanted.ready.len() < PACKS_WANTED_MAX {
            wanted.ready.push((log, seq));
        }
    }
    Ok(wanted)
}

/// Entries of a log of `space` that are here, from the first of `seqs` on, as many as fit into a pack.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn entries(
    connection: &Connection,
    space: &SpaceId,
    log: &LogId,
    seqs: RangeInclusive<u64>,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT bytes FROM entries WHERE log = ?1 AND seq BETWEEN ?2 AND ?3
         AND EXISTS (SELECT 1 FROM logs WHERE log = ?1 AND space = ?4) ORDER BY seq",
    )?;
    let (mut entries, mut room) = (Vec::new(), PACK_MAX_BYTES);
    let Ok(last) = i64::try_from(*seqs.end()) else { return Ok(entries) };
    let mut rows = statement.query(params![log.as_bytes(), seqs.start(), last, space.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let entry: Vec<u8> = row.get(0)?;
        let Some(left) = room.checked_sub(entry.len()) else { break };
        room = left;
        entries.push(entry);
    }
    Ok(entries)
}

/// Notes a pack that was held against the own entries; the manifest it had before, if it is the same pack.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn keep(
    connection: &Connection,
    packed: &Packed,
    manifest: &Manifest,
) -> Result<Option<Manifest>, Error> {
    let (log, last) = (packed.log.as_bytes(), packed.to);
    let before: Option<Vec<u8>> = connection
        .prepare_cached("SELECT manifest FROM packs WHERE log = ?1 AND last = ?2")?
        .query_row(params![log, last], |row| row.get(0))
        .optional()?;
    let mut before = before.and_then(|bytes| Manifest::from_bytes(&bytes).ok());
    if let Some(other) = before.take_if(|before| before.object() != packed.object) {
        connection.execute("DELETE FROM shard_receipts WHERE object = ?1", [other.object().as_bytes()])?;
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO packs (log, last, first, object, manifest) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![log, last, packed.from, packed.object.as_bytes(), manifest.to_bytes()])?;
    Ok(before)
}

/// Nobody waits any more for what lies in this pack. What comes before it may lie in another one, of which nothing is known yet.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn settle(connection: &Connection, packed: &Packed) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM wanted WHERE log = ?1 AND seq BETWEEN ?2 AND ?3")?
        .execute(params![packed.log.as_bytes(), packed.from, packed.to])?;
    Ok(())
}

/// A run of entries, and how safe its pack makes it.
pub(super) type Run = (RangeInclusive<u64>, Level);

/// The packs that entries of `seqs` lie in.
pub(super) fn runs(
    safety: &Safety,
    connection: &Connection,
    (regions, log): (&Regions, &LogId),
    seqs: &RangeInclusive<u64>,
) -> Result<Vec<Run>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT first, last, manifest FROM packs WHERE log = ?1 AND last >= ?2 AND first <= ?3",
    )?;
    let last = i64::try_from(*seqs.end()).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![log.as_bytes(), seqs.start(), last])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, last) = (row.get(0)?, row.get(1)?);
        let manifest = Manifest::from_bytes(row.get_ref(2)?.as_blob()?)?;
        runs.push((first..=last, safety.verdict(connection, regions, &manifest)?.level));
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use cosmic_common::id::ObjectId;

    use super::*;

    const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);
    const LOG: LogId = LogId::from_bytes([2; 32]);

    #[test]
    fn what_is_wanted_counts_until_its_own_pack_is_there() {
        let connection = crate::database::empty();
        let safety = Safety::default();
        let first = || -> Option<u64> {
            connection.query_row("SELECT min(seq) FROM wanted", [], |row| row.get(0)).unwrap()
        };
        for seq in [4, 9, 7, 9] {
            want(&connection, &SPACE, &LOG, seq).unwrap();
        }
        let early = wanted(&safety, &connection, &SPACE).unwrap();
        assert!(early.early && early.ready.is_empty(), "no replica has signed for the log");
        let packed = Packed { log: LOG, from: 5, to: 8, object: ObjectId::from_bytes([3; 32]) };
        settle(&connection, &packed).unwrap();
        assert_eq!(first(), Some(4), "it lies in a pack before");
        settle(&connection, &Packed { from: 0, to: 4, ..packed }).unwrap();
        assert_eq!(first(), Some(9));
        settle(&connection, &Packed { from: 9, to: 9, ..packed }).unwrap();
        assert!(!wanted(&safety, &connection, &SPACE).unwrap().early);
    }
}
