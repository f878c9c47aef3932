//! Scrub: everything kept here is read again within a set time, and what is wrong, missing or unreadable is healed.
//!
//! ```text
//!              ┌── a round begins ──▶ shards ──▶ entries ──▶ rests until the next one is due
//! sample ──▶ walk ── damage ──▶ heal: a shard from k others, an entry from another replica ──▶ open, if nobody has it
//! a read that failed (Suspects) ───┘
//! ```
//! How far a round came is written down every few seconds; a restart goes on from there.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::record::Record as _;
use cosmic_runtime::{clock::Monotonic, config::Mistakes, exit::sentence, shutdown::Shutdown};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    context::Context,
    objects::Objects,
    replica::client::Replicas,
    tables::{FACTS, Fact},
};

mod check;
mod heal;
mod metrics;
mod progress;
mod status;
mod suspects;
mod walk;

pub use metrics::Metrics;
pub use progress::{Damage, Fault, LogAt, Place, Progress, RowsOf, Thing};
pub use status::{Open, Status};
pub use suspects::Suspects;

/// How often the progress is written down while nothing else happens.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// How often what nobody could heal is tried again: a holder that restarts is back by then.
const RETRY_EVERY: Duration = Duration::from_secs(60);
/// The pause after each step at least, so that a slow disk has air.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// A year; a longer time is a mistake.
const PERIOD_MAX_HOURS: u32 = 24 * 366;

/// The settings of the scrub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Within how many hours everything is read again: a round begins this long after the one before began.
    pub period_hours: u32,
    /// Bytes read in a second at most.
    pub bytes_per_second_max: u64,
    /// The part of the time in which the disk may read for the scrub.
    pub disk_time_percent: u8,
    /// The part of what is kept that is read at random when the supernode starts.
    pub start_sample_percent: u8,
}

impl Default for Config {
    fn default() -> Self {
        // 30 days and a twentieth of the disk's time: 16 MiB/s read 41 TB in that time.
        Self {
            period_hours: 720,
            bytes_per_second_max: 16 * 1024 * 1024,
            disk_time_percent: 5,
            start_sample_percent: 1,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if !(1..=PERIOD_MAX_HOURS).contains(&self.period_hours) {
            mistakes.refuse("period_hours", format!("must lie between 1 and {PERIOD_MAX_HOURS}"));
        }
        if self.bytes_per_second_max == 0 {
            mistakes.refuse("bytes_per_second_max", "must be at least 1; `scrub pause` stops the scrub");
        }
        if !(1..=100).contains(&self.disk_time_percent) {
            mistakes.refuse("disk_time_percent", "must lie between 1 and 100");
        }
        if self.start_sample_percent > 100 {
            mistakes.refuse("start_sample_percent", "must be at most 100");
        }
    }

    fn period(&self) -> Duration {
        Duration::from_secs(u64::from(self.period_hours) * 3600)
    }

    /// How long to rest after `bytes` were read in `taken`.
    pub(crate) fn pause(&self, bytes: u64, taken: Duration) -> Duration {
        let per_second = self.bytes_per_second_max.max(1);
        let by_rate = Duration::from_micros(bytes.saturating_mul(1_000_000) / per_second);
        let percent = u32::from(self.disk_time_percent.clamp(1, 100));
        let by_share = taken.saturating_mul(100 - percent) / percent;
        by_rate.max(by_share).max(PAUSE_MIN)
    }
}

/// The way to the scrub of this supernode. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scrub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<Context>,
    objects: Objects,
    replicas: Replicas,
    config: Config,
    metrics: Metrics,
    progress: Mutex<Progress>,
    told: Notify,
}

/// What the scrub does next.
enum Next {
    Step(Place),
    Rest(Duration),
}

