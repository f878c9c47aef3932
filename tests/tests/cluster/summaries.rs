//! The network as it says itself, with real processes in two regions: the counts are right, and stay so when an aggregator dies.

use cosmic_loadtest::{
    api::App,
    network::{self, Network},
    process::{Process, command},
};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, wait},
    shelf::Shelf,
};

const REGIONS: [&str; 6] = ["eu-north", "eu-north", "eu-north", "eu-north", "us-east", "us-east"];
/// Half minutes become seconds.
const SETTINGS: &str = "[care]\nping_every_secs = 1\n[summary]\ntell_every_secs = 1\nregion_every_secs = 1\nworld_every_secs = 1\n";

/// What supernode `number` says of the network, by the command line.
async fn told(network: &Network, number: usize) -> Value {
    look::told(&network.supernode_directory(number), &["status", "--network"]).await
}

/// Bytes that the supernodes that run say that they keep.
async fn kept_bytes(network: &Network) -> u64 {
    let mut sum = 0;
    for supernode in look::living(network) {
        sum += network::status(supernode).await.unwrap()["bytes_used"].as_u64().unwrap();
    }
    sum
}

/// Waits until the world has these numbers, at both of these supernodes.
async fn wait_for(network: &Network, numbers: [usize; 2], what: &str, expected: &Value) -> Value {
    wait(what, async || {
        let kept = kept_bytes(network).await;
        let mut last = Value::Null;
        for number in numbers {
            let status = told(network, number).await;
            let world = &status["world"];
            let is_so = expected.as_object().unwrap().iter().all(|(name, value)| world[name] == *value);
            println!("{what}: {world}");
            if !is_so || world["kept_bytes"] != json!(kept) {
                return None;
            }
            last = status;
        }
        Some(last)
    })
    .await
}

fn region<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["regions"].as_array().unwrap().iter().find(|region| region["region"] == name).unwrap()
}

fn app(node: &Process) -> App {
    App::new(node)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_supernode_shows_the_same_network_and_an_aggregator_is_not_missed() {
    let directory = Ground::new();
    look::settings(directory.path(), REGIONS.len(), SETTINGS);
    let mut network = Network::start_in(directory.path(), &REGIONS).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = app(&writer);
    let id = app.create_space("Shelf").await.unwrap();
    let mut shelf = Shelf::of(&app, id).await;
    shelf.write(&app, "before").await.unwrap();

    let all =
        json!({ "members": 6, "well": 6, "away": 0, "untold": 0, "devices": 1, "spaces": 1, "regions": 2 });
    let status = wait_for(&network, [0, 5], "the network as it is", &all).await;
    let world = &status["world"];
    assert!(world["entries"].as_u64() > Some(0) && world["free_bytes"].as_u64() > Some(0), "{world}");
    wait("how long writes wait", async || {
        shelf.write(&app, "again").await.unwrap();
        let status = told(&network, 5).await;
        (status["world"]["p50_ms"].as_f64() > Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(status["silent_regions"], json!([]));
    let aggregators = |status: &Value, name: &str| -> Vec<String> {
        let peers = region(status, name)["aggregators"].as_array().unwrap();
        peers.iter().map(|peer| peer.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(region(&status, "us-east")["members"], 2);
    assert_eq!(aggregators(&status, "us-east").len(), 2);
    assert_eq!(region(&status, "eu-north")["well"], 4);
    let zones = status["zones"].as_array().unwrap();
    assert_eq!(zones.len(), 6, "each is a zone of its own: {zones:?}");

    // For people it is a table.
    let data = network.supernode_directory(0).to_string_lossy().into_owned();
    let text =
        command("cosmic-supernode", &["status", "--network", "--data-dir", &data], None).await.unwrap();
    assert!(["PLACE", "world", "eu-north", "  zone-5"].iter().all(|part| text.contains(part)), "{text}");

    // One that merges the larger region dies: the other two do, and say that it is away.
    let merging = aggregators(&status, "eu-north");
    let peer_of = |number: usize| network.supernodes[number].as_ref().unwrap().run().peer.clone();
    let dead = (0..4).find(|number| merging.contains(&peer_of(*number))).unwrap();
    let asked = [(0..4).find(|number| *number != dead).unwrap(), 5];
    network.kill_supernode(dead).await.unwrap();
    let without =
        json!({ "members": 6, "well": 5, "away": 1, "untold": 0, "devices": 1, "spaces": 1, "regions": 2 });
    let status = wait_for(&network, asked, "the network without it", &without).await;
    assert_eq!(region(&status, "eu-north")["away"], 1);
    wait("nobody believes the dead", async || {
        let status = told(&network, asked[0]).await;
        (aggregators(&status, "eu-north").len() == 2).then_some(())
    })
    .await;
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}
