//! Chunks that rest: one that did not get through is tried again later, and each time later, so that it neither keeps the uplink
//! busy nor holds up the chunks behind it.

use std::{collections::HashMap, time::Duration};

use cosmic_common::id::ObjectId;
use cosmic_runtime::clock::Monotonic;

/// The pause after the first failure of a chunk.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest: a holder that comes back is noticed this much later at most.
const PAUSE_MAX: Duration = Duration::from_secs(32);

/// What rests, and until when.
#[derive(Debug, Default)]
pub(super) struct Resting(HashMap<ObjectId, Rest>);

#[derive(Debug)]
struct Rest {
    pause: Duration,
    until: Monotonic,
}

impl Resting {
    /// `object` failed just now: it rests for twice as long as the last time.
    pub(super) fn failed(&mut self, object: ObjectId, now: Monotonic) {
        let pause = self.0.get(&object).map_or(PAUSE, |rest| (rest.pause * 2).min(PAUSE_MAX));
        self.0.insert(object, Rest { pause, until: now.after(pause) });
    }

    /// `object` got through.
    pub(super) fn done(&mut self, object: &ObjectId) {
        self.0.remove(object);
    }

    /// Whether `object` is not to be tried yet.
    pub(super) fn is_resting(&self, object: &ObjectId, now: Monotonic) -> bool {
        self.0.get(object).is_some_and(|rest| rest.until > now)
    }

    /// When the first of those that still rest has rested enough.
    pub(super) fn next(&self, now: Monotonic) -> Option<Monotonic> {
        self.0.values().map(|rest| rest.until).filter(|until| *until > now).min()
    }

    /// What was in the way may be gone: everything is tried at once.
    pub(super) fn wake_all(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use cosmic_common::time::Timestamp;
    use cosmic_runtime::clock::Clock;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew_after_success() {
        let (clock, hand) = Clock::manual(Timestamp::default());
        let (object, other) = (ObjectId::from_bytes([1; 32]), ObjectId::from_bytes([2; 32]));
        let mut resting = Resting::default();
        let mut pause = PAUSE;
        for _failure in 0..10 {
            resting.failed(object, clock.monotonic());
            assert_eq!(resting.next(clock.monotonic()), Some(clock.monotonic().after(pause)));
            assert!(!resting.is_resting(&other, clock.monotonic()));
            hand.advance(pause - Duration::from_millis(1));
            assert!(resting.is_resting(&object, clock.monotonic()));
            hand.advance(Duration::from_millis(1));
            assert!(!resting.is_resting(&object, clock.monotonic()));
            assert_eq!(resting.next(clock.monotonic()), None);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        resting.done(&object);
        resting.failed(object, clock.monotonic());
        assert_eq!(resting.next(clock.monotonic()), Some(clock.monotonic().after(PAUSE)));
        resting.wake_all();
        assert!(!resting.is_resting(&object, clock.monotonic()));
    }
}
