//! Storage that heals: a supernode killed for good, and one that lost what it kept.

use std::{fs, path::Path};

use cosmic_loadtest::{api::App, demo, network::Network, process::Process};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, all_shards, kept_for_others, living, shards, wait},
    notes::PATIENCE,
};

/// One more than an object has shards.
const SUPERNODES: usize = 7;
const FILE_BYTES: u64 = 5 * 1024 * 1024;
const NAME: &str = "film.bin";
/// Hours become seconds.
const SETTINGS: &str = "[care]\naway_after_secs = 8\noffline_after_secs = 12\nwide_after_secs = 12\nping_every_secs = 1\nwalk_every_secs = 5\n";

/// Seven supernodes, and a file that two devices know.
struct Cluster {
    network: Network,
    writer: Process,
    reader: Process,
    space: String,
    content: Vec<u8>,
    _directory: Ground,
}

impl Cluster {
    async fn start() -> Self {
        let directory = Ground::new();
        look::settings(directory.path(), SUPERNODES, SETTINGS);
        let network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
        let writer = network.start_node("writer", &[]).await.unwrap();
        let reader = network.start_node("reader", &[]).await.unwrap();
        let app = App::new(&writer);
        let space = app.create_space("Films").await.unwrap();
        let source = directory.path().join("source.bin");
        demo::random_file(&source, FILE_BYTES, 3).unwrap();
        let content = fs::read(source).unwrap();
        app.upload(&space, NAME, content.clone()).await.unwrap();
        let durable = |answer: &Value| answer.get("survives").and_then(Value::as_u64) >= Some(3);
        let path = format!("spaces/{space}/files/{NAME}/durability");
        app.wait_until(&path, "durable, survives 3", PATIENCE, durable).await.unwrap();
        let other = App::new(&reader);
        other.join(&app.invite(&space, "viewer").await.unwrap()).await.unwrap();
        let listed = |answer: &Value| {
            answer.get("files").and_then(Value::as_array).is_some_and(|files| !files.is_empty())
        };
        other.wait_until(&format!("spaces/{space}/files"), "the file", PATIENCE, listed).await.unwrap();
        Self { network, writer, reader, space, content, _directory: directory }
    }

    async fn wait_until_healed(&self) {
        look::wait_until_whole(&self.network, 2).await;
    }

    async fn stop(self) {
        self.writer.stop().await.unwrap();
        self.reader.stop().await.unwrap();
        self.network.stop().await.unwrap();
    }
}

async fn steer(supernodes: impl Iterator<Item = &Process>, act: &str) {
    for supernode in supernodes {
        App::new(supernode).post(&format!("care/repair/{act}"), &json!({})).await.unwrap();
    }
}

fn remove_store(data: &Path) {
    fs::remove_dir_all(data.join("store")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_supernode_killed_for_good_are_made_again_elsewhere() {
    let mut cluster = Cluster::start().await;
    let before = all_shards(&cluster.network).await;
    assert!(before.len() >= 2 && before.values().all(|indices| indices.len() == 6), "{before:?}");
    steer(living(&cluster.network), "pause").await;
    let victim = wait("somebody keeps a shard", async || {
        for (number, supernode) in cluster.network.supernodes.iter().enumerate() {
            if !shards(supernode.as_ref().unwrap()).await.is_empty() {
                return Some(number);
            }
        }
        None
    })
    .await;
    cluster.network.kill_supernode(victim).await.unwrap();
    wait("repairs wait for the pause", async || {
        for supernode in living(&cluster.network) {
            let status = App::new(supernode).get("care/repair").await.unwrap();
            let reasons = status["reasons"].as_array().unwrap();
            if reasons.iter().any(|one| one["reason"] == "paused") {
                return Some(());
            }
        }
        None
    })
    .await;
    let held_back = all_shards(&cluster.network).await;
    assert!(held_back.values().any(|indices| indices.len() == 5), "a pause holds back: {held_back:?}");
    steer(living(&cluster.network), "resume").await;
    cluster.wait_until_healed().await;
    let survivors = (0..SUPERNODES).filter(|number| *number != victim).take(2);
    for number in survivors {
        cluster.network.kill_supernode(number).await.unwrap();
    }
    let read = App::new(&cluster.reader).download(&cluster.space, NAME).await.unwrap().bytes().await.unwrap();
    assert!(read == cluster.content, "the file is read as it was stored, byte for byte");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supernode_that_lost_its_data_is_found_and_gets_its_shards_again() {
    let mut cluster = Cluster::start().await;
    let holder = wait("somebody keeps a shard", async || {
        for (number, supernode) in cluster.network.supernodes.iter().enumerate() {
            if !shards(supernode.as_ref().unwrap()).await.is_empty() {
                return Some(number);
            }
        }
        None
    })
    .await;
    cluster.network.supernodes[holder].take().unwrap().stop().await.unwrap();
    remove_store(&cluster.network.supernode_directory(holder));
    cluster.network.start_supernode(holder).await.unwrap();
    cluster.wait_until_healed().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_a_holder_is_away_comes_home_to_it() {
    let mut cluster = Cluster::start().await;
    let away = 3;
    cluster.network.kill_supernode(away).await.unwrap();
    // Enough objects that the one who is away should have a part of one of them.
    for number in 0..3 {
        let content = vec![number; 3 * 1024 * 1024];
        App::new(&cluster.writer)
            .upload(&cluster.space, &format!("late-{number}.bin"), content)
            .await
            .unwrap();
    }
    wait("what is missing is kept by others", async || {
        (kept_for_others(&cluster.network).await > 0).then_some(())
    })
    .await;
    cluster.network.start_supernode(away).await.unwrap();
    wait("what was kept for it is home", async || {
        (kept_for_others(&cluster.network).await == 0).then_some(())
    })
    .await;
    cluster.wait_until_healed().await;
    for number in 0..3 {
        let path = format!("spaces/{}/files/late-{number}.bin/durability", cluster.space);
        let durable = |answer: &Value| answer.get("survives").and_then(Value::as_u64) >= Some(3);
        let app = App::new(&cluster.writer);
        app.wait_until(&path, "durable, survives 3", PATIENCE, durable).await.unwrap();
    }
    cluster.stop().await;
}
