//! The binary as a person uses it: a network is made, served, changed while it runs, and found again.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use cosmic_membership::NetworkFile;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const FIRST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SECOND: &str = "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn bootstrap(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cosmic-bootstrap"));
    command.args(arguments).arg("--data-dir").arg(directory);
    command
}

fn output(directory: &Path, arguments: &[&str]) -> Output {
    bootstrap(directory, arguments).output().unwrap()
}

/// What a command that succeeds prints.
fn told(directory: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = output(directory, arguments);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn json(directory: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&told(directory, &[arguments, &["--json"]].concat())).unwrap()
}

/// The exit code of a command, and its one sentence.
fn refused(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = output(directory, arguments);
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// A process that said that it is ready.
struct Running(Child);

impl Running {
    fn start(directory: &Path) -> Self {
        let mut run = bootstrap(directory, &["run", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let mut child = run.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended instead of getting ready");
        }
        child.stderr = Some(log.into_inner());
        Self(child)
    }

    fn stop(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let mut rest = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        assert!(self.0.wait().unwrap().success(), "{rest}");
    }
}

#[test]
fn a_network_is_made_served_and_changed_while_it_runs() {
    let world = tempfile::tempdir().unwrap();
    let directory = &world.path().join("bootstrap");
    let made = json(directory, &["network", "create"]);
    assert_eq!(json(directory, &["network", "admit", FIRST])["version"], 2);

    let running = Running::start(directory);
    let status = json(directory, &["status"]);
    assert_eq!(status["network"], made["network"]);
    assert_eq!((&status["ready"], &status["ring"]["members"]), (&true.into(), &0.into()));
    let path = world.path().join("network.json");
    std::fs::write(&path, told(directory, &["network", "show", "--json"])).unwrap();
    let file = NetworkFile::read(&path).unwrap();
    assert_eq!(file.network.to_string(), made["network"]);
    assert_eq!(file.bootstrap[0].peer.to_string(), made["peer"]);
    assert_eq!(file.bootstrap[0].addresses.len(), 2, "QUIC and TCP, with the ports really taken");

    let before = status["configuration"].as_u64().unwrap();
    assert_eq!(json(directory, &["network", "admit", FIRST, SECOND])["version"], before + 1);
    assert_eq!(json(directory, &["status"])["operators"], 2);
    assert_eq!(json(directory, &["network", "remove", FIRST])["version"], before + 2);
    assert_eq!(json(directory, &["peers"]), Value::Array(Vec::new()));
    let (code, sentence) = refused(directory, &["run"]);
    assert!(code == Some(1) && sentence.contains("in use"), "{sentence}");
    running.stop();

    assert_eq!(json(directory, &["network", "admit", FIRST])["version"], before + 3);
    let running = Running::start(directory);
    assert_eq!(json(directory, &["status"])["operators"], 2);
    running.stop();
}

#[test]
fn what_cannot_be_is_refused_in_one_sentence_with_its_exit_code() {
    let world = tempfile::tempdir().unwrap();
    let directory = &world.path().join("bootstrap");
    let (code, sentence) = refused(directory, &["run"]);
    assert!(code == Some(1) && sentence.contains("network create"), "{sentence}");
    told(directory, &["network", "create"]);
    let (code, sentence) = refused(directory, &["network", "create"]);
    assert!(code == Some(1) && sentence.contains("has a network already"), "{sentence}");
    let (code, sentence) = refused(directory, &["network", "remove", SECOND]);
    assert!(code == Some(1) && sentence.contains("was not admitted"), "{sentence}");
    let (code, sentence) = refused(directory, &["status"]);
    assert!(code == Some(1) && sentence.contains("no bootstrap node is running"), "{sentence}");
    assert_eq!(refused(directory, &["run", "--set", "lisen=1"]).0, Some(64));
    assert_eq!(refused(directory, &["network", "admit"]).0, Some(2));
    assert!(told(directory, &["completions", "bash"]).contains("cosmic-bootstrap"));
}
