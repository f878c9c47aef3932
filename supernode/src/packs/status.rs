//! What an operator sees of packs: what is not packed yet, what is, and what of it is still kept as entries.

use cosmic_store::{Error, Span, Store};
use serde::Serialize;
use serde_json::{Value, json};

use super::Packs;
use crate::tables::{FREEING, TAILS, release};

/// Rows counted of a table: a status must not take seconds.
const COUNTED_MAX: usize = 100_000;

/// What is counted in the tables.
#[derive(Debug, Default, Serialize)]
struct Counted {
    /// Logs that have entries outside packs.
    logs: u64,
    /// These entries,
    entries: u64,
    /// and their bytes.
    bytes: u64,
    /// Runs that are packed, and whose entries are still here,
    runs_kept: u64,
    /// and those of them of which every shard was signed for, and whose delay runs.
    runs_settled: u64,
    /// Whether there is more than was counted.
    more: bool,
}

impl Packs {
    /// The counts, as one JSON object.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub async fn status(&self) -> Result<Value, super::Error> {
        let store = self.0.context.store.clone();
        let counting = tokio::task::spawn_blocking(move || count(&store));
        let counted = counting.await.map_err(|_gone| super::Error::Stopping)??;
        let (config, metrics) = (&self.0.config, &self.0.metrics);
        Ok(json!({
            "unpacked": { "logs": counted.logs, "entries": counted.entries, "bytes": counted.bytes },
            "to_free": { "runs": counted.runs_kept, "settled": counted.runs_settled },
            "more": counted.more,
            "made": metrics.made.get(),
            "made_bytes": metrics.bytes_made.get(),
            "failed": metrics.failed.get(),
            "noted": metrics.noted.get(),
            "refused": metrics.refused.get(),
            "freed": metrics.freed.get(),
            "freed_entries": metrics.entries_freed.get(),
            "thinned": metrics.thinned.get(),
            "dropped_bodies": metrics.bodies_dropped.get(),
            "dropped_bytes": metrics.body_bytes_dropped.get(),
            "rules": {
                "full_bytes": config.full_bytes,
                "idle_after_secs": config.idle_after_secs,
                "idle_bytes": config.idle_bytes,
                "age_secs": config.age_secs,
                "free_after_secs": config.free_after_secs,
            },
        }))
    }
}

fn count(store: &Store) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    for row in store.scan(&TAILS, &Span::all(), COUNTED_MAX) {
        let (_, tail) = row?;
        counted.logs += 1;
        counted.entries += tail.entries;
        counted.bytes += tail.bytes;
    }
    for row in store.scan(&FREEING, &Span::all(), COUNTED_MAX) {
        let (_, settled) = row?;
        counted.runs_kept += 1;
        counted.runs_settled += u64::from(release(settled).settled.is_some());
    }
    let most = COUNTED_MAX as u64;
    counted.more = counted.logs >= most || counted.runs_kept >= most;
    Ok(counted)
}
