//! Bytes that a disk got wrong: found, healed from the others, and never returned.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cosmic_loadtest::{
    api::App,
    demo,
    network::{self, Network},
    process::{Error, Process},
};
use serde_json::Value;

use super::{
    ground::Ground,
    look,
    notes::{self, PATIENCE},
};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;
/// Two chunks, so that each supernode keeps two shards large enough for blob files.
const FILE_BYTES: u64 = 6 * 1024 * 1024;
const NAME: &str = "film.bin";
const DOCUMENTS: usize = 30;
const READ_QUICKLY: &str = "[scrub]\ndisk_time_percent = 100\nstart_sample_percent = 0\n";

/// Files of a store whose names end so, the largest last.
fn files(store: &Path, end: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(store).unwrap().map(|item| item.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut found: Vec<_> =
        paths.filter(|path| name(path).ends_with(end) || name(path).starts_with(end)).collect();
    found.sort_by_key(|path| path.metadata().unwrap().len());
    found
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap()
}

async fn scrub(process: &Process, act: &str) -> Value {
    look::told(process.directory(), &["scrub", act]).await
}

/// Lets a supernode read everything, and waits until it has.
pub(super) async fn read_everything(process: &Process) -> Value {
    scrub(process, "start").await;
    let reading = async {
        loop {
            let status = scrub(process, "status").await;
            if status.get("state").and_then(Value::as_str) == Some("resting") {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

/// A network with a file and documents in one space, all of them safe.
async fn filled(directory: &Path) -> (Network, Vec<u8>, String, Vec<String>, String) {
    let file = directory.join("source.bin");
    demo::random_file(&file, FILE_BYTES, 3).unwrap();
    let content = fs::read(&file).unwrap();
    let network = Network::start(directory, SUPERNODES, ZONES).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let space = app.create_space("Films").await.unwrap();
    app.upload(&space, NAME, content.clone()).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..DOCUMENTS {
        let id = format!("note-{number}");
        notes::write_replicated(&app, &space, &id, PATIENCE).await.unwrap();
        ids.push(id);
    }
    let durable = |answer: &Value| answer.get("level").and_then(Value::as_str) == Some("durable");
    let path = format!("spaces/{space}/files/{NAME}/durability");
    app.wait_until(&path, "durable", PATIENCE, durable).await.unwrap();
    let ticket = app.invite(&space, "viewer").await.unwrap();
    writer.stop().await.unwrap();
    (network, content, space, ids, ticket)
}

/// A replica of the space: it keeps entries as well as shards.
async fn replica(network: &Network) -> usize {
    for (number, supernode) in network.supernodes.iter().enumerate() {
        let status = network::status(supernode.as_ref().unwrap()).await.unwrap();
        if self::number(&status, "entries") > DOCUMENTS as u64 && self::number(&status, "shards") > 0 {
            return number;
        }
    }
    panic!("no supernode keeps entries and shards");
}

async fn stop(network: &mut Network, number: usize) {
    network.supernodes[number].take().unwrap().stop().await.unwrap();
}

/// Starts a supernode whose store cannot be opened; what it says.
async fn refuses_to_start(network: &mut Network, number: usize) {
    let error = network.start_supernode(number).await.unwrap_err();
    let Error::Ended { status, output, .. } = error else { panic!("{error}") };
    assert!(status.contains('1'), "{status}");
    assert!(output.contains("is damaged and cannot be opened; set the directory aside"), "{output}");
}

async fn entries(network: &Network, number: usize) -> u64 {
    let status = network::status(network.supernodes[number].as_ref().unwrap()).await.unwrap();
    self::number(&status, "entries")
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bytes_in_every_kind_of_file_are_found_and_never_returned() {
    let directory = Ground::new();
    let (mut network, content, space, ids, ticket) = filled(directory.path()).await;
    let victim = replica(&network).await;
    let home = network.supernode_directory(victim);
    let store = home.join("store");
    fs::write(home.join("supernode.toml"), READ_QUICKLY).unwrap();
    let kept = entries(&network, victim).await;

    // A start sorts the log into files.
    stop(&mut network, victim).await;
    network.start_supernode(victim).await.unwrap();
    for kind in [".blob", ".sst"] {
        stop(&mut network, victim).await;
        flip(files(&store, kind).last().unwrap());
        network.start_supernode(victim).await.unwrap();
        let status = read_everything(network.supernodes[victim].as_ref().unwrap()).await;
        println!("{kind}: {status}");
        assert!(number(&status, "found") > 0, "{kind}: {status}");
        assert_eq!(number(&status, "found"), number(&status, "healed"), "{kind}: {status}");
        assert_eq!(number(&read_everything(network.supernodes[victim].as_ref().unwrap()).await, "found"), 0);
    }

    // The log: written to, killed, and damaged in its middle. The supernode begins a new life without the end.
    let writer = network.start_node("writer", &[]).await.unwrap();
    let mut all = ids.clone();
    for number in 0..DOCUMENTS {
        let id = format!("later-{number}");
        notes::write_replicated(&App::new(&writer), &space, &id, PATIENCE).await.unwrap();
        all.push(id);
    }
    let before = network::status(network.supernodes[victim].as_ref().unwrap()).await.unwrap();
    network.kill_supernode(victim).await.unwrap();
    flip(files(&store, ".log").last().unwrap());
    network.start_supernode(victim).await.unwrap();
    let after = network::status(network.supernodes[victim].as_ref().unwrap()).await.unwrap();
    assert_ne!(before.get("incarnation"), after.get("incarnation"), "what was promised may be lost");
    writer.stop().await.unwrap();
    wait_for_entries(&network, victim, kept + DOCUMENTS as u64).await;

    // Without its manifest a store does not open. Set aside, it is filled again.
    for kind in ["MANIFEST", "CURRENT"] {
        stop(&mut network, victim).await;
        flip(files(&store, kind).last().unwrap());
        refuses_to_start(&mut network, victim).await;
        fs::rename(&store, home.join(format!("store.{kind}"))).unwrap();
        network.start_supernode(victim).await.unwrap();
        wait_for_entries(&network, victim, kept + DOCUMENTS as u64).await;
    }

    let reader = network.start_node("reader", &[]).await.unwrap();
    let app = App::new(&reader);
    app.join(&ticket).await.unwrap();
    notes::wait_for(&app, &space, &all).await;
    let listed =
        |answer: &Value| answer.get("files").and_then(Value::as_array).is_some_and(|files| !files.is_empty());
    app.wait_until(&format!("spaces/{space}/files"), "the file", PATIENCE, listed).await.unwrap();
    let read = app.download(&space, NAME).await.unwrap().bytes().await.unwrap();
    assert!(read == content, "byte for byte");
    reader.stop().await.unwrap();
    network.stop().await.unwrap();
}

async fn wait_for_entries(network: &Network, number: usize, wanted: u64) {
    let filling = async {
        while entries(network, number).await < wanted {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, filling).await.unwrap();
}