impl Scrub {
    /// Starts the scrub where it was left.
    ///
    /// # Errors
    /// If the progress cannot be read. One that makes no sense is begun anew.
    pub fn start(
        context: &Arc<Context>,
        objects: Objects,
        replicas: Replicas,
        config: Config,
        metrics: Metrics,
    ) -> Result<Self, cosmic_store::Error> {
        let known = context.store.get(&FACTS, &(Fact::Scrub as u8))?;
        let known = known.and_then(|bytes| Progress::from_bytes(&bytes).ok());
        let progress = known.unwrap_or_else(|| Progress::begin(context.clock.now()));
        metrics.open(progress.open.len());
        let context = Arc::clone(context);
        let tasks = context.tasks.clone();
        let inner = Inner {
            context,
            objects,
            replicas,
            config,
            metrics,
            progress: Mutex::new(progress),
            told: Notify::new(),
        };
        let scrub = Self(Arc::new(inner));
        let working = scrub.clone();
        tasks.spawn("scrub", |shutdown| working.run(shutdown));
        Ok(scrub)
    }

    /// Begins a round now, from the beginning.
    pub async fn begin(&self) {
        let now = self.0.context.clock.now();
        {
            let mut progress = self.progress();
            let (open, paused) = (std::mem::take(&mut progress.open), false);
            *progress = Progress { open, paused, ..progress.next(now) };
        }
        self.tell().await;
    }

    /// Stops reading until [`resume`](Self::resume), over restarts too. What reads find is still healed.
    pub async fn pause(&self) {
        self.progress().paused = true;
        self.tell().await;
    }

    /// Goes on where it was paused.
    pub async fn resume(&self) {
        self.progress().paused = false;
        self.tell().await;
    }

    async fn tell(&self) {
        self.checkpoint().await;
        self.0.told.notify_one();
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self, shutdown: Shutdown) {
        let work = async {
            self.sample().await;
            self.walk().await;
        };
        shutdown.unless(work).await;
        self.checkpoint().await;
    }

    async fn walk(&self) {
        let clock = &self.0.context.clock;
        let now = clock.monotonic();
        let (mut saved, mut tried, mut rested) = (now, now, now);
        loop {
            if clock.monotonic() >= rested {
                let rest = match self.next() {
                    Next::Step(place) => self.step(place).await,
                    Next::Rest(rest) => rest.min(RETRY_EVERY),
                };
                rested = clock.monotonic().after(rest);
            }
            if self.is_due(&mut tried, RETRY_EVERY) {
                self.retry().await;
            }
            if self.is_due(&mut saved, CHECKPOINT_EVERY) {
                self.checkpoint().await;
            }
            tokio::select! {
                thing = self.0.context.suspects.next() => self.suspect(thing).await,
                () = self.0.told.notified() => rested = clock.monotonic(),
                () = clock.sleep_until(rested) => {}
            }
        }
    }

    fn is_due(&self, last: &mut Monotonic, every: Duration) -> bool {
        let now = self.0.context.clock.monotonic();
        let due = now.since(*last) >= every;
        if due {
            *last = now;
        }
        due
    }

    fn next(&self) -> Next {
        let now = self.0.context.clock.now();
        let mut progress = self.progress();
        if progress.paused {
            return Next::Rest(RETRY_EVERY);
        }
        if progress.place == Place::Done {
            let due = progress.began.after(self.0.config.period());
            if now < due {
                return Next::Rest(due.since(now));
            }
            *progress = Progress { open: std::mem::take(&mut progress.open), ..progress.next(now) };
        }
        Next::Step(progress.place)
    }

