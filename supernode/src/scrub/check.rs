//! Whether one thing is as it was kept. Blocks for its reads.

use bytes::Bytes;
use cosmic_common::{
    hash,
    id::{ChannelId, LogId, ObjectId, SpaceId},
    record::Record as _,
};
use cosmic_erasure::Manifest;
use cosmic_log::entry::Entry;
use cosmic_store::{Error, Store};

use super::{Fault, Thing};
use crate::packs::freed;
use crate::tables::{ENTRIES, KEPT, KeptRow, LOGS, LogRow, MANIFESTS, SHARDS};

/// What is wrong with `thing` as it lies here; nothing if it is no longer kept.
pub(super) fn thing(store: &Store, thing: &Thing) -> Option<Fault> {
    match *thing {
        Thing::Shard { object, index } => match store.get(&KEPT, &(object, index)) {
            Ok(Some(row)) => shard(store, object, index, &row).err(),
            Ok(None) => None,
            Err(_unreadable) => Some(Fault::Unreadable),
        },
        Thing::Entry { space, channel, log, seq } => match row(store, space, channel, log) {
            Ok(Some(_)) if matches!(freed(store, space, log, seq), Ok(Some(_))) => None,
            Ok(Some(row)) if seq <= row.head.seq => entry(store, &row, log, seq).err(),
            Ok(_) => None,
            Err(_unreadable) => Some(Fault::Unreadable),
        },
        Thing::Rows { .. } => Some(Fault::Unreadable),
    }
}

/// The row of a log.
pub(super) fn row(
    store: &Store,
    space: SpaceId,
    channel: ChannelId,
    log: LogId,
) -> Result<Option<LogRow>, Error> {
    store.get(&LOGS, &(space, channel, log))
}

/// The bytes of a shard, which are what `row` and the manifest beside it say.
pub(super) fn shard(store: &Store, object: ObjectId, index: u8, row: &KeptRow) -> Result<u64, Fault> {
    let manifest = there(store.get(&MANIFESTS, &object))?;
    let named = Manifest::from_bytes(&manifest).ok().filter(|manifest| manifest.coding() == object);
    if named.and_then(|manifest| manifest.shard(index)) != Some(row.hash) {
        return Err(Fault::Wrong);
    }
    // Bytes in the cold store are read at their own rate, by whoever checks them there.
    if row.cold.is_some() {
        return Ok(0);
    }
    let bytes = there(store.get(&SHARDS, &(object, index)))?;
    if hash::plain(&bytes) == row.hash { Ok(bytes.len() as u64) } else { Err(Fault::Wrong) }
}

/// The bytes of an entry, which its writer signed.
pub(super) fn entry(store: &Store, row: &LogRow, log: LogId, seq: u64) -> Result<u64, Fault> {
    let bytes = there(store.get(&ENTRIES, &(log, seq)))?;
    if is_entry(&bytes, row, log, seq) { Ok(bytes.len() as u64) } else { Err(Fault::Wrong) }
}

/// Whether `bytes` are entry `seq` of the log that `row` is about.
pub(super) fn is_entry(bytes: &[u8], row: &LogRow, log: LogId, seq: u64) -> bool {
    Entry::from_bytes(bytes).is_ok_and(|entry| {
        let in_place = entry.core().log == log && entry.core().seq == seq;
        let head = seq != row.head.seq || entry.id() == row.head.entry;
        in_place && head && entry.verify_signature(&row.open.writer).is_ok()
    })
}

fn there(read: Result<Option<Bytes>, Error>) -> Result<Bytes, Fault> {
    match read {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(Fault::Missing),
        Err(_unreadable) => Err(Fault::Unreadable),
    }
}
