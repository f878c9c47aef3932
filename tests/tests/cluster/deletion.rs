//! A file removed on one device is gone from every supernode, from one that was down meanwhile too; each has signed for it.

use std::collections::BTreeSet;

use cosmic_loadtest::{api::App, network::Network, process::Process};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, living, shards, wait},
    notes::PATIENCE,
};

const SUPERNODES: usize = 6;
const NAME: &str = "film.bin";
/// Hours and days become seconds.
const SETTINGS: &str = "[care]\naway_after_secs = 8\noffline_after_secs = 12\nwide_after_secs = 12\nping_every_secs = 1\nwalk_every_secs = 5\n[deletion]\ndelay_secs = 2\nlook_every_secs = 1\nask_every_secs = 1\n";

/// Whether a supernode keeps all of these objects, or none; whichever it is, its counters say what is there. Packs of
/// entries are not meant: they stay.
async fn keeps(supernode: &Process, objects: &[String]) -> Option<bool> {
    let there = shards(supernode).await;
    let total = App::new(supernode).get("usage").await.unwrap()["total"].clone();
    let counted = (total["objects"].as_u64(), total["shards"].as_u64());
    let walked = (there.len() as u64, there.values().map(|shards| shards.len() as u64).sum());
    let kept = objects.iter().filter(|object| there.contains_key(*object)).count();
    let is_clear = counted == (Some(walked.0), Some(walked.1)) && (kept == 0 || kept == objects.len());
    is_clear.then_some(kept > 0)
}

/// Waits until every supernode that lives keeps its part of each object, or none does.
async fn wait_until(network: &Network, objects: &[String], kept: bool) {
    wait(if kept { "everybody has its parts" } else { "nothing is left" }, async || {
        for supernode in living(network) {
            if keeps(supernode, objects).await != Some(kept) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// What the command line tells of a supernode.
async fn told(supernode: &Process, arguments: &[&str]) -> Value {
    look::told(supernode.directory(), &[&["deletion"], arguments].concat()).await
}

/// Waits until no replica removes anything any more: each concludes for itself.
async fn wait_until_done(network: &Network) {
    wait("every replica is done", async || {
        for supernode in living(network) {
            if told(supernode, &["status"]).await["removals"] != json!([]) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_is_gone_everywhere_and_every_holder_has_signed() {
    let directory = Ground::new();
    look::settings(directory.path(), SUPERNODES, SETTINGS);
    let mut network = Network::start(directory.path(), SUPERNODES, 3).await.unwrap();
    let (writer, reader) =
        (network.start_node("writer", &[]).await.unwrap(), network.start_node("reader", &[]).await.unwrap());
    let (app, other) = (App::new(&writer), App::new(&reader));
    let space = app.create_space("Films").await.unwrap();
    app.upload(&space, NAME, vec![7; 5 * 1024 * 1024]).await.unwrap();
    let file = format!("spaces/{space}/files/{NAME}");
    let durable = |answer: &Value| answer["survives"].as_u64() >= Some(3);
    app.wait_until(&format!("{file}/durability"), "durable, survives 3", PATIENCE, durable).await.unwrap();
    other.join(&app.invite(&space, "editor").await.unwrap()).await.unwrap();
    let count = |answer: &Value| answer["files"].as_array().map(Vec::len);
    let listed = |answer: &Value| count(answer) == Some(1);
    other.wait_until(&format!("spaces/{space}/files"), "the file", PATIENCE, listed).await.unwrap();

    let away = 4;
    network.kill_supernode(away).await.unwrap();
    // The reader removes what the writer wrote: who may write may replace, and remove.
    let removed = wait("the removal is taken", async || {
        let answer = other.request(Method::DELETE, &file).send().await.unwrap();
        answer.status().is_success().then_some(())
    });
    removed.await;
    let deletion = format!("{file}/deletion");
    let objects = other.get(&deletion).await.unwrap()["objects"].clone();
    let objects: Vec<String> = serde_json::from_value(objects).unwrap();
    assert_eq!(objects.len(), 2);
    wait_until(&network, &objects, false).await;
    let empty = |answer: &Value| count(answer) == Some(0);
    app.wait_until(&format!("spaces/{space}/files"), "no file", PATIENCE, empty).await.unwrap();
    let signed = |answer: &Value| answer["holders_deleted"].as_array().map(Vec::len);
    let waits = |answer: &Value| {
        answer["state"] == "deleting" && answer["holders_silent"] == 1 && signed(answer) == Some(5)
    };
    let answer =
        app.wait_until(&deletion, "five have signed, one is awaited", PATIENCE, waits).await.unwrap();
    assert_eq!(answer["chunks"], 2);

    network.start_supernode(away).await.unwrap();
    wait_until(&network, &objects, false).await;
    let deleted = |answer: &Value| answer["state"] == "deleted";
    let answer = app.wait_until(&deletion, "gone everywhere", PATIENCE, deleted).await.unwrap();
    let signed: BTreeSet<&str> =
        answer["holders_deleted"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(signed.len(), SUPERNODES);
    assert_eq!(answer["chunks_deleted"], 2);
    wait_until_done(&network).await;
    let mut complete = 0;
    for supernode in living(&network) {
        let receipts = told(supernode, &["show", &objects[0]]).await["receipts"].as_array().unwrap().clone();
        let holders: BTreeSet<&str> = receipts.iter().filter_map(|one| one["holder"].as_str()).collect();
        complete += usize::from(holders == signed);
        let status = told(supernode, &["status"]).await;
        assert_eq!((&status["objects_deleted"], &status["removals"]), (&json!(2), &json!([])), "{status}");
        assert_eq!(App::new(supernode).metric("cosmic_deletion_objects_deleted_total").await.unwrap(), 2);
    }
    assert_eq!(complete, 3, "each replica of the space has all receipts");
    // The same bytes may come again, and stay.
    app.upload(&space, NAME, vec![7; 5 * 1024 * 1024]).await.unwrap();
    app.wait_until(&format!("{file}/durability"), "durable again", PATIENCE, durable).await.unwrap();
    wait_until(&network, &objects, true).await;
    writer.stop().await.unwrap();
    reader.stop().await.unwrap();
    network.stop().await.unwrap();
}
