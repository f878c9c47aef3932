//! Moves shards: what is old enough goes to the store, what is wanted comes back. A few at a time, and at a rate.
//!
//! No shard is ever only half moved. It goes when its bytes are there, were verified, and one batch says so and deletes
//! them here; it comes back when one batch has written them here and said so. A crash in between leaves an object in the
//! store that no row leads to, and the sweep deletes it.

use std::time::Duration;

use cosmic_common::{hash, time::Timestamp};
use cosmic_runtime::{clock::Monotonic, exit::sentence, random};
use cosmic_store::{Span, Store};
use futures::future::join_all;
use tokio::sync::mpsc;

use super::{Cold, Error, Mode, Name, Place, ROOM, Shard, Verify, config::time_for, lock};
use crate::{
    quota::totals,
    scrub::Thing,
    shards::Shards,
    tables::{DISCARDS, KEPT, KeptRow, SHARDS},
};

/// Shards on their way at once; each is in memory twice while it is verified.
const AT_ONCE: usize = 4;
/// Rows looked at in one go.
const ROWS_PER_STEP: usize = 256;
/// The pause after each of them: a walk over ten million rows takes a minute of disk time, and is in no hurry.
const STEP_PAUSE: Duration = Duration::from_millis(2);
/// How long after a failure is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(15);

/// Rows to be worked on, and where the next ones are.
struct Step {
    rows: Vec<(Shard, KeptRow)>,
    next: Option<Shard>,
}

impl Cold {
    /// Works until it is dropped.
    pub(super) async fn work(self, shards: Shards) {
        let Some(warmed) = lock(&self.0.warmed).take() else { return };
        match &self.0.place {
            Some(place) => self.work_in(place, &shards, warmed).await,
            None => self.complain().await,
        }
    }

    /// Without a store all there is to do is to say that one is missing.
    async fn complain(&self) {
        loop {
            let told = self.0.told.notified();
            let (shards, _bytes) = self.counted().await;
            if shards > 0 && self.memory().place.is_some() {
                tracing::error!(shards, "{}", Error::Unset);
                self.0.context.health.trouble(ROOM, Error::Unset.to_string());
            }
            told.await;
        }
    }

    async fn work_in(&self, place: &Place, shards: &Shards, mut warmed: mpsc::Receiver<Shard>) {
        let clock = &self.0.context.clock;
        let (mut due, mut sweep) = (clock.monotonic(), clock.monotonic());
        loop {
            let done = self.turn(place, shards, &mut due, &mut sweep).await;
            self.counted().await;
            let wake = match done {
                Ok(()) => due,
                Err(error) => {
                    tracing::debug!(reason = sentence(&error), "the cold tier waits");
                    clock.monotonic().after(RETRY_EVERY)
                }
            };
            tokio::select! {
                () = self.0.told.notified() => due = clock.monotonic(),
                () = self.0.discarded.notified() => {}
                Some(shard) = warmed.recv() => self.warm(shards, shard).await,
                () = clock.sleep_until(wake) => {}
            }
        }
    }

    /// Does all there is to do now.
    async fn turn(
        &self,
        place: &Place,
        shards: &Shards,
        due: &mut Monotonic,
        sweep: &mut Monotonic,
    ) -> Result<(), Error> {
        let clock = &self.0.context.clock;
        if self.memory().mode == Mode::Pause {
            *due = clock.monotonic().after(self.0.config.look_every());
            return Ok(());
        }
        self.settle(place).await?;
        self.discard(place).await?;
        if clock.monotonic() >= *sweep {
            self.sweep(place).await?;
            *sweep = clock.monotonic().after(super::sweep::SWEEP_EVERY);
        }
        if clock.monotonic() >= *due {
            match self.memory().mode {
                Mode::Move => self.freeze(place, shards).await?,
                Mode::Thaw => self.thaw_all(shards).await?,
                Mode::Pause => {}
            }
            *due = clock.monotonic().after(self.0.config.look_every());
        }
        Ok(())
    }

    /// Makes sure that the folder is the one that was written to.
    async fn settle(&self, place: &Place) -> Result<(), Error> {
        let known = self.memory().place;
        let is_here = match known {
            Some(number) => place.is_marked(&place.folder(number)).await?,
            None => false,
        };
        if !is_here && known.is_some() && self.counted().await.0 > 0 {
            self.set_elsewhere(true);
            return Err(Error::Elsewhere);
        }
        if !is_here {
            // With nothing in it any folder will do.
            let number = self.begin(place).await?;
            self.remember(|memory| memory.place = Some(number)).await?;
        }
        self.set_elsewhere(false);
        Ok(())
    }

