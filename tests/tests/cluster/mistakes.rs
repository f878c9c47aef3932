//! What a person reads who starts a process in a way that cannot work: one sentence, and the right exit code.

use std::{fs, net::TcpListener, path::Path, time::Duration};

use cosmic_loadtest::{
    network::Network,
    process::{self, Error},
};

use super::ground::Ground;

/// How long a process may take to see that it cannot start.
const PATIENCE: Duration = Duration::from_secs(30);
const FAILED: &str = "exit status: 1";
const CONFIGURATION: &str = "exit status: 64";

/// Runs `program`, which must end with `status` and one sentence that contains `words`.
async fn refused(program: &str, directory: &Path, arguments: &[&str], (status, words): (&str, &str)) {
    let directory = directory.to_string_lossy();
    let mut all = vec!["run", "--data-dir", &directory, "--set", "log.filter=off"];
    all.extend(arguments);
    let ended = tokio::time::timeout(PATIENCE, process::command(program, &all, None))
        .await
        .unwrap_or_else(|_elapsed| panic!("{program} {arguments:?} runs"));
    let Err(Error::Ended { status: found, output, .. }) = ended else {
        panic!("{program} {arguments:?}: {ended:?}")
    };
    assert_eq!(found, status, "{program} {arguments:?}: {output}");
    assert!(output.contains(words), "{program} {arguments:?}: no {words:?} in: {output}");
    let lines: Vec<&str> = output.lines().collect();
    assert!(matches!(lines[..], [line] if line.starts_with(program)), "one sentence: {output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_told_in_one_sentence() {
    let directory = Ground::new();
    let mut network = Network::start(directory.path(), 1, 1).await.unwrap();
    let node = network.start_node("node", &[]).await.unwrap();
    let places = [
        ("cosmic-bootstrap", directory.path().join("bootstrap")),
        ("cosmic-supernode", network.supernode_directory(0)),
        ("cosmic-node", directory.path().join("node")),
    ];
    for (program, place) in &places {
        let words = format!("is in use by another {program}");
        refused(program, place, &[], (FAILED, &words)).await;
    }
    node.stop().await.unwrap();
    if let Some(supernode) = network.supernodes[0].take() {
        supernode.stop().await.unwrap();
    }
    network.stop().await.unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (program, place) in &places {
        let words = format!("cannot listen on {address}: the port is taken");
        let key = if *program == "cosmic-node" { "http" } else { "admin.listen" };
        refused(program, place, &["--set", &format!("{key}={address}")], (FAILED, &words)).await;
        refused(program, place, &["--set", "listn=1"], (CONFIGURATION, "did you mean listen?")).await;
        let word =
            if *program == "cosmic-node" { "did you mean http?" } else { "did you mean admin.listen?" };
        refused(program, place, &["--set", "htp=1"], (CONFIGURATION, word)).await;
        refused(program, Path::new("/proc/nowhere"), &[], (FAILED, "/proc/nowhere")).await;
        let below_a_file = directory.path().join("network.json").join("data");
        refused(program, &below_a_file, &[], (FAILED, "cannot create the data directory")).await;
        fs::write(place.join("format"), format!("{program} 999\n")).unwrap();
        refused(program, place, &[], (FAILED, "has data format 999")).await;
    }
}
