//! Order, panics, errors and deadlines of shutdown, on a manual clock.

use std::io;

use cosmic_common::time::Timestamp;
use rustix::process::{Signal, getpid, kill_process};

use super::*;
use crate::clock::Hand;

const PATIENCE: Duration = Duration::from_secs(10);

fn tasks() -> (Tasks, Hand) {
    let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(0));
    (Tasks::new(clock), hand)
}

#[tokio::test]
async fn the_last_started_stops_first() {
    let (tasks, _hand) = tasks();
    let stopped = Arc::new(Mutex::new(Vec::new()));
    for name in ["store", "net", "gateway"] {
        let stopped = Arc::clone(&stopped);
        tasks.spawn(name, |shutdown| async move {
            shutdown.triggered().await;
            lock(&stopped).push(name);
        });
    }
    tasks.stop(PATIENCE).await.unwrap();
    assert_eq!(*lock(&stopped), ["gateway", "net", "store"]);
}

#[tokio::test]
async fn a_panic_ends_the_process_in_order() {
    let (tasks, _hand) = tasks();
    tasks.spawn("store", |shutdown| async move { shutdown.triggered().await });
    tasks.spawn("sync", |_shutdown| async { panic!("the heads went backwards") });
    tasks.ending().await;
    let error = tasks.stop(PATIENCE).await.unwrap_err();
    assert_eq!(error.to_string(), "the task sync panicked: the heads went backwards");
}

#[tokio::test]
async fn an_error_ends_the_process_and_is_kept() {
    let (tasks, _hand) = tasks();
    tasks.spawn_fallible("admin", |_shutdown| async { Err(io::Error::other("no more sockets")) });
    tasks.ending().await;
    let error = tasks.stop(PATIENCE).await.unwrap_err();
    assert_eq!(crate::exit::sentence(&error), "the task admin failed: no more sockets");
}

#[tokio::test]
async fn who_does_not_listen_is_dropped_at_the_deadline() {
    let (tasks, hand) = tasks();
    tasks.spawn("store", |shutdown| async move { shutdown.triggered().await });
    tasks.spawn("deaf", |_shutdown| std::future::pending());
    let moving = async {
        while hand.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        hand.advance(PATIENCE);
    };
    let (ended, ()) = tokio::join!(tasks.stop(PATIENCE), moving);
    let Err(Error::TasksLeft { names }) = ended else { panic!("{ended:?}") };
    assert!(names.starts_with("deaf"), "{names}");
}

#[tokio::test]
async fn a_group_is_bounded_and_survives_its_members() {
    let (tasks, _hand) = tasks();
    let group = tasks.group("streams", 2);
    group.spawn(|shutdown| async move { shutdown.triggered().await }).unwrap();
    group.spawn(|_shutdown| async { panic!("one peer's trouble") }).unwrap();
    assert_eq!(group.spawn(|_shutdown| async {}), Err(Busy));
    while group.len() > 1 {
        tokio::task::yield_now().await;
    }
    group.spawn(|shutdown| async move { shutdown.triggered().await }).unwrap();
    tasks.stop(PATIENCE).await.unwrap();
    assert!(group.is_empty());
    assert_eq!(group.spawn(|_shutdown| async {}), Err(Busy));
}

#[tokio::test]
async fn ended_tasks_are_forgotten() {
    let (tasks, _hand) = tasks();
    for _round in 0..100 {
        tasks.spawn("short", |_shutdown| async {});
        tokio::task::yield_now().await;
    }
    assert!(lock(&tasks.0.stages).len() < 10);
    tasks.stop(PATIENCE).await.unwrap();
}

/// One test for both, because a signal reaches the whole process and so every test in it.
#[tokio::test]
async fn a_signal_asks_for_the_end_and_a_second_one_cuts_the_patience_short() {
    let (gentle, _hand) = tasks();
    gentle.spawn("store", |shutdown| async move { shutdown.triggered().await });
    let ask = async { kill_process(getpid(), Signal::TERM).unwrap() };
    let (ended, ()) = tokio::join!(biased; gentle.run(PATIENCE), ask);
    ended.unwrap();

    let (deaf, _hand) = tasks();
    deaf.spawn("deaf", |_shutdown| std::future::pending());
    let ask_twice = async {
        kill_process(getpid(), Signal::INT).unwrap();
        deaf.ending().await;
        kill_process(getpid(), Signal::INT).unwrap();
    };
    let (ended, ()) = tokio::join!(biased; deaf.run(PATIENCE), ask_twice);
    assert!(matches!(ended, Err(Error::TasksLeft { names }) if names == "deaf"));
}