    /// Shards that are cold and their bytes, by the counters.
    pub(super) async fn counted(&self) -> (u64, u64) {
        let store = self.0.context.store.clone();
        let counted = tokio::task::spawn_blocking(move || totals(&store)).await;
        let (shards, bytes) = match counted {
            Ok(Ok(totals)) => (totals.cold_shards, totals.cold_shard_bytes),
            // Nothing may be concluded from counters that cannot be read.
            Ok(Err(_)) | Err(_) => (u64::MAX, u64::MAX),
        };
        self.0.metrics.shards.set(i64::try_from(shards).unwrap_or(i64::MAX));
        self.0.metrics.kept.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        (shards, bytes)
    }

    /// Moves everything that is old enough.
    async fn freeze(&self, place: &Place, shards: &Shards) -> Result<(), Error> {
        let (now, after) = (self.0.context.clock.now(), self.0.config.after());
        let due = move |row: &KeptRow| is_due(row, now, after);
        self.walk(Mode::Move, due, |shard, row| self.freeze_one(place, shards, shard, row)).await
    }

    /// Brings everything back.
    async fn thaw_all(&self, shards: &Shards) -> Result<(), Error> {
        let cold = |row: &KeptRow| row.cold.is_some();
        self.walk(Mode::Thaw, cold, |shard, row| self.thaw_one(shards, shard, row)).await
    }

