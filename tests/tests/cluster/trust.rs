//! A vouched network: who is vouched for takes part, a stranger does not, and what an operator that lost trust kept is made
//! again by the others.

use std::path::Path;

use cosmic_loadtest::{api::App, network::Network, process::command};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, told},
    shelf::Shelf,
};

/// The root, six it vouches for, and a stranger.
const SUPERNODES: usize = 8;
const STRANGER: usize = 7;
const LEAVES: usize = 3;

/// What the supernode in `directory` says of `operator`.
async fn seen(directory: &Path, operator: &str) -> Value {
    let shown = told(directory, &["operator", "show"]).await;
    let operators = shown["operators"].as_array().unwrap();
    operators.iter().find(|one| one["operator"] == operator).cloned().unwrap_or(Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_vouched_for_takes_part_and_nothing_is_lost_with_who_is_no_more() {
    let directory = Ground::new();
    look::settings(directory.path(), SUPERNODES, look::WATCHFUL);
    let mut network = Network::start_vouched(directory.path(), SUPERNODES, STRANGER).await.unwrap();
    let first = network.supernode_directory(0);
    let key = |number: usize| network.operator_key(number).to_string_lossy().into_owned();
    let (root, stranger_key) = (key(0), key(STRANGER));
    let mut operators = Vec::new();
    for number in 0..SUPERNODES {
        let shown = told(&first, &["operator", "show", "--key", &key(number)]).await;
        operators.push(shown["operator"].as_str().unwrap().to_owned());
    }

    // The stranger runs and knows the ring, which does not know it.
    network.join_supernode(STRANGER, STRANGER).await.unwrap();
    network.wait_for_ring(STRANGER).await.unwrap();
    assert_eq!(seen(&first, &operators[STRANGER]).await, Value::Null);
    let here = first.to_string_lossy().into_owned();
    let itself = ["operator", "vouch", "--data-dir", &here, "--key", &stranger_key, &operators[STRANGER]];
    let refused = command("cosmic-supernode", &itself, None).await.unwrap_err();
    assert!(refused.to_string().contains("is not admitted"), "{refused}");

    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let mut shelf = Shelf::new(&app, "Shelf").await;
    for name in ["one.bin", "two.bin", "three.bin"] {
        shelf.store(&app, name).await;
    }
    shelf.wait_until_safe(&app).await;

    told(&first, &["operator", "vouch", "--key", &root, &operators[STRANGER]]).await;
    network.wait_for_ring(SUPERNODES).await.unwrap();
    let place = seen(&first, &operators[STRANGER]).await;
    assert_eq!((&place["rank"], &place["supernodes"]), (&json!(1), &json!(1)));

    let kept = look::shards(network.supernodes[LEAVES].as_ref().unwrap()).await;
    assert!(!kept.is_empty(), "nothing would be lost with it");
    told(&first, &["operator", "withdraw", "--key", &root, &operators[LEAVES]]).await;
    network.wait_for_ring(SUPERNODES - 1).await.unwrap();
    assert_eq!(seen(&first, &operators[LEAVES]).await, Value::Null);
    network.kill_supernode(LEAVES).await.unwrap();
    look::wait_until_whole(&network, 6).await;
    shelf.read_afresh(&network, &app).await;
    shelf.write(&app, "without-it").await.unwrap();
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}
