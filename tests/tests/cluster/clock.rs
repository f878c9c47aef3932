//! Clocks that are moved by five minutes while work goes on, at a supernode and at a device: nothing is refused, nothing is
//! lost, and what was written later wins.
//!
//! `libfaketime` moves the clock of a process. Where it is not installed (package `faketime`) the test says so and shows nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cosmic_loadtest::{
    api::App,
    network::{self, Network},
    process::Process,
};
use cosmic_runtime::clock::Clock as System;
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, WATCHFUL, wait},
    notes::{self, PATIENCE},
    shelf::Shelf,
};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;
/// Ahead, behind, and right again.
const MOVES: [&str; 3] = ["+300", "-300", "+0"];
/// Where Debian, Fedora and Arch put it.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// A clock that processes look at instead of the system's, as long as the file says another time.
struct Clock {
    library: &'static str,
    file: PathBuf,
}

impl Clock {
    /// None where the library is not installed.
    fn new(file: &Path) -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|library| Path::new(library).exists());
        if library.is_none() {
            println!("skipped: libfaketime is not installed");
        }
        let clock = Self { library: library?, file: file.to_owned() };
        clock.turn("+0");
        Some(clock)
    }

    /// Moves it, by seconds against the system's.
    fn turn(&self, offset: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, offset).unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    fn environment(&self) -> Vec<(String, String)> {
        let file = self.file.to_string_lossy();
        [
            ("LD_PRELOAD", self.library),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            // What passes is measured by another clock, which nobody moves.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// By how many milliseconds the clock of a process that has just started is ahead of ours.
fn ahead_ms(process: &Process) -> i64 {
    let run = fs::read_to_string(process.directory().join("run.json")).unwrap();
    let started = serde_json::from_str::<Value>(&run).unwrap()["started"].as_i64().unwrap();
    started - i64::try_from(System::system().now().unix_ms()).unwrap()
}

/// Both change one field in turn, each after it saw what the other wrote: the later change stands, whatever the clocks say.
async fn take_turns(apps: [&App; 2], space: &str, round: usize) {
    let path = notes::path(space, "turns");
    for turn in 0..4 {
        let value = json!({ "last": format!("{round}-{turn}") });
        apps[turn % 2].put(&path, &value).await.unwrap();
        let seen = |answer: &Value| answer.get("value") == Some(&value);
        apps[(turn + 1) % 2].wait_until(&path, "the later change", PATIENCE, seen).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_jump_by_five_minutes_lose_nothing() {
    let directory = Ground::new();
    let Some(clock) = Clock::new(&directory.path().join("clock")) else { return };
    look::settings(directory.path(), SUPERNODES, WATCHFUL);
    let mut network = Network::start(directory.path(), SUPERNODES, ZONES).await.unwrap();
    let right = network.start_node("right", &[]).await.unwrap();
    let app = App::new(&right);
    let mut shelf = Shelf::new(&app, "Shelf").await;
    let replica = wait("a replica", async || {
        let shown = app.get(&format!("spaces/{}", shelf.space)).await.unwrap();
        let peer = shown["replicas"].as_array().unwrap().first()?.as_str()?.to_owned();
        network.supernodes.iter().position(|one| one.as_ref().unwrap().run().peer == peer)
    })
    .await;
    // From here on its clock and that of the other device are ours.
    network.supernodes[replica].take().unwrap().stop().await.unwrap();
    network.environment = clock.environment();
    network.start_supernode(replica).await.unwrap();
    let moved = network.start_node("moved", &[]).await.unwrap();
    let other = App::new(&moved);
    other.join(&app.invite(&shelf.space, "editor").await.unwrap()).await.unwrap();
    look::wait_until_in_sync(&other, &shelf.space).await;
    let life =
        network::status(network.supernodes[replica].as_ref().unwrap()).await.unwrap()["incarnation"].clone();

    for (round, offset) in MOVES.into_iter().enumerate() {
        clock.turn(offset);
        take_turns([&app, &other], &shelf.space, round).await;
        for (app, who) in [(&app, "right"), (&other, "moved")] {
            shelf.write(app, &format!("{who}-{round}")).await.unwrap();
        }
        shelf.store(&app, &format!("film-{round}.bin")).await;
        shelf.wait_until_safe(&app).await;
        shelf.read_afresh(&network, &app).await;
        notes::wait_for(&other, &shelf.space, &[format!("right-{round}")]).await;

        // A start under the moved clock goes on with the same life.
        network.kill_supernode(replica).await.unwrap();
        network.start_supernode(replica).await.unwrap();
        let again = network.supernodes[replica].as_ref().unwrap();
        let (ahead, expected) = (ahead_ms(again), offset.parse::<i64>().unwrap() * 1000);
        assert!((ahead - expected).abs() < 100_000, "its clock was not moved: {ahead} against {expected}");
        assert_eq!(network::status(again).await.unwrap()["incarnation"], life);
        look::wait_until_replicas_agree(&network, &app, &shelf.space).await;
    }
    for supernode in look::living(&network) {
        let repairs = App::new(supernode).get("care/repair").await.unwrap();
        assert_eq!(repairs["queued"], 0, "nobody is taken for dead: {repairs}");
    }
    right.stop().await.unwrap();
    moved.stop().await.unwrap();
    network.stop().await.unwrap();
}
