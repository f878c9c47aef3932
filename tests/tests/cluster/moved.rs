//! Everybody moves at once, and the bootstrap node is gone: they find each other in the directory, by a server that is no member.

use std::{fs, path::Path, time::Duration};

use cosmic_common::id::PeerId;
use cosmic_loadtest::{api::App, network::Network, process::Process};

use super::notes::{self, PATIENCE};

/// How often files are looked at while something is waited for.
const POLL: Duration = Duration::from_millis(50);

/// Waits until the process with this data directory would know `peer` after a restart.
async fn remembers(directory: &Path, file: &str, peer: &[u8]) {
    let remembered = async {
        let path = directory.join(file);
        while !fs::read(&path).unwrap_or_default().windows(peer.len()).any(|bytes| bytes == peer) {
            tokio::time::sleep(POLL).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, remembered).await.is_ok(), "{} in {file}", directory.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_all_moved_at_once_find_each_other_without_the_bootstrap_node() {
    let directory = tempfile::tempdir().unwrap();
    let mut network = Network::start(directory.path(), 2, 2).await.unwrap();
    // A bootstrap node of somebody else: it serves, but neither the configuration nor the ring names it.
    let network_file = network.network_file().to_string_lossy().into_owned();
    let listen = ["--network", &network_file, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let stranger =
        Process::start("cosmic-bootstrap", &directory.path().join("stranger"), &listen).await.unwrap();
    let peer: PeerId = stranger.run().peer.parse().unwrap();
    let peer = *peer.as_bytes();
    let device = network.start_node("device", &[]).await.unwrap();
    let app = App::new(&device);
    let space = app.create_space("Moved").await.unwrap();
    notes::write_replicated(&app, &space, "before", PATIENCE).await.unwrap();
    remembers(&directory.path().join("device"), "network.directory", &peer).await;
    for number in 0..2 {
        remembers(&network.supernode_directory(number), "network.directory", &peer).await;
    }
    device.kill().await.unwrap();
    network.bootstrap.take().unwrap().kill().await.unwrap();
    for supernode in &mut network.supernodes {
        supernode.take().unwrap().kill().await.unwrap();
    }
    // Every one of them gets other ports now.
    for number in 0..2 {
        network.start_supernode(number).await.unwrap();
    }
    let device = network.start_node("device", &[]).await.unwrap();
    let app = App::new(&device);
    notes::write_replicated(&app, &space, "after", PATIENCE).await.unwrap();
    let doctor = app.get("doctor").await.unwrap();
    let line = doctor["checks"].as_array().unwrap().iter().find(|line| line["check"] == "directory").unwrap();
    assert_eq!(line["state"], "works", "{line}");
    device.stop().await.unwrap();
    stranger.stop().await.unwrap();
    network.stop().await.unwrap();
}
