//! Rings that grow and shrink: what lies in the class of the ring before is coded anew, whatever dies meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_loadtest::{
    api::App,
    network::Network,
    process::{self, Process},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, living, wait},
    notes::{self, PATIENCE},
    shelf::Shelf,
};

/// Days become seconds.
const SETTINGS: &str = "[deletion]\ndelay_secs = 2\nlook_every_secs = 1\nask_every_secs = 1\n[care]\naway_after_secs = 20\noffline_after_secs = 60\nwide_after_secs = 60\nping_every_secs = 1\nwalk_every_secs = 3\nrecode_after_secs = 2\nuplink_bytes_per_sec = 1000000000\n[packs]\nlook_every_secs = 1\nidle_after_secs = 1\nidle_bytes = 1\nfree_after_secs = 1\n[moves]\nlook_every_secs = 1\n";
/// The old shards go after three seconds.
const SOON: &str = "free_after_secs = 3\n";
/// They do not go while a test lasts.
const NEVER: &str = "free_after_secs = 3600\n";
/// Codings of one object have these characters of their names in common.
const OBJECT_CHARS: usize = 48;

/// How everything is coded that the supernodes keep: the codec of each coding, and which of its shards there are.
async fn codings(network: &Network) -> BTreeMap<String, (String, BTreeSet<u64>)> {
    let mut codings: BTreeMap<String, (String, BTreeSet<u64>)> = BTreeMap::new();
    for supernode in living(network) {
        for row in look::records(supernode).await {
            let coding = row["object"].as_str().unwrap_or_default().to_owned();
            if row["table"] == "manifests" {
                codings.entry(coding).or_default().0 = row["codec"].as_str().unwrap().to_owned();
            } else if row["table"] == "shards" && row["owner"].is_null() {
                codings.entry(coding).or_default().1.insert(row["index"].as_u64().unwrap());
            }
        }
    }
    codings
}

/// Waits until all that is kept, of `least` objects at least, lies in `codec` with all its `shards`, and in no other.
async fn wait_until_all_are(network: &Network, codec: &str, shards: usize, least: usize) {
    let mut last = String::new();
    wait(&format!("everything is {codec}"), async || {
        let codings = codings(network).await;
        let is_right = |(of, kept): &(String, BTreeSet<u64>)| of == codec && kept.len() == shards;
        let wrong: BTreeMap<_, _> = codings.iter().filter(|(_, coding)| !is_right(coding)).collect();
        let wrong = format!("{wrong:?}");
        if last != wrong {
            println!("not {codec} with {shards} shards: {wrong}");
            last = wrong;
        }
        (codings.len() >= least && codings.values().all(is_right)).then_some(())
    })
    .await;
}

/// A ring of so many supernodes of those there are, and a device that keeps two files and some notes in it.
async fn begin(
    directory: &std::path::Path,
    all: usize,
    started: usize,
    survives: u64,
    moves: &str,
) -> (Network, Process, Shelf) {
    look::settings(directory, all, &format!("{SETTINGS}{moves}"));
    let network = Network::start_some(directory, all, started, all).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let mut shelf = Shelf::new(&app, "Shelf").await;
    for name in ["one.bin", "two.bin"] {
        shelf.store(&app, name).await;
        shelf.wait_until(&app, name, "durable", Some(survives)).await;
    }
    // The first waits until its log lies in a pack.
    shelf.write(&app, "packed").await.unwrap();
    let path =
        format!("{}?wait=durable&timeout_ms={}", notes::path(&shelf.space, "packed"), PATIENCE.as_millis());
    let answer = app.put(&path, &notes::value("packed")).await.unwrap();
    assert_eq!(answer["level"], json!("durable"));
    (network, writer, shelf)
}