    /// Reads the next piece and heals what is wrong with it; how long to rest then.
    async fn step(&self, place: Place) -> Duration {
        let clock = &self.0.context.clock;
        let (started, store) = (clock.monotonic(), self.0.context.store.clone());
        let walked = tokio::task::spawn_blocking(move || walk::step(&store, place)).await;
        let Ok(walked) = walked else { return RETRY_EVERY };
        let rest = self.0.config.pause(walked.bytes, clock.monotonic().since(started));
        self.0.metrics.read(&walked);
        for (thing, fault) in walked.faults {
            self.found(thing, fault).await;
        }
        // Not before what was found is healed or listed: a round that is over has seen to everything.
        let done = {
            let mut progress = self.progress();
            // A round that was begun anew meanwhile goes on from its own beginning, and one that was paused from what was
            // written down then.
            if progress.place == place && !progress.paused {
                progress.place = walked.next;
                progress.shards += walked.shards;
                progress.entries += walked.entries;
                progress.bytes += walked.bytes;
            }
            progress.place == Place::Done
        };
        if done {
            self.finished().await;
        }
        rest
    }

    async fn finished(&self) {
        self.0.metrics.rounds_finished.inc();
        let Progress { shards, entries, bytes, found, healed, .. } = *self.progress();
        tracing::info!(shards, entries, bytes, found, healed, "everything kept here was read again");
        self.checkpoint().await;
    }

    /// Reads a few things at random: a disk that went bad while the supernode was down shows at once.
    async fn sample(&self) {
        let (store, percent) = (self.0.context.store.clone(), self.0.config.start_sample_percent);
        let Ok(count) = tokio::task::spawn_blocking(move || walk::sample_size(&store, percent)).await else {
            return;
        };
        for _ in 0..count {
            let clock = &self.0.context.clock;
            let (started, store) = (clock.monotonic(), self.0.context.store.clone());
            let Ok(walked) = tokio::task::spawn_blocking(move || walk::sample(&store)).await else { return };
            self.0.metrics.read(&walked);
            for (thing, fault) in walked.faults {
                self.found(thing, fault).await;
            }
            clock.sleep(self.0.config.pause(walked.bytes, clock.monotonic().since(started))).await;
        }
    }

    /// Looks at what a read could not use.
    async fn suspect(&self, thing: Thing) {
        match self.check(thing).await {
            Ok(Some(fault)) => self.found(thing, fault).await,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(thing = %thing, why = sentence(&error), "it cannot be looked at now")
            }
        }
    }

    async fn found(&self, thing: Thing, fault: Fault) {
        if self.progress().open.iter().any(|damage| damage.thing == thing) {
            return;
        }
        self.0.metrics.found(fault);
        self.progress().found += 1;
        tracing::warn!(thing = %thing, fault = fault.name(), "something kept here is damaged");
        let why = match self.heal(&thing).await {
            Ok(()) => return self.healed(&thing),
            Err(error) => sentence(&error),
        };
        tracing::warn!(thing = %thing, why, "it could not be healed; it is tried again");
        let since = self.0.context.clock.now();
        let open = {
            let mut progress = self.progress();
            progress.remember(Damage { thing, fault, since });
            progress.open.len()
        };
        self.0.metrics.open(open);
        self.checkpoint().await;
    }

    fn healed(&self, thing: &Thing) {
        self.0.metrics.healed.inc();
        self.progress().healed += 1;
        tracing::info!(thing = %thing, "it was healed");
    }

    /// Tries to heal what could not be healed before.
    async fn retry(&self) {
        let open = self.progress().open.clone();
        let before = open.len();
        for Damage { thing, .. } in open {
            match self.heal(&thing).await {
                Ok(()) => {
                    self.healed(&thing);
                    self.progress().open.retain(|damage| damage.thing != thing);
                }
                Err(error) => tracing::debug!(thing = %thing, why = sentence(&error), "it is still damaged"),
            }
        }
        let left = self.progress().open.len();
        self.0.metrics.open(left);
        if left != before {
            self.checkpoint().await;
        }
    }

    async fn checkpoint(&self) {
        let progress = self.progress().to_bytes();
        let store = &self.0.context.store;
        let mut batch = store.batch();
        batch.put_slice(&FACTS, &(Fact::Scrub as u8), &progress);
        if let Err(error) = store.commit(batch).await {
            tracing::debug!(reason = sentence(&error), "the progress of the scrub was not written down");
        }
    }
}
