//! A space bound to a region, with real processes: nothing of it lies in any other, whatever is written, killed or repaired.

use cosmic_loadtest::{
    api::App,
    network::Network,
    process::{Process, command, command_json},
};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, wait},
    notes::PATIENCE,
    shelf::Shelf,
};

/// Seven in the region, so that there is room to repair what six have; two elsewhere.
const REGIONS: [&str; 9] = [
    "eu-north", "eu-north", "eu-north", "eu-north", "eu-north", "eu-north", "eu-north", "us-east", "us-east",
];
const OUTSIDE: [usize; 2] = [7, 8];
/// Hours become seconds.
const SETTINGS: &str = "[care]\naway_after_secs = 8\noffline_after_secs = 12\nwide_after_secs = 12\nping_every_secs = 1\nwalk_every_secs = 5\nuplink_bytes_per_sec = 1000000000\n";

/// Nothing of any space is at the supernodes that stand elsewhere: no row that a dump shows, nothing in any account.
async fn nothing_lies_outside(network: &Network, when: &str) {
    for number in OUTSIDE {
        let supernode = network.supernodes[number].as_ref().unwrap();
        let rows = look::records(supernode).await;
        assert!(rows.is_empty(), "{when}: supernode {number} stands elsewhere and has {rows:?}");
        let status = cosmic_loadtest::network::status(supernode).await.unwrap();
        for account in ["spaces", "entries", "objects", "shards", "bytes_used"] {
            assert_eq!(status[account], json!(0), "{when}: {account} of supernode {number}");
        }
    }
}

async fn space(node: &Process, id: &str) -> Value {
    App::new(node).get(&format!("spaces/{id}")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_bound_to_a_region_lies_nowhere_else() {
    let directory = Ground::new();
    look::settings(directory.path(), REGIONS.len(), SETTINGS);
    let mut network = Network::start_in(directory.path(), &REGIONS).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);

    // By the command line, as a person does.
    let data = writer.directory().to_string_lossy().into_owned();
    let create = ["space", "create", "Shelf", "--region", "eu-north", "--data-dir", &data, "--json"];
    let created = command_json("cosmic-node", &create).await.unwrap();
    let id = created["space"].as_str().unwrap().to_owned();
    let refused = ["space", "create", "Shelf", "--region", "EU North", "--data-dir", &data];
    let refused = command("cosmic-node", &refused, None).await.unwrap_err().to_string();
    assert!(refused.contains("is no name of a region"), "{refused}");
    let knows_the_ring = |answer: &Value| answer["residence"] == "coded 3 of 6 on 7 supernodes in eu-north";
    app.wait_until(&format!("spaces/{id}"), "where it lies", PATIENCE, knows_the_ring).await.unwrap();
    let shown = space(&writer, &id).await;
    assert_eq!((&shown["regions"], &shown["class"]), (&json!(["eu-north"]), &json!("3 of 6")));

    let mut shelf = Shelf::of(&app, id.clone()).await;
    shelf.write(&app, "before").await.unwrap();
    shelf.store(&app, "before.bin").await;
    shelf.wait_until_safe(&app).await;
    let inside: Vec<String> =
        network.supernodes[..7].iter().flatten().map(|supernode| supernode.run().peer.clone()).collect();
    let replicas = space(&writer, &id).await["replicas"].clone();
    assert!(replicas.as_array().unwrap().iter().all(|peer| inside.iter().any(|one| peer == one)));
    nothing_lies_outside(&network, "after writing").await;

    // A device that joins reads everything, and nothing settles where its gateway may stand.
    shelf.read_afresh(&network, &app).await;
    nothing_lies_outside(&network, "after reading").await;

    let peer_of = |number: usize| network.supernodes[number].as_ref().unwrap().run().peer.clone();
    let is_replica =
        |number: &usize| replicas.as_array().unwrap().iter().any(|peer| *peer == peer_of(*number));
    let [one, other, ..] = (0..7).filter(|number| !is_replica(number)).collect::<Vec<_>>()[..] else {
        panic!("four of seven are no replicas")
    };

    // A holder dies for good: what it had is made again in the region, where the seventh has room.
    network.kill_supernode(one).await.unwrap();
    look::wait_until_whole(&network, 2).await;
    nothing_lies_outside(&network, "after a repair").await;
    // Another: six shards have five places, and wait for room rather than leave.
    network.kill_supernode(other).await.unwrap();
    wait("what is in danger has no place", async || {
        for supernode in look::living(&network) {
            let status = App::new(supernode).get("care/repair").await.unwrap();
            let reasons = status["reasons"].as_array().unwrap();
            if reasons.iter().any(|one| one["reason"] == "no-place") {
                return Some(());
            }
        }
        None
    })
    .await;
    shelf.write(&app, "after").await.unwrap();
    shelf.store(&app, "after.bin").await;
    shelf.wait_until(&app, "after.bin", "replicated", None).await;
    shelf.read_afresh(&network, &app).await;
    nothing_lies_outside(&network, "with two dead").await;

    what_is_bound_elsewhere(&network, &writer).await;
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// The other region keeps what is bound to it, as safely as two supernodes can, and nobody keeps what nowhere can be.
async fn what_is_bound_elsewhere(network: &Network, writer: &Process) {
    let app = App::new(writer);
    let few = app.create_space_in("Few", &["us-east"]).await.unwrap();
    let shown = space(writer, &few).await;
    assert_eq!(shown["residence"], "whole copies on 2 supernodes in us-east: too few to be durable");
    let mut small = Shelf::of(&app, few).await;
    small.write(&app, "small").await.unwrap();
    let nowhere = app.create_space_in("Nowhere", &["ap-south"]).await.unwrap();
    let shown = space(writer, &nowhere).await;
    assert_eq!(
        shown["residence"],
        "no supernode stands in ap-south: nothing of the space is stored anywhere"
    );

    // The operators see it too.
    let ring = App::new(network.supernodes[7].as_ref().unwrap()).get("ring").await.unwrap();
    let regions: Vec<(&Value, &Value)> = ring["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| (&region["region"], &region["home"]))
        .collect();
    assert_eq!(regions, [(&json!("eu-north"), &json!(true)), (&json!("us-east"), &json!(false))]);
    let status = cosmic_loadtest::network::status(network.supernodes[8].as_ref().unwrap()).await.unwrap();
    assert_eq!(status["region"], "us-east");
}
