//! The manual clock moves only by hand; the system clock moves by itself.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_sleeper_wakes_exactly_at_its_time() {
    let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(1_000));
    let start = clock.monotonic();
    let mut sleep = Box::pin(clock.sleep(SECOND * 2));
    tokio::select! {
        biased;
        () = &mut sleep => panic!("nobody moved the clock"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(hand.sleepers(), 1);
    hand.advance(SECOND);
    hand.set_wall(Timestamp::from_unix_ms(0));
    tokio::select! {
        biased;
        () = &mut sleep => panic!("one second is too early, and wall time does not count"),
        () = std::future::ready(()) => {}
    }
    hand.advance(SECOND);
    sleep.await;
    assert_eq!(clock.monotonic().since(start), SECOND * 2);
    assert_eq!(clock.now().unix_ms(), 1_000);
}

#[tokio::test]
async fn patience_ends() {
    let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(0));
    assert_eq!(clock.timeout(SECOND, std::future::ready(7)).await, Some(7));
    let waiting = clock.timeout(SECOND, std::future::pending::<()>());
    let moving = async { hand.advance(SECOND) };
    assert_eq!(tokio::join!(waiting, moving).0, None);
}

#[tokio::test]
async fn the_system_clock_goes_on() {
    let clock = Clock::system();
    let before = clock.monotonic();
    clock.sleep(Duration::from_millis(1)).await;
    assert!(clock.monotonic().since(before) >= Duration::from_millis(1));
    assert!(clock.now().unix_ms() > 1_600_000_000_000);
    assert_eq!(before.since(clock.monotonic()), Duration::ZERO);
}
