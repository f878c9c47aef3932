//! Checks cold shards again, all of them within a set time: one that the store lost or changed is made again from others.

use std::time::Duration;

use cosmic_runtime::exit::sentence;
use cosmic_store::Span;

use super::{Check, Cold, Error, Mode, Name, Shard, Verify, config::time_for};
use crate::tables::{KEPT, KeptRow};

/// Rows looked at in one go.
const ROWS_PER_STEP: usize = 64;
/// The pause after each of them.
const STEP_PAUSE: Duration = Duration::from_millis(20);
/// How long after a failure is tried again, and how often is looked whether a check is due.
const RETRY_EVERY: Duration = Duration::from_secs(60);

impl Cold {
    /// Checks until it is dropped.
    pub(super) async fn check(self) {
        let clock = &self.0.context.clock;
        loop {
            let wait = match self.check_step().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::debug!(reason = sentence(&error), "the check of cold shards waits");
                    RETRY_EVERY
                }
            };
            tokio::select! {
                () = self.0.told.notified() => {}
                () = clock.sleep(wait) => {}
            }
        }
    }

    /// Checks the next few; how long to rest then.
    async fn check_step(&self) -> Result<Duration, Error> {
        let memory = self.memory();
        let now = self.0.context.clock.now();
        let check = match memory.check {
            _ if memory.mode == Mode::Pause || self.0.metrics.shards.get() == 0 => return Ok(RETRY_EVERY),
            Some(check) if !check.done => check,
            Some(check) if now < check.began.after(self.0.config.check_every()) => return Ok(RETRY_EVERY),
            Some(_) | None => Check::begin(now),
        };
        let store = self.0.context.store.clone();
        let after = check.after.map(|object| (object, check.index));
        let reading = tokio::task::spawn_blocking(move || {
            let span = after.map_or_else(Span::all, |shard| Span::all().after(&shard));
            store.scan(&KEPT, &span, ROWS_PER_STEP).map_while(Result::ok).collect::<Vec<_>>()
        });
        let rows = reading.await.map_err(|_gone| Error::Stopping)?;
        for (shard, row) in &rows {
            self.check_one(*shard, row).await?;
        }
        let next = next(check, &rows);
        self.remember(|memory| memory.check = next_of(memory.check, check, next)).await?;
        Ok(STEP_PAUSE)
    }

    /// Checks one shard, if it is cold, and rests as long as that should have taken.
    async fn check_one(&self, (object, index): Shard, row: &KeptRow) -> Result<(), Error> {
        let Some(number) = row.cold else { return Ok(()) };
        let name = Name { object, index, number };
        let bytes = match self.verify(&name, row).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_damage() => {
                if self.is_damaged((object, index), number)? {
                    // One after the other: a lost store must not fill up the list of suspects.
                    self.0.context.suspects.emptied().await;
                }
                0
            }
            Err(error) => return Err(error),
        };
        self.0.metrics.shards_checked.inc();
        self.0.context.clock.sleep(time_for(bytes, self.0.config.check_bytes_per_second_max)).await;
        Ok(())
    }

    /// Holds what lies there against its row, as the settings say; how many bytes were read.
    async fn verify(&self, name: &Name, row: &KeptRow) -> Result<u64, Error> {
        if self.0.config.verify == Verify::Hash {
            let bytes = self.fetch((name.object, name.index), name.number, row).await?;
            return Ok(bytes.len() as u64);
        }
        let (place, folder) = self.whereabouts()?;
        match place.length(&folder, name).await? {
            Some(length) if length == row.length => Ok(0),
            Some(_other) => Err(Error::Wrong),
            None => Err(self.missing(place, &folder).await?),
        }
    }
}

/// Where the check is behind `rows`.
fn next(check: Check, rows: &[(Shard, KeptRow)]) -> Check {
    match rows.last() {
        Some(((object, index), _row)) => Check { after: Some(*object), index: *index, ..check },
        None => Check { done: true, after: None, index: 0, ..check },
    }
}

/// What to remember when the step that began at `check` led to `next`: one that was begun anew meanwhile stays at its
/// beginning.
fn next_of(known: Option<Check>, check: Check, next: Check) -> Option<Check> {
    let is_first = check == Check::begin(check.began);
    if known == Some(check) || (is_first && known.is_none_or(|known| known.done)) {
        Some(next)
    } else {
        known
    }
}

#[cfg(test)]
mod tests {
    use cosmic_common::{id::ObjectId, time::Timestamp};

    use super::*;

    #[test]
    fn a_check_that_was_begun_anew_meanwhile_stays_at_its_beginning() {
        let began = Timestamp::from_unix_ms(1_750_000_000_000);
        let first = Check::begin(began);
        let later = Check { after: Some(ObjectId::from_bytes([1; 32])), index: 2, ..first };
        let over = Check { done: true, ..first };
        assert_eq!(next_of(None, first, later), Some(later), "the first of all");
        assert_eq!(next_of(Some(over), first, later), Some(later), "the next one");
        assert_eq!(next_of(Some(later), later, over), Some(over));
        assert_eq!(next_of(None, later, over), None, "forgotten meanwhile");
    }
}
