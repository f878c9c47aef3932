use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

proptest! {
    /// Whatever the order of takings, never more is given than the burst and what has come since.
    #[test]
    fn never_more_is_given_than_came(
        per_second in 1_u64..10_000,
        burst_ms in 0_u64..20_000,
        takings in prop::collection::vec((0_u64..500, 1_u64..2_000), 1..200),
    ) {
        let rate = Rate::new(per_second, Duration::from_millis(burst_ms));
        let mut bucket = Bucket::full(rate, at(0));
        let (mut now, mut given) = (0, 0_u64);
        for (pause, units) in takings {
            now += pause;
            if bucket.take(rate, units, at(now)) {
                given += units;
            }
            let burst = (per_second * burst_ms / 1000).max(1);
            prop_assert!(given * 1000 <= burst * 1000 + now * per_second);
        }
    }

    /// Looking often loses nothing: after an hour of looks every few milliseconds an empty bucket has filled as by one look.
    #[test]
    fn looking_often_loses_nothing(per_second in 1_u64..50, step in 1_u64..40) {
        let rate = Rate::new(per_second, Duration::from_secs(100));
        let (mut often, mut once) = (Bucket::full(rate, at(0)), Bucket::full(rate, at(0)));
        for bucket in [&mut often, &mut once] {
            prop_assert!(bucket.take(rate, per_second * 100, at(0)));
        }
        let steps = 20_000 / step;
        for count in 1..=steps {
            prop_assert!(!often.is_full(rate, at(count * step)));
        }
        prop_assert!(!once.is_full(rate, at(steps * step)));
        prop_assert_eq!(often, once);
    }

    /// After waiting as long as was said, nothing is owed; a millisecond before, something is.
    #[test]
    fn a_debt_is_paid_when_it_was_said(per_second in 1_u64..100_000, used in 1_u64..500_000) {
        let rate = Rate::new(per_second, Duration::from_secs(1));
        let mut bucket = Bucket::full(rate, at(0));
        let wait = u64::try_from(bucket.owe(rate, used, at(0)).as_millis()).unwrap();
        prop_assert_eq!(wait == 0, used <= per_second);
        if wait > 0 {
            let mut before = bucket;
            prop_assert!(before.owe(rate, 0, at(wait - 1)) > Duration::ZERO);
        }
        prop_assert_eq!(bucket.owe(rate, 0, at(wait)), Duration::ZERO);
        prop_assert!(wait <= 1000, "no more than a bucket is owed");
    }
}

#[test]
fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
    let rate = Rate::new(10, Duration::from_secs(1));
    let mut bucket = Bucket::full(rate, at(1000));
    assert!(bucket.take(rate, 10, at(1000)));
    assert!(!bucket.take(rate, 1, at(1000)));
    assert!(!bucket.take(rate, 1, at(0)));
    assert!(!bucket.take(rate, 1, at(1099)));
    assert!(bucket.take(rate, 1, at(1100)));
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let rate = Rate::new(u64::MAX, Duration::MAX);
    let mut bucket = Bucket::full(rate, at(0));
    assert_eq!(bucket.owe(rate, 1, at(u64::MAX)), Duration::ZERO);
    assert!(bucket.owe(rate, u64::MAX, at(u64::MAX)) <= Duration::from_secs(10));
}
