//! Whether the store answers. After it did not, nobody waits for it again for a moment.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::time::Timestamp;
use cosmic_runtime::clock::{Clock, Monotonic};
use prometheus_client::metrics::gauge::Gauge;

use super::Error;

/// How long a store that did not answer is left alone: a read that waits for it would rather go elsewhere.
const PAUSE: Duration = Duration::from_secs(3);

/// Since when it does not answer, and what it said last.
#[derive(Debug, Clone)]
pub(super) struct Away {
    pub(super) since: Timestamp,
    pub(super) why: String,
    again: Monotonic,
}

/// The memory of the last answers.
#[derive(Debug)]
pub(super) struct Reach {
    clock: Clock,
    away: Mutex<Option<Away>>,
    gauge: Gauge,
}

impl Reach {
    /// `gauge` is 1 while the store does not answer.
    pub(super) fn new(clock: Clock, gauge: Gauge) -> Self {
        Self { clock, away: Mutex::default(), gauge }
    }

    /// Whether it is worth asking now.
    pub(super) fn may_ask(&self) -> Result<(), Error> {
        match &*self.lock() {
            Some(away) if self.clock.monotonic() < away.again => Err(Error::Away),
            Some(_) | None => Ok(()),
        }
    }

    /// It answered.
    pub(super) fn answered(&self) {
        if self.lock().take().is_some() {
            self.gauge.set(0);
            tracing::info!("the cold store answers again");
        }
    }

    /// It did not, or said that it cannot.
    pub(super) fn failed(&self, why: String) -> Error {
        let again = self.clock.monotonic().after(PAUSE);
        let mut away = self.lock();
        let known = away.take().map(|away| away.since);
        if known.is_none() {
            self.gauge.set(1);
            tracing::warn!(
                why,
                "the cold store does not answer; what lies there cannot be read until it does"
            );
        }
        *away = Some(Away { since: known.unwrap_or_else(|| self.clock.now()), why, again });
        Error::Away
    }

    /// What is known if it does not answer.
    pub(super) fn away(&self) -> Option<Away> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_failed_is_left_alone_for_a_moment() {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(1_750_000_000_000));
        let gauge = Gauge::default();
        let reach = Reach::new(clock.clone(), gauge.clone());
        let began = clock.now();
        assert!(reach.may_ask().is_ok());
        assert!(matches!(reach.failed("refused".to_owned()), Error::Away));
        assert!(reach.may_ask().is_err() && gauge.get() == 1);
        hand.advance(PAUSE);
        assert!(reach.may_ask().is_ok(), "somebody may try");
        reach.failed("refused again".to_owned());
        let away = reach.away().unwrap();
        assert_eq!((away.since, away.why.as_str()), (began, "refused again"));
        hand.advance(PAUSE);
        reach.answered();
        assert!(reach.away().is_none() && gauge.get() == 0);
    }
}
