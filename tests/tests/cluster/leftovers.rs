//! Nothing outlives whoever started it: neither a signal nor a kill of `cosmic-loadtest` leaves a process behind.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use cosmic_loadtest::process;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

/// How long processes may take to start, or to be gone.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// `cosmic-loadtest` with `arguments`, and the first line it prints.
async fn start(arguments: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = Command::new(process::binary("cosmic-loadtest").unwrap())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    timeout(PATIENCE, lines.read_line(&mut line)).await.unwrap().unwrap();
    (child, lines, line)
}

async fn signal(child: &mut Child, name: &str) -> ExitStatus {
    let pid = child.id().unwrap();
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().await.unwrap();
    assert!(sent.success());
    timeout(PATIENCE, child.wait()).await.unwrap().unwrap()
}

/// The processes that said in `run.json` below `directory` that they run.
fn pids(directory: &Path) -> BTreeSet<u64> {
    let folders = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let run = |folder: fs::DirEntry| fs::read_to_string(folder.path().join("run.json")).ok();
    let pid = |text: String| serde_json::from_str::<Value>(&text).ok()?.get("pid")?.as_u64();
    folders.filter_map(run).filter_map(pid).collect()
}

/// Waits until none of `pids` runs; whom nobody has waited for yet (a zombie) does not run.
async fn gone(pids: &BTreeSet<u64>) {
    let runs = |pid: &u64| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
    };
    let waited = timeout(PATIENCE, async {
        while pids.iter().any(runs) {
            sleep(POLL).await;
        }
    });
    waited.await.unwrap_or_else(|_elapsed| panic!("some of {pids:?} still run"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_to_play_with_ends_with_the_process_that_started_it() {
    for (name, in_order) in [("TERM", true), ("KILL", false)] {
        let (mut child, _lines, line) = start(&["up", "--supernodes", "1", "--json"]).await;
        let told: Value = serde_json::from_str(&line).unwrap();
        let directory = PathBuf::from(told["directory"].as_str().unwrap());
        let pids = pids(&directory);
        assert_eq!(pids.len(), 3, "a bootstrap node, a supernode and a node: {line}");
        let status = signal(&mut child, name).await;
        assert_eq!(status.success(), in_order, "{name}: {status}");
        gone(&pids).await;
        assert_eq!(directory.exists(), !in_order, "who is asked cleans up");
        if !in_order {
            fs::remove_dir_all(directory).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_no_process_behind() {
    let (mut child, _lines, line) = start(&["demo"]).await;
    let directory = PathBuf::from(line.split_whitespace().last().unwrap());
    let started = timeout(PATIENCE, async {
        while pids(&directory).is_empty() {
            sleep(POLL).await;
        }
    });
    started.await.unwrap();
    let pids = pids(&directory);
    let status = signal(&mut child, "INT").await;
    assert_eq!(status.code(), Some(130));
    gone(&pids).await;
}
