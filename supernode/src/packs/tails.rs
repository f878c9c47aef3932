//! Which tails there are, a page at a time; and those of logs that were kept before there were tails.

use cosmic_common::id::{LogId, SpaceId};
use cosmic_custody::Tail;
use cosmic_space::genesis::membership_channel;
use cosmic_store::{Error, Span, Store};

use crate::tables::{ENTRIES, FACTS, Fact, LOGS, TAILS};

/// Tails read in one go.
const PAGE: usize = 1024;
/// Logs that get a tail in one batch.
const LOGS_AT_ONCE: usize = 256;

/// A tail and whose it is.
pub(super) type Row = ((SpaceId, LogId), Tail);

/// The tails behind this place, in their order.
pub(super) fn page(store: &Store, after: Option<(SpaceId, LogId)>) -> Result<Vec<Row>, Error> {
    let span = after.map_or_else(Span::all, |place| Span::all().after(&place));
    store.scan(&TAILS, &span, PAGE).collect()
}

/// Gives a tail to every log that a version without packs has kept. Done once; goes on where it was interrupted.
pub(super) async fn make_for_old_logs(
    store: &Store,
    now: cosmic_common::time::Timestamp,
) -> Result<(), Error> {
    let done = &(Fact::Tails as u8);
    if store.contains(&FACTS, done)? {
        return Ok(());
    }
    let mut after = None;
    loop {
        let reading = store.clone();
        let read = move || -> Result<Vec<_>, Error> {
            let span = after.map_or_else(Span::all, |place| Span::all().after(&place));
            let mut found = Vec::new();
            for row in reading.scan(&LOGS, &span, LOGS_AT_ONCE) {
                let (place, _row) = row?;
                let (space, channel, log) = place;
                let is_membership = channel == membership_channel(&space);
                let tail = if is_membership || reading.contains(&TAILS, &(space, log))? {
                    None
                } else {
                    measure(&reading, log, now)?
                };
                found.push((place, tail));
            }
            Ok(found)
        };
        let Ok(found) = tokio::task::spawn_blocking(read).await else { return Ok(()) };
        let found = found?;
        let mut batch = store.batch();
        for ((space, _, log), tail) in &found {
            if let Some(tail) = tail {
                batch.put(&TAILS, &(*space, *log), tail);
            }
        }
        after = found.last().map(|(place, _)| *place);
        if found.len() < LOGS_AT_ONCE {
            batch.put_slice(&FACTS, done, &[]);
            store.commit(batch).await?;
            return Ok(());
        }
        store.commit(batch).await?;
    }
}

fn measure(store: &Store, log: LogId, now: cosmic_common::time::Timestamp) -> Result<Option<Tail>, Error> {
    let mut tail: Option<Tail> = None;
    for row in store.scan(&ENTRIES, &Span::prefix(&log), usize::MAX) {
        let ((_, seq), entry) = row?;
        let bytes = u64::try_from(entry.len()).unwrap_or(u64::MAX);
        tail.get_or_insert_with(|| Tail::new(seq, now)).grow(bytes, now);
    }
    Ok(tail)
}