/// Kills two replicas of the space and one that is none: somebody has to be left who knows its packs and its heads.
async fn kill_half(network: &mut Network, app: &App, space: &str) {
    let shown = app.get(&format!("spaces/{space}")).await.unwrap();
    let replicas: Vec<String> = serde_json::from_value(shown["replicas"].clone()).unwrap();
    let is_replica = |number: &usize| {
        let supernode = network.supernodes[*number].as_ref();
        supernode.is_some_and(|supernode| replicas.contains(&supernode.run().peer))
    };
    let (some, others): (Vec<usize>, Vec<usize>) = (0..network.supernodes.len()).partition(is_replica);
    for number in some.into_iter().take(2).chain(others.into_iter().take(1)) {
        network.kill_supernode(number).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_grows_codes_what_it_has_anew() {
    let directory = Ground::new();
    let (mut network, writer, mut shelf) = begin(directory.path(), 6, 4, 2, SOON).await;
    let app = App::new(&writer);
    let before = codings(&network).await;
    assert!(before.values().all(|(codec, _shards)| codec == "1 of 3"), "{before:?}");

    for number in [4, 5] {
        network.join_supernode(number, number).await.unwrap();
    }
    network.wait_for_ring(6).await.unwrap();
    wait_until_all_are(&network, "3 of 6", 6, before.len()).await;
    let mut recoded = 0;
    for supernode in living(&network) {
        let calm = |answer: &Value| {
            answer["queued"] == json!(0)
                && answer["queued_to_recode"] == json!(0)
                && answer["recoding"]["to_change"]["objects"] == json!(0)
        };
        let status =
            App::new(supernode).wait_until("care/repair", "nothing to do", PATIENCE, calm).await.unwrap();
        recoded += status["recoding"]["objects_recoded"].as_u64().unwrap();
    }
    assert!(recoded >= before.len() as u64, "{recoded} of {}", before.len());
    // The device asks again, and counts what was signed for the new shards.
    for path in ["files/one.bin", "files/two.bin", "collections/notes/documents/packed"] {
        let path = format!("spaces/{}/{path}/durability", shelf.space);
        let survives_three = |answer: &Value| answer["survives"].as_u64() >= Some(3);
        app.wait_until(&path, "survives three", PATIENCE, survives_three).await.unwrap();
    }

    // Half of them die: three copies would have been lost with their holders.
    kill_half(&mut network, &app, &shelf.space).await;
    shelf.read_afresh(&network, &app).await;
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_shrinks_for_good_takes_a_smaller_class() {
    let directory = Ground::new();
    let (mut network, writer, mut shelf) = begin(directory.path(), 6, 6, 3, SOON).await;
    let app = App::new(&writer);
    let before = codings(&network).await;
    assert!(before.values().all(|(codec, _shards)| codec == "3 of 6"), "{before:?}");

    // One retires, and waits until what it has found a place; another is dead, and told to be.
    let (leaving, dead) = (4, 5);
    let directory_of = |number: usize| network.supernode_directory(number).to_string_lossy().into_owned();
    let key_of = |number: usize| network.operator_key(number).to_string_lossy().into_owned();
    let (here, key) = (directory_of(leaving), key_of(leaving));
    let retire = ["retire", "--key", &key, "--yes", "--even-so", "--data-dir", &here];
    process::command("cosmic-supernode", &retire, None).await.unwrap();
    let (here, key) = (directory_of(0), key_of(dead));
    let peer = network.supernodes[dead].as_ref().unwrap().run().peer.clone();
    network.kill_supernode(dead).await.unwrap();
    let lost = ["operator", "lost", "--key", &key, "--peer", &peer, "--yes", "--data-dir", &here];
    process::command("cosmic-supernode", &lost, None).await.unwrap();

    let here = network.supernode_directory(leaving).to_string_lossy().into_owned();
    let waiting = ["retire", "--wait", "--data-dir", &here];
    let said = tokio::time::timeout(2 * PATIENCE, process::command("cosmic-supernode", &waiting, None));
    let said = said.await.expect("it retires within two minutes").unwrap();
    assert_eq!(said.trim(), "nothing is left here: this supernode may be stopped, and its disk wiped");
    network.supernodes[leaving].take().unwrap().stop().await.unwrap();
    wait_until_all_are(&network, "1 of 3", 3, before.len()).await;

    // Any two of the four may die now.
    for number in [1, 3] {
        network.kill_supernode(number).await.unwrap();
    }
    shelf.read_afresh(&network, &app).await;
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_while_objects_are_coded_anew_nothing_is_lost() {
    let directory = Ground::new();
    let (mut network, writer, mut shelf) = begin(directory.path(), 6, 4, 2, SOON).await;
    let app = App::new(&writer);
    for number in 0..4 {
        shelf.store(&app, &format!("more-{number}.bin")).await;
    }
    for number in 0..4 {
        shelf.wait_until(&app, &format!("more-{number}.bin"), "durable", Some(2)).await;
    }
    let before = codings(&network).await.len();
    for number in [4, 5] {
        network.join_supernode(number, number).await.unwrap();
    }
    network.wait_for_ring(6).await.unwrap();
    // Each dies once, by SIGKILL, at another point of the work: while it is coded anew, while both codings are there, while
    // the old one goes.
    let recoded = async |network: &Network| {
        let codings = codings(network).await;
        codings.values().filter(|(codec, _shards)| codec == "3 of 6").count()
    };
    wait("the first is coded anew", async || (recoded(&network).await > 0).then_some(())).await;
    for number in 0..6 {
        network.kill_supernode(number).await.unwrap();
        network.start_supernode(number).await.unwrap();
        shelf.read(&app).await;
    }
    wait_until_all_are(&network, "3 of 6", 6, before).await;
    kill_half(&mut network, &app, &shelf.space).await;
    shelf.read_afresh(&network, &app).await;
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// The chunks of a file that was removed.
async fn remove(app: &App, space: &str, name: &str) -> Vec<String> {
    let file = format!("spaces/{space}/files/{name}");
    let removed = app.request(Method::DELETE, &file).send().await.unwrap();
    assert!(removed.status().is_success(), "{removed:?}");
    let objects = app.get(&format!("{file}/deletion")).await.unwrap()["objects"].clone();
    serde_json::from_value(objects).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_gone_in_both_codings() {
    let directory = Ground::new();
    let (mut network, writer, shelf) = begin(directory.path(), 6, 4, 2, NEVER).await;
    let app = App::new(&writer);
    let before = codings(&network).await;
    for number in [4, 5] {
        network.join_supernode(number, number).await.unwrap();
    }
    network.wait_for_ring(6).await.unwrap();
    // One goes while everything is being coded anew, the other when everything lies in both classes.
    let mut removed = Vec::new();
    for name in ["one.bin", "two.bin"] {
        removed.extend(remove(&app, &shelf.space, name).await);
        wait("it is gone in all codings, and the rest lies in both", async || {
            let codings = codings(&network).await;
            let of = |object: &String| {
                let is_of = |coding: &&String| coding.get(..OBJECT_CHARS) == object.get(..OBJECT_CHARS);
                let names = codings.keys().filter(is_of);
                names.map(|name| (codings[name].0.as_str(), codings[name].1.len())).collect::<BTreeSet<_>>()
            };
            let is_right = |object: &String| {
                let gone = removed.contains(object);
                of(object) == if gone { BTreeSet::new() } else { [("1 of 3", 3), ("3 of 6", 6)].into() }
            };
            before.keys().all(is_right).then_some(())
        })
        .await;
    }
    assert_eq!(removed.len(), 4);
    for supernode in living(&network) {
        let there = look::shards(supernode).await;
        let total = App::new(supernode).get("usage").await.unwrap()["total"].clone();
        assert_eq!(total["objects"], json!(there.len()), "what is counted is what is there");
        assert_eq!(total["shards"], json!(there.values().map(BTreeSet::len).sum::<usize>()));
        let status = App::new(supernode).get("care/deletion").await.unwrap();
        assert_eq!(status["doomed"], json!([]), "{status}");
    }
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}
