//! A ring that changes: a supernode joins and gets its part, another retires and leaves nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use cosmic_loadtest::{
    api::App,
    network::Network,
    process::{Error, Process, command},
};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, wait},
    notes::{self, PATIENCE},
};

const SUPERNODES: usize = 7;
const FILES: u8 = 4;
const FILE_BYTES: usize = 3 * 1024 * 1024;
/// Hours become seconds. Moves wait three seconds instead of a day.
const SETTINGS: &str = "[care]\naway_after_secs = 20\noffline_after_secs = 30\nwide_after_secs = 30\nping_every_secs = 1\nwalk_every_secs = 5\nuplink_bytes_per_sec = 1000000000\n[moves]\nlook_every_secs = 1\nfree_after_secs = 3\ndrain_secs = 2\n";

/// Which shards of each object a supernode keeps, and how many rows of entries and logs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    shards: BTreeMap<String, BTreeSet<u64>>,
    entries: usize,
    logs: usize,
    others: usize,
}

/// What a supernode keeps, by its dump.
async fn kept(supernode: &Process) -> Kept {
    let mut kept = Kept::default();
    for row in look::records(supernode).await {
        match row["table"].as_str().unwrap() {
            "shards" if row["owner"].is_null() => {
                let object = row["object"].as_str().unwrap().to_owned();
                kept.shards.entry(object).or_default().insert(row["index"].as_u64().unwrap());
            }
            "entries" => kept.entries += 1,
            "logs" => kept.logs += 1,
            _other => kept.others += 1,
        }
    }
    kept
}

fn name(number: u8) -> String {
    format!("film-{number}.bin")
}

fn content(number: u8) -> Vec<u8> {
    (0_u8..251).cycle().take(FILE_BYTES).map(|place| number.wrapping_add(place)).collect()
}

/// Supernodes of which one may not be in the ring yet, and a device whose files and notes they keep.
struct Cluster {
    network: Network,
    writer: Process,
    space: String,
    notes: Vec<String>,
    _directory: Ground,
}

impl Cluster {
    async fn start(started: usize) -> Self {
        let directory = Ground::new();
        look::settings(directory.path(), SUPERNODES, SETTINGS);
        let network = Network::start_some(directory.path(), SUPERNODES, started, SUPERNODES).await.unwrap();
        let writer = network.start_node("writer", &[]).await.unwrap();
        let app = App::new(&writer);
        let space = app.create_space("Films").await.unwrap();
        let durable = |answer: &Value| answer.get("survives").and_then(Value::as_u64) >= Some(3);
        for number in 0..FILES {
            app.upload(&space, &name(number), content(number)).await.unwrap();
            let path = format!("spaces/{space}/files/{}/durability", name(number));
            app.wait_until(&path, "durable, survives 3", PATIENCE, durable).await.unwrap();
        }
        let mut cluster = Self { network, writer, space, notes: Vec::new(), _directory: directory };
        cluster.write("before").await;
        cluster
    }

    /// Writes notes, each of which two replicas have signed for.
    async fn write(&mut self, when: &str) {
        let app = App::new(&self.writer);
        for number in 0..20 {
            let id = format!("{when}-{number}");
            notes::write_replicated(&app, &self.space, &id, PATIENCE).await.unwrap();
            self.notes.push(id);
        }
    }

    fn supernode(&self, number: usize) -> &Process {
        self.network.supernodes[number].as_ref().unwrap()
    }

    /// Runs a command of the supernode's command line on the directory of supernode `number`.
    async fn command(&self, number: usize, words: &[&str]) -> Result<String, Error> {
        let data = self.network.supernode_directory(number).to_string_lossy().into_owned();
        let words = [words, &["--data-dir", &data]].concat();
        let done = tokio::time::timeout(2 * PATIENCE, command("cosmic-supernode", &words, None));
        done.await.unwrap_or_else(|_late| panic!("{words:?} did not end within two minutes"))
    }

    /// How often each shard of each object is kept.
    async fn copies(&self) -> BTreeMap<(String, u64), usize> {
        let mut copies = BTreeMap::new();
        for supernode in self.network.supernodes.iter().flatten() {
            for (object, indices) in kept(supernode).await.shards {
                for index in indices {
                    *copies.entry((object.clone(), index)).or_default() += 1;
                }
            }
        }
        copies
    }

    /// Whether every shard of every object, packs of notes among them, is kept once.
    async fn is_settled(&self) -> bool {
        let copies = self.copies().await;
        let objects: BTreeSet<&String> = copies.keys().map(|(object, _index)| object).collect();
        objects.len() >= usize::from(FILES)
            && copies.len() == 6 * objects.len()
            && copies.values().all(|count| *count == 1)
    }

    /// Everything reads, on a device that never was here before.
    async fn read_all(&self) {
        let reader = self.network.start_node("reader", &[]).await.unwrap();
        let (app, other) = (App::new(&self.writer), App::new(&reader));
        other.join(&app.invite(&self.space, "viewer").await.unwrap()).await.unwrap();
        notes::wait_for(&other, &self.space, &self.notes).await;
        for number in 0..FILES {
            let listed = |answer: &Value| {
                let files = answer.get("files").and_then(Value::as_array);
                files.is_some_and(|files| files.iter().any(|file| file["name"] == json!(name(number))))
            };
            let path = format!("spaces/{}/files", self.space);
            other.wait_until(&path, "the file", PATIENCE, listed).await.unwrap();
            let read = other.download(&self.space, &name(number)).await.unwrap().bytes().await.unwrap();
            assert!(read == content(number), "{} is read as it was stored", name(number));
        }
        reader.stop().await.unwrap();
    }

