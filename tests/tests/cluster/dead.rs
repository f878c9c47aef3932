//! Half of the ring dead for good, told to the ring and replaced: the way of `docs/operations.md`, command by command.

use std::path::Path;

use cosmic_loadtest::{
    api::{App, Error},
    network::Network,
    process::{self, Process},
};
use futures::future::try_join_all;
use serde_json::json;

use super::{
    ground::Ground,
    look::{self, living, told, wait},
    shelf::Shelf,
};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;
/// A zone, and one of another: of every space one replica lives, of every object as many shards as it takes.
const DEAD: [usize; 3] = [0, 3, 1];
/// Hours become seconds.
const SETTINGS: &str = "[care]\naway_after_secs = 8\noffline_after_secs = 12\nwide_after_secs = 12\nping_every_secs = 1\nwalk_every_secs = 5\n";

/// What the ring says of `peer`, as a living supernode shows it.
async fn state_of(directory: &Path, peer: &str) -> String {
    let shown = told(directory, &["ring", "show"]).await;
    let members = shown["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["peer"] == peer).unwrap();
    member["state"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_ring_dead_for_good_loses_nothing_and_is_replaced() {
    let directory = Ground::new();
    look::settings(directory.path(), 2 * SUPERNODES, SETTINGS);
    let mut network = Network::start(directory.path(), SUPERNODES, ZONES).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let mut shelf = Shelf::new(&app, "Shelf").await;
    shelf.store(&app, "before.bin").await;
    shelf.wait_until_safe(&app).await;

    let dead: Vec<Process> = DEAD.iter().filter_map(|number| network.supernodes[*number].take()).collect();
    let peers: Vec<String> = dead.iter().map(|supernode| supernode.run().peer.clone()).collect();
    try_join_all(dead.into_iter().map(Process::kill)).await.unwrap();
    shelf.read_afresh(&network, &app).await;
    // Writes are safe on the device and taken by a gateway; that they are as safe as usual nobody says.
    shelf.write_accepted(&app, "among-the-dead").await;
    shelf.store(&app, "among-the-dead.bin").await;
    shelf.wait_until(&app, "among-the-dead.bin", "accepted", None).await;
    shelf.read_afresh(&network, &app).await;

    // The ring waits for room: each who is left has a shard of everything already. Whose turn an object is says so.
    let left = [2, 4, 5].map(|number| network.supernode_directory(number));
    wait("what is in danger has no place", async || {
        for alive in &left {
            let status = told(alive, &["repair", "status"]).await;
            let reasons = status["reasons"].as_array().unwrap();
            if reasons.iter().any(|one| one["reason"] == "no-place") {
                return Some(());
            }
        }
        None
    })
    .await;
    let [alive, ..] = left;

    for (number, peer) in DEAD.iter().zip(&peers) {
        let key = network.operator_key(*number).to_string_lossy().into_owned();
        told(&alive, &["operator", "lost", "--key", &key, "--peer", peer, "--yes"]).await;
        assert_eq!(state_of(&alive, peer).await, "lost");
    }
    network.wait_for_ring(SUPERNODES - DEAD.len()).await.unwrap();
    // Three are a ring of their own: what is written now is as safe as three copies are.
    shelf.write(&app, "three-are-left").await.unwrap();
    shelf.read_afresh(&network, &app).await;

    for number in DEAD {
        let added = network.add_supernode(number, number % ZONES).await.unwrap();
        println!("{added} replaces {number}");
    }
    network.wait_for_ring(SUPERNODES).await.unwrap();
    look::wait_until_whole(&network, 2).await;
    shelf.write(&app, "six-again").await.unwrap();
    shelf.store(&app, "six-again.bin").await;
    shelf.wait_until(&app, "six-again.bin", "durable", Some(3)).await;
    look::wait_until_replicas_agree(&network, &app, &shelf.space).await;

    // As safe as it was: any three may die again, also those that came through.
    for number in [2, 4, 5] {
        network.kill_supernode(number).await.unwrap();
    }
    assert_eq!(living(&network).count(), SUPERNODES - DEAD.len());
    shelf.read_afresh(&network, &app).await;
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// Which answers a supernode gives to who may not speak for another.
#[tokio::test(flavor = "multi_thread")]
async fn only_its_operator_says_that_a_supernode_is_lost() {
    let directory = Ground::new();
    let network = Network::start(directory.path(), 2, 2).await.unwrap();
    let here = network.supernode_directory(0).to_string_lossy().into_owned();
    let other = network.supernodes[1].as_ref().unwrap().run().peer.clone();
    for (operator, peer, words) in
        [(0, other.as_str(), "another operator runs that supernode"), (1, "nobody", "invalid value")]
    {
        let key = network.operator_key(operator).to_string_lossy().into_owned();
        let lost = ["operator", "lost", "--key", &key, "--peer", peer, "--yes", "--data-dir", &here];
        let refused = process::command("cosmic-supernode", &lost, None).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let app = App::new(network.supernodes[0].as_ref().unwrap());
    let unknown = app.get("member/nobody").await.unwrap_err();
    assert!(matches!(unknown, Error::Refused { status: 404, .. }), "{unknown}");
    let before = app.get("ring").await.unwrap();
    assert!(before["members"].as_array().unwrap().iter().all(|member| member["state"] == json!("active")));
    network.stop().await.unwrap();
}
