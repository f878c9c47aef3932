//! The one place that looks at the sky: wall time, monotonic time, and waiting; by hand in tests.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cosmic_common::time::Timestamp;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// A reading of a clock that never goes back. Only readings of one [`Clock`] and its clones compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// This reading and `duration` more.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long after `earlier` this was, zero if it was before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Tells the time and waits. `main` makes one and hands clones down.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { origin: Instant },
    Manual(Arc<watch::Sender<Reading>>),
}

/// What a manual clock shows.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Timestamp,
    elapsed: Duration,
}

impl Clock {
    /// The clock of this machine.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock everyone else asks")]
    pub fn system() -> Self {
        Self(Source::System { origin: Instant::now() })
    }

    /// A clock that moves only when the returned hand moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> (Self, Hand) {
        let (sender, _receiver) = watch::channel(Reading { wall: start, elapsed: Duration::ZERO });
        let sender = Arc::new(sender);
        (Self(Source::Manual(Arc::clone(&sender))), Hand(sender))
    }

    /// Wall time, which may jump when the machine's clock is set.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock everyone else asks")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::default().after(since_epoch)
            }
            Source::Manual(sender) => sender.borrow().wall,
        }
    }

    /// Time that never goes back, for measuring and for deadlines.
    #[must_use]
    pub fn monotonic(&self) -> Monotonic {
        match &self.0 {
            Source::System { origin } => Monotonic(origin.elapsed()),
            Source::Manual(sender) => Monotonic(sender.borrow().elapsed),
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System { .. } => tokio::time::sleep(duration).await,
            Source::Manual(_) => self.sleep_until(self.monotonic().after(duration)).await,
        }
    }

    /// Waits until [`monotonic`](Self::monotonic) reads `deadline`.
    pub async fn sleep_until(&self, deadline: Monotonic) {
        match &self.0 {
            Source::System { .. } => tokio::time::sleep(deadline.since(self.monotonic())).await,
            Source::Manual(sender) => {
                let mut receiver = sender.subscribe();
                let reached = receiver.wait_for(|reading| reading.elapsed >= deadline.0).await;
                debug_assert!(reached.is_ok(), "the sender lives as long as this clock");
            }
        }
    }

    /// What `work` returns, or `None` if it takes longer than `patience`.
    pub async fn timeout<T>(&self, patience: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sleep(patience) => None,
        }
    }
}

/// Moves a manual clock.
#[derive(Debug)]
pub struct Hand(Arc<watch::Sender<Reading>>);

impl Hand {
    /// Moves wall and monotonic time on by `duration` and wakes whoever waited for it.
    pub fn advance(&self, duration: Duration) {
        self.0.send_modify(|reading| {
            reading.wall = reading.wall.after(duration);
            reading.elapsed = reading.elapsed.saturating_add(duration);
        });
    }

    /// Sets wall time alone, forward or back, as an administrator might.
    pub fn set_wall(&self, wall: Timestamp) {
        self.0.send_modify(|reading| reading.wall = wall);
    }

    /// How many are waiting on the clock.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.receiver_count()
    }
}