    async fn stop(self) {
        self.writer.stop().await.unwrap();
        self.network.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_its_part_and_who_retires_leaves_nothing() {
    // The seventh gets a part of the objects, and what it got is freed where it was.
    let newcomer = SUPERNODES - 1;
    let mut cluster = Cluster::start(newcomer).await;
    cluster.network.join_supernode(newcomer, newcomer).await.unwrap();
    cluster.network.wait_for_ring(SUPERNODES).await.unwrap();
    wait("the newcomer has its part, and every shard is kept once", async || {
        let part = kept(cluster.supernode(newcomer)).await.shards.len();
        (part > 0 && cluster.is_settled().await).then_some(())
    })
    .await;

    // One that keeps shards and entries retires, and the space goes on meanwhile.
    let mut leaving = None;
    for number in 0..newcomer {
        let kept = kept(cluster.supernode(number)).await;
        if kept.entries > 0 && !kept.shards.is_empty() {
            leaving = Some(number);
        }
    }
    let leaving = leaving.expect("a replica of the space keeps shards as well");
    let key = cluster.network.operator_key(leaving).to_string_lossy().into_owned();
    let refused = cluster.command(leaving, &["retire", "--key", &key]).await.unwrap_err();
    assert!(refused.to_string().contains("--yes"), "{refused}");
    cluster.command(leaving, &["retire", "--key", &key, "--yes"]).await.unwrap();
    cluster.write("meanwhile").await;
    let said = cluster.command(leaving, &["retire", "--wait"]).await.unwrap();
    assert_eq!(said.trim(), "nothing is left here: this supernode may be stopped, and its disk wiped");
    assert_eq!(kept(cluster.supernode(leaving)).await, Kept::default(), "nothing is left, whatever it is");
    let door = App::new(cluster.supernode(leaving));
    assert_eq!(door.metric("cosmic_retire_stage").await.unwrap(), 4);
    cluster.network.supernodes[leaving].take().unwrap().stop().await.unwrap();
    fs::remove_dir_all(cluster.network.supernode_directory(leaving)).unwrap();

    assert!(cluster.is_settled().await, "all of it is with the others: {:?}", cluster.copies().await);
    cluster.read_all().await;
    // The ring is as small as its objects allow: another one that left would leave shards without a place.
    let next = (leaving + 1) % SUPERNODES;
    let key = cluster.network.operator_key(next).to_string_lossy().into_owned();
    let refused = cluster.command(next, &["retire", "--key", &key, "--yes"]).await.unwrap_err();
    assert!(refused.to_string().contains("bring another supernode in first"), "{refused}");
    cluster.stop().await;
}

async fn weight_as_seen_by(supernode: &Process, of: &Process) -> Option<u64> {
    let ring = App::new(supernode).get("ring").await.unwrap();
    let members = ring["members"].as_array().unwrap();
    members.iter().find(|member| member["peer"] == json!(of.run().peer))?["weight"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_weight_is_planned_applied_and_taken_back() {
    let cluster = Cluster::start(SUPERNODES).await;
    let heavy = 2;
    let key = cluster.network.operator_key(heavy).to_string_lossy().into_owned();
    let plan = cluster.command(heavy, &["ring", "plan", "--weight", "8", "--json"]).await.unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let own = &plan["members"][cluster.supernode(heavy).run().peer.as_str()];
    assert!(own["incoming"].as_u64() > Some(0) && own["outgoing"].as_u64() == Some(0), "{plan}");
    let wish = ["ring", "apply", "--weight", "8", "--key", &key];
    let refused = cluster.command(heavy, &wish).await.unwrap_err().to_string();
    assert!(refused.contains("--yes") && refused.contains("bytes"), "{refused}");
    assert_eq!(weight_as_seen_by(cluster.supernode(0), cluster.supernode(heavy)).await, Some(1));
    cluster.command(heavy, &[&wish[..], &["--yes"]].concat()).await.unwrap();
    let seen = async |weight: u64| {
        let seen = weight_as_seen_by(cluster.supernode(0), cluster.supernode(heavy)).await;
        (seen == Some(weight)).then_some(())
    };
    wait("others know the weight", async || seen(8).await).await;
    cluster.command(heavy, &["ring", "revert", "--key", &key]).await.unwrap();
    wait("others know that it was taken back", async || seen(1).await).await;
    wait("every shard is kept once", async || cluster.is_settled().await.then_some(())).await;
    cluster.read_all().await;
    cluster.stop().await;
}

async fn sessions(supernode: &Process) -> u64 {
    App::new(supernode).get("retire").await.unwrap()["sessions"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_drained_sends_devices_elsewhere_and_keeps_what_it_has() {
    let mut cluster = Cluster::start(SUPERNODES).await;
    let gateway = wait("the device is connected", async || {
        for number in 0..SUPERNODES {
            if sessions(cluster.supernode(number)).await > 0 {
                return Some(number);
            }
        }
        None
    })
    .await;
    let before = kept(cluster.supernode(gateway)).await;
    let said = cluster.command(gateway, &["drain", "--wait"]).await.unwrap();
    assert_eq!(said.trim(), "no device is here any more; what is kept stays");
    cluster.write("drained").await;
    assert_eq!(sessions(cluster.supernode(gateway)).await, 0, "it takes no new ones");
    assert_eq!(kept(cluster.supernode(gateway)).await.shards, before.shards);
    cluster.command(gateway, &["drain", "--resume"]).await.unwrap();
    assert_eq!(App::new(cluster.supernode(gateway)).metric("cosmic_retire_stage").await.unwrap(), 0);
    cluster.stop().await;
}
