//! The way through everything that is kept, a piece at a time. Blocks for its reads.

use cosmic_common::id::{LogId, ObjectId};
use cosmic_runtime::random;
use cosmic_store::{Span, Store};

use super::{
    Fault, Place, Thing, check,
    progress::{LogAt, RowsOf},
};
use crate::{
    packs::freed,
    quota::totals,
    tables::{ENTRIES, KEPT, KeptRow, LOGS, LogRow},
};

/// Shards read in one step: with the largest objects of the widest class, some megabytes.
const SHARDS_PER_STEP: usize = 8;
/// A step through entries ends when it has read so much …
const STEP_BYTES: u64 = 1024 * 1024;
/// … or looked at so many logs.
const LOGS_PER_STEP: usize = 64;
/// Entries of one log read in one go.
const ENTRIES_PER_SCAN: u64 = 256;

/// What one step read.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) shards: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) faults: Vec<(Thing, Fault)>,
    pub(super) next: Place,
}

impl Default for Place {
    fn default() -> Self {
        Self::BEGINNING
    }
}

impl Walked {
    fn shard(&mut self, store: &Store, (object, index): (ObjectId, u8), row: &KeptRow) {
        self.shards += 1;
        match check::shard(store, object, index, row) {
            Ok(bytes) => self.bytes += bytes,
            Err(fault) => {
                self.bytes += row.length;
                self.faults.push((Thing::Shard { object, index }, fault));
            }
        }
    }

    fn entry(&mut self, at: LogAt, seq: u64, checked: Result<u64, Fault>) {
        self.entries += 1;
        match checked {
            Ok(bytes) => self.bytes += bytes,
            Err(fault) => {
                let LogAt { space, channel, log } = at;
                self.faults.push((Thing::Entry { space, channel, log, seq }, fault));
            }
        }
    }
}

/// Reads the next piece from `place` on.
pub(super) fn step(store: &Store, place: Place) -> Walked {
    match place {
        Place::Shards { after, index } => shards(store, after.map(|object| (object, index))),
        Place::Entries { log, next } => entries(store, log, next),
        Place::Done => Walked { next: Place::Done, ..Walked::default() },
    }
}

fn shards(store: &Store, after: Option<(ObjectId, u8)>) -> Walked {
    let mut walked = Walked::default();
    let span = after.map_or_else(Span::all, |key| Span::all().after(&key));
    let mut last = after;
    for item in store.scan(&KEPT, &span, SHARDS_PER_STEP) {
        let Ok((key, row)) = item else {
            walked.faults.push((Thing::Rows { table: RowsOf::Kept }, Fault::Unreadable));
            last = store.behind_damage(&KEPT, last.as_ref());
            return Walked { next: shards_after(last), ..walked };
        };
        walked.shard(store, key, &row);
        last = Some(key);
    }
    let more = walked.shards == SHARDS_PER_STEP as u64;
    Walked { next: shards_after(last.filter(|_| more)), ..walked }
}

const fn shards_after(last: Option<(ObjectId, u8)>) -> Place {
    match last {
        Some((object, index)) => Place::Shards { after: Some(object), index },
        None => Place::Entries { log: None, next: 0 },
    }
}

fn entries(store: &Store, mut log: Option<LogAt>, mut next: u64) -> Walked {
    let mut walked = Walked::default();
    for _ in 0..LOGS_PER_STEP {
        let found = match log.filter(|_| next > 0) {
            Some(at) => check::row(store, at.space, at.channel, at.log).map(|row| row.map(|row| (at, row))),
            None => log_after(store, log),
        };
        let Ok(found) = found else {
            walked.faults.push((Thing::Rows { table: RowsOf::Logs }, Fault::Unreadable));
            let key = log.map(|at| (at.space, at.channel, at.log));
            let behind = store.behind_damage(&LOGS, key.as_ref());
            log = behind.map(|(space, channel, log)| LogAt { space, channel, log });
            let next = if log.is_some() { Place::Entries { log, next: 0 } } else { Place::Done };
            return Walked { next, ..walked };
        };
        let Some((at, row)) = found else {
            if next == 0 {
                return Walked { next: Place::Done, ..walked };
            }
            next = 0;
            continue;
        };
        log = Some(at);
        next = log_entries(store, at, &row, next, &mut walked);
        if walked.bytes >= STEP_BYTES {
            break;
        }
    }
    Walked { next: Place::Entries { log, next }, ..walked }
}

fn log_after(store: &Store, after: Option<LogAt>) -> Result<Option<(LogAt, LogRow)>, cosmic_store::Error> {
    let span = after.map_or_else(Span::all, |at| Span::all().after(&(at.space, at.channel, at.log)));
    let found = store.scan(&LOGS, &span, 1).next().transpose()?;
    Ok(found.map(|((space, channel, log), row)| (LogAt { space, channel, log }, row)))
}

/// Reads entries of a log from `next` on; the first that was not read, 0 at its end.
fn log_entries(store: &Store, at: LogAt, row: &LogRow, mut next: u64, walked: &mut Walked) -> u64 {
    while next <= row.head.seq && walked.bytes < STEP_BYTES {
        // Entries that were freed are in a pack, whose shards are read like all others.
        if let Ok(Some(run)) = freed(store, at.space, at.log, next) {
            next = run.to.saturating_add(1);
            continue;
        }
        let end = row.head.seq.saturating_add(1).min(next.saturating_add(ENTRIES_PER_SCAN));
        let mut good = next;
        for item in store.scan(&ENTRIES, &Span::range((at.log, next)..(at.log, end)), usize::MAX) {
            match item {
                Ok(((_, seq), bytes)) if seq == good && check::is_entry(&bytes, row, at.log, seq) => {
                    walked.entry(at, seq, Ok(bytes.len() as u64));
                    good += 1;
                }
                _ => break,
            }
        }
        // What the scan stumbled over is looked at alone: a read of one key goes past a damaged block it does not need.
        for seq in good..end {
            if matches!(freed(store, at.space, at.log, seq), Ok(Some(_))) {
                continue;
            }
            walked.entry(at, seq, check::entry(store, row, at.log, seq));
        }
        next = end;
    }
    if next > row.head.seq { 0 } else { next }
}

/// How many things `percent` of all are.
pub(super) fn sample_size(store: &Store, percent: u8) -> u64 {
    let all = totals(store).map_or(0, |totals| totals.shards.saturating_add(totals.entries));
    (all.saturating_mul(u64::from(percent))).div_ceil(100)
}

/// Reads a shard and an entry at random.
pub(super) fn sample(store: &Store) -> Walked {
    let mut walked = Walked::default();
    let from = (ObjectId::from_bytes(random::bytes()), 0);
    if let Some(Ok((key, row))) = store.scan(&KEPT, &Span::all().from(&from), 1).next() {
        walked.shard(store, key, &row);
    }
    let [first, second] = [random::bytes(), random::bytes()];
    let from =
        (cosmic_common::id::SpaceId::from_bytes(first), cosmic_common::id::ChannelId::from_bytes(second));
    let from = (from.0, from.1, LogId::from_bytes(random::bytes()));
    if let Some(Ok(((space, channel, log), row))) = store.scan(&LOGS, &Span::all().from(&from), 1).next() {
        let seq = u64::from_be_bytes(random::bytes()) % row.head.seq.saturating_add(1).max(1);
        if matches!(freed(store, space, log, seq), Ok(None)) {
            walked.entry(LogAt { space, channel, log }, seq, check::entry(store, &row, log, seq));
        }
    }
    walked
}