    /// Carries out `work` for every shard whose row is `wanted`, while it is told to; `work` tells how many bytes it moved.
    async fn walk<F>(
        &self,
        mode: Mode,
        wanted: impl Fn(&KeptRow) -> bool + Clone + Send + 'static,
        work: impl Fn(Shard, KeptRow) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<u64, Error>>,
    {
        let clock = &self.0.context.clock;
        let mut after = None;
        loop {
            let (store, wanted) = (self.0.context.store.clone(), wanted.clone());
            let step = tokio::task::spawn_blocking(move || step(&store, after, wanted)).await;
            let Step { rows, next } = step.map_err(|_gone| Error::Stopping)?;
            for some in rows.chunks(AT_ONCE) {
                if self.memory().mode != mode {
                    return Ok(());
                }
                let started = clock.monotonic();
                let done = join_all(some.iter().map(|(shard, row)| work(*shard, *row))).await;
                let mut moved = 0;
                for bytes in done {
                    moved += bytes?;
                }
                let wanted = time_for(moved, self.0.config.bytes_per_second_max);
                clock.sleep(wanted.saturating_sub(clock.monotonic().since(started))).await;
            }
            clock.sleep(STEP_PAUSE).await;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Moves one shard to the store; how many bytes that were.
    async fn freeze_one(
        &self,
        place: &Place,
        shards: &Shards,
        (object, index): Shard,
        row: KeptRow,
    ) -> Result<u64, Error> {
        let store = self.0.context.store.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = store.get(&SHARDS, &(object, index)).ok().flatten();
            bytes.filter(|bytes| hash::plain(bytes) == row.hash)
        });
        let Some(bytes) = reading.await.map_err(|_gone| Error::Stopping)? else {
            // What is damaged, or was freed a moment ago, is looked at by the scrub; it is not moved.
            self.0.context.suspects.report(Thing::Shard { object, index });
            return Ok(0);
        };
        let name = Name { object, index, number: u64::from_be_bytes(random::bytes()) };
        let moved = self.upload(place, shards, &name, &row, bytes).await;
        match moved {
            Ok(true) => {
                self.0.metrics.shards_moved.inc();
                self.0.metrics.moved.inc_by(row.length);
                Ok(row.length)
            }
            // It was freed or changed meanwhile, or did not arrive as it is.
            Ok(false) => self.discard_later(&name).await.map(|()| 0),
            Err(error) => {
                self.discard_later(&name).await?;
                Err(error)
            }
        }
    }

    /// Brings `bytes` to the store under `name`, looks whether they are there, and says so here; whether the shard was
    /// still as `row` says.
    async fn upload(
        &self,
        place: &Place,
        shards: &Shards,
        name: &Name,
        row: &KeptRow,
        bytes: bytes::Bytes,
    ) -> Result<bool, Error> {
        let number = self.memory().place.ok_or(Error::Missing)?;
        let folder = place.folder(number);
        place.put(&folder, name, bytes).await?;
        let shard = (name.object, name.index);
        match self.0.config.verify {
            Verify::Hash => drop(self.fetch(shard, name.number, row).await?),
            Verify::Size if place.length(&folder, name).await? == Some(row.length) => {}
            Verify::Size => return Err(Error::Wrong),
        }
        if self.memory().place != Some(number) {
            return Ok(false);
        }
        let cooled = shards.keeper().cool(shard, row, name.number).await;
        cooled.map_err(|error| Error::Shard(Box::new(error)))
    }

    /// Brings one shard back; how many bytes that were.
    async fn thaw_one(&self, shards: &Shards, shard: Shard, row: KeptRow) -> Result<u64, Error> {
        let Some(number) = row.cold else { return Ok(0) };
        let bytes = match self.fetch(shard, number, &row).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_damage() => {
                self.is_damaged(shard, number)?;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let returned = shards.keeper().warm(shard, number, &bytes).await;
        if returned.map_err(|error| Error::Shard(Box::new(error)))? {
            self.0.metrics.shards_returned.inc();
        }
        Ok(row.length)
    }

    /// Brings back a shard that is read often.
    async fn warm(&self, shards: &Shards, shard: Shard) {
        if self.memory().mode == Mode::Pause {
            return;
        }
        let row = self.0.context.store.get(&KEPT, &shard);
        let thawed = match row {
            Ok(Some(row)) => self.thaw_one(shards, shard, row).await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = thawed {
            tracing::debug!(reason = sentence(&error), "a shard that is read often stays in the cold store");
        }
    }

    /// Notes that what may lie under `name` is of no use.
    async fn discard_later(&self, name: &Name) -> Result<(), Error> {
        let store = &self.0.context.store;
        let mut batch = store.batch();
        batch.put(&DISCARDS, &(name.object, name.index, name.number), &());
        store.commit(batch).await?;
        self.discarded();
        Ok(())
    }
}

/// Whether a shard belongs into the store: one of its own that is here and old. What is kept for others goes home soon.
fn is_due(row: &KeptRow, now: Timestamp, after: Duration) -> bool {
    let here_since = row.since.max(row.back.unwrap_or_default());
    row.owner.is_none() && row.cold.is_none() && now.since(here_since) >= after
}

/// The rows behind `after` that are `wanted`. Blocks.
fn step(store: &Store, after: Option<Shard>, wanted: impl Fn(&KeptRow) -> bool) -> Step {
    let span = after.map_or_else(Span::all, |shard| Span::all().after(&shard));
    let mut found = Step { rows: Vec::new(), next: None };
    let (mut last, mut seen) = (after, 0);
    for item in store.scan(&KEPT, &span, ROWS_PER_STEP) {
        let Ok((shard, row)) = item else {
            // The scrub tells of rows that cannot be read.
            return Step { next: store.behind_damage(&KEPT, last.as_ref()), ..found };
        };
        if wanted(&row) {
            found.rows.push((shard, row));
        }
        (last, seen) = (Some(shard), seen + 1);
    }
    found.next = last.filter(|_| seen == ROWS_PER_STEP);
    found
}

#[cfg(test)]
mod tests {
    use cosmic_common::id::{Hash, PeerId, SpaceId};

    use super::*;

    #[test]
    fn what_is_old_and_its_own_is_due() {
        let now = Timestamp::from_unix_ms(1_750_000_000_000);
        let hour = Duration::from_secs(3600);
        let row = KeptRow {
            space: SpaceId::from_bytes([1; 32]),
            owner: None,
            hash: Hash::from_bytes([2; 32]),
            length: 3,
            since: now,
            cold: None,
            back: None,
        };
        assert!(is_due(&row, now.after(hour), hour) && !is_due(&row, now.after(hour / 2), hour));
        assert!(is_due(&row, now, Duration::ZERO));
        let handed_off = KeptRow { owner: Some(PeerId::from_bytes([3; 32])), ..row };
        let cold = KeptRow { cold: Some(7), ..row };
        let back = KeptRow { back: Some(now.after(hour * 9)), ..row };
        assert!([handed_off, cold, back].iter().all(|row| !is_due(row, now.after(hour * 9), hour)));
    }
}
