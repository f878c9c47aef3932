//! Entries become packs: whoever waits for `durable` gets it, replicas free what is packed, and everybody reads as before.

use cosmic_loadtest::{api::App, network::Network, process::Process};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, wait},
    notes::{self, PATIENCE},
};

const SUPERNODES: usize = 6;
const DOCUMENTS: usize = 60;
/// Days become seconds.
const SETTINGS: &str = "[packs]\nlook_every_secs = 1\nidle_after_secs = 1\nidle_bytes = 1\nfree_after_secs = 1\n[care]\nping_every_secs = 1\n";

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_durable_in_packs_and_read_from_them() {
    let directory = Ground::new();
    look::settings(directory.path(), SUPERNODES, SETTINGS);
    let mut network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let space = app.create_space("Packed").await.unwrap();
    let ticket = app.invite(&space, "viewer").await.unwrap();
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("packed-{number}")).collect();
    for id in &ids {
        notes::write(&app, &space, id).await.unwrap();
    }

    let last = ids.last().unwrap();
    let path = format!("{}?wait=durable&timeout_ms={}", notes::path(&space, last), PATIENCE.as_millis());
    let answer = app.put(&path, &notes::value(last)).await.unwrap();
    assert_eq!(answer["level"], json!("durable"));
    let answer = app.get(&format!("{}/durability", notes::path(&space, last))).await.unwrap();
    assert_eq!((&answer["level"], &answer["survives"]), (&json!("durable"), &json!(3)));
    let summary = app.get(&format!("spaces/{space}/durability")).await.unwrap();
    assert!(summary["documents"]["durable"].as_u64() >= Some(1), "{summary}");

    // Three replicas free what is packed; what opens the logs stays, and so does membership.
    let kept = wait("three replicas have packed and freed all they had", async || {
        let (mut freed, mut kept) = (0, 0);
        for supernode in network.supernodes.iter().flatten() {
            let supernode = App::new(supernode);
            let status = supernode.get("packs").await.ok()?;
            if status["unpacked"]["entries"] != json!(0) || status["to_free"]["runs"] != json!(0) {
                return None;
            }
            freed += usize::from(status["freed_entries"].as_u64() > Some(0));
            kept += supernode.get("usage").await.ok()?["total"]["entries"].as_u64().unwrap_or_default();
        }
        // A replica that lags behind has nothing to pack yet, and nothing to free.
        (freed == 3).then_some(kept)
    })
    .await;
    assert!(kept < DOCUMENTS as u64, "{kept} entries are still kept in all");

    let shown = app.get(&format!("spaces/{space}")).await.unwrap();
    writer.stop().await.unwrap();
    let reader = network.start_node("reader", &[]).await.unwrap();
    App::new(&reader).join(&ticket).await.unwrap();
    notes::wait_for(&App::new(&reader), &space, &ids).await;
    reader.stop().await.unwrap();

    // Two replicas die, and one that is none: one is left who knows the packs, and as many shards as it takes.
    let replicas: Vec<&str> =
        shown["replicas"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let is_replica = |supernode: &Option<Process>| {
        supernode.as_ref().is_some_and(|supernode| replicas.contains(&supernode.run().peer.as_str()))
    };
    let (some, others): (Vec<usize>, Vec<usize>) =
        (0..SUPERNODES).partition(|number| is_replica(&network.supernodes[*number]));
    for number in some.into_iter().take(2).chain(others.into_iter().take(1)) {
        network.kill_supernode(number).await.unwrap();
    }
    let reader = network.start_node("late", &[]).await.unwrap();
    App::new(&reader).join(&ticket).await.unwrap();
    notes::wait_for(&App::new(&reader), &space, &ids).await;
    reader.stop().await.unwrap();
    network.stop().await.unwrap();
}
