//! A data directory that was copied or set back: two processes, or two pasts, with one device key.

use std::{fs, path::Path};

use cosmic_loadtest::{api::App, network::Network, process::Process};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    notes::{self, PATIENCE},
};

const SUPERNODES: usize = 3;
/// Documents that each process writes.
const DOCUMENTS: usize = 10;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Writes documents of its own and changes the one that all change.
async fn write(node: &Process, name: &str, space: &str) -> Vec<String> {
    let app = App::new(node);
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("{name}-{number}")).collect();
    for id in &ids {
        notes::write(&app, space, id).await.unwrap();
    }
    app.patch(&notes::path(space, "shared"), &json!({ name: true })).await.unwrap();
    ids
}

/// No process has seen two entries at one place of a log.
fn nobody_forked(directory: &Path) {
    let logs = fs::read_dir(directory).unwrap().map(|item| item.unwrap().path());
    for log in logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        let text = fs::read_to_string(&log).unwrap();
        assert!(!text.contains("forked its log"), "{}: {text}", log.display());
        assert!(!text.contains("another branch of a log"), "{}: {text}", log.display());
    }
}

/// All three see what each of them wrote, and the same in the document that all changed.
async fn wait_for_all(nodes: [(&str, &Process); 3], space: &str, ids: &[String]) {
    let mut shared = Vec::new();
    for (_, node) in nodes {
        let app = App::new(node);
        notes::wait_for(&app, space, ids).await;
        let complete = |answer: &Value| {
            nodes.iter().all(|(name, _)| answer.get("value").and_then(|value| value.get(name)).is_some())
        };
        let path = notes::path(space, "shared");
        let answer = app.wait_until(&path, "what everybody changed", PATIENCE, complete).await.unwrap();
        shared.push(answer.get("value").cloned());
    }
    assert!(shared.iter().all(|value| *value == shared[0]), "{shared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_data_directory_writes_logs_of_its_own() {
    let directory = Ground::new();
    let network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let original = network.start_node("original", &[]).await.unwrap();
    let own = App::new(&original).create_space("Own").await.unwrap();
    notes::write_replicated(&App::new(&original), &own, "shared", PATIENCE).await.unwrap();
    let own_ticket = App::new(&original).invite(&own, "editor").await.unwrap();
    original.stop().await.unwrap();
    copy(&directory.path().join("original"), &directory.path().join("copy"));

    let original = network.start_node("original", &[]).await.unwrap();
    let copied = network.start_node("copy", &[]).await.unwrap();
    assert_eq!(original.run().peer, copied.run().peer, "both have the same key");
    let other = network.start_node("other", &[]).await.unwrap();
    let nodes = [("original", &original), ("copy", &copied), ("other", &other)];

    let joined = App::new(&other).create_space("Joined").await.unwrap();
    notes::write(&App::new(&other), &joined, "shared").await.unwrap();
    let ticket = App::new(&other).invite(&joined, "editor").await.unwrap();
    for (space, ticket, joiners) in [(&own, own_ticket, &nodes[2..]), (&joined, ticket, &nodes[..2])] {
        for (_, node) in joiners {
            App::new(node).join(&ticket).await.unwrap();
        }
        let mut ids = Vec::new();
        for (name, node) in nodes {
            notes::wait_for_shared(&App::new(node), space).await;
            ids.extend(write(node, name, space).await);
        }
        wait_for_all(nodes, space, &ids).await;
    }

    nobody_forked(directory.path());
    for node in [original, copied, other] {
        node.stop().await.unwrap();
    }
    network.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_set_back_gets_everything_again_and_forks_nothing() {
    let directory = Ground::new();
    let network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let (data, backup) = (directory.path().join("device"), directory.path().join("backup"));
    let device = network.start_node("device", &[]).await.unwrap();
    let space = App::new(&device).create_space("Notes").await.unwrap();
    notes::write_replicated(&App::new(&device), &space, "shared", PATIENCE).await.unwrap();
    device.stop().await.unwrap();
    copy(&data, &backup);

    let device = network.start_node("device", &[]).await.unwrap();
    let mut ids = write(&device, "before", &space).await;
    notes::write_replicated(&App::new(&device), &space, "last", PATIENCE).await.unwrap();
    ids.push("last".to_owned());
    device.kill().await.unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);

    // It writes before and after it has heard of what it wrote in the past that is gone.
    let device = network.start_node("device", &["--offline"]).await.unwrap();
    ids.extend(write(&device, "offline", &space).await);
    App::new(&device).put("network", &json!({"online": true})).await.unwrap();
    notes::wait_for(&App::new(&device), &space, &ids).await;
    ids.extend(write(&device, "after", &space).await);
    let ticket = App::new(&device).invite(&space, "editor").await.unwrap();
    let other = network.start_node("other", &[]).await.unwrap();
    App::new(&other).join(&ticket).await.unwrap();
    notes::wait_for(&App::new(&other), &space, &ids).await;
    let path = notes::path(&space, "shared");
    let complete = |answer: &Value| {
        let value = answer.get("value");
        ["before", "offline", "after"].iter().all(|name| value.and_then(|value| value.get(name)).is_some())
    };
    App::new(&other).wait_until(&path, "every change", PATIENCE, complete).await.unwrap();

    nobody_forked(directory.path());
    for node in [device, other] {
        node.stop().await.unwrap();
    }
    network.stop().await.unwrap();
}
