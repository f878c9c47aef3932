//! The cold tier on a real S3 server: shards go there and are read from there, whatever happens to the server or to us.

use std::{fs, path::Path};

use cosmic_loadtest::{
    api::{App, Error},
    demo,
    network::{self, Network},
    process::Process,
};
use reqwest::Method;
use serde_json::Value;

use super::{ground::Ground, look, notes::PATIENCE, s3::Server};

/// As many as an object has shards: each supernode keeps one of each chunk.
const SUPERNODES: usize = 6;
const FILE_BYTES: u64 = 9 * 1024 * 1024;
const NAME: &str = "film.bin";
/// What a supernode may have written or freed besides, while its shards went.
const SLACK_BYTES: u64 = 16 * 1024;
/// How often a supernode is killed while it moves shards.
const KILLS: usize = 4;

struct Cluster {
    network: Network,
    space: String,
    ticket: String,
    content: Vec<u8>,
    /// The replicas of the space: as long as they run, its entries are there.
    replicas: Vec<usize>,
    others: Vec<usize>,
}

impl Cluster {
    /// Six supernodes without a cold tier, and a file that is durable, whose device has left.
    async fn start(directory: &Path) -> Self {
        let network = Network::start(directory, SUPERNODES, SUPERNODES).await.unwrap();
        let writer = network.start_node("writer", &[]).await.unwrap();
        let app = App::new(&writer);
        let space = app.create_space("Films").await.unwrap();
        let source = directory.join("source.bin");
        demo::random_file(&source, FILE_BYTES, 3).unwrap();
        let content = fs::read(source).unwrap();
        app.upload(&space, NAME, content.clone()).await.unwrap();
        let durable = |answer: &Value| answer.get("survives").and_then(Value::as_u64) >= Some(3);
        let path = format!("spaces/{space}/files/{NAME}/durability");
        app.wait_until(&path, "durable, survives 3", PATIENCE, durable).await.unwrap();
        let ticket = app.invite(&space, "viewer").await.unwrap();
        writer.stop().await.unwrap();
        let (mut replicas, mut others) = (Vec::new(), Vec::new());
        for (number, supernode) in network.supernodes.iter().enumerate() {
            let status = network::status(supernode.as_ref().unwrap()).await.unwrap();
            let side = if self::number(&status, "entries") > 0 { &mut replicas } else { &mut others };
            side.push(number);
        }
        assert_eq!((replicas.len(), others.len()), (3, 3), "three keep the entries");
        Self { network, space, ticket, content, replicas, others }
    }

    fn supernode(&self, number: usize) -> &Process {
        self.network.supernodes[number].as_ref().unwrap()
    }

    /// Starts a supernode again with these settings.
    async fn restart(&mut self, number: usize, settings: &str) {
        self.network.supernodes[number].take().unwrap().stop().await.unwrap();
        let home = self.network.supernode_directory(number);
        fs::write(home.join("supernode.toml"), settings).unwrap();
        self.network.start_supernode(number).await.unwrap();
    }

    /// Downloads the file with a device that has nothing of it.
    async fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let reader = self.network.start_node(name, &[]).await.unwrap();
        let app = App::new(&reader);
        app.join(&self.ticket).await.unwrap();
        let listed = |answer: &Value| {
            answer.get("files").and_then(Value::as_array).is_some_and(|files| !files.is_empty())
        };
        app.wait_until(&format!("spaces/{}/files", self.space), "the file", PATIENCE, listed).await.unwrap();
        let read = match app.download(&self.space, NAME).await {
            Ok(answer) => Ok(answer.bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default()),
            Err(error) => Err(error),
        };
        reader.stop().await.unwrap();
        read
    }
}

async fn cold(supernode: &Process, act: &str) -> Value {
    look::told(supernode.directory(), &["cold", act]).await
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_else(|| panic!("{field} in {value}"))
}

async fn wait<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    look::wait_within(PATIENCE, what, probe).await
}

/// How many bytes of shards, entries and the rest a supernode has on its own disk, by a dump of all of them.
async fn bytes_here(supernode: &Process) -> usize {
    let request = App::new(supernode).request(Method::GET, "dump/raw");
    request.send().await.unwrap().bytes().await.unwrap().len()
}

/// Waits until all shards of a supernode are in the store.
async fn all_cold(supernode: &Process) -> Value {
    wait("all shards are cold", async || {
        let status = network::status(supernode).await?;
        let shards = number(&status, "shards");
        (shards > 0 && number(status.get("cold")?, "shards") == shards).then_some(status)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_on_an_s3_server_are_read_and_survive_its_absence() {
    let directory = Ground::new();
    let Some(mut server) = Server::start(&directory.path().join("s3")).await else { return };
    let mut cluster = Cluster::start(directory.path()).await;
    let settings = server.settings(directory.path());

    // Half of the supernodes move their shards.
    let (mut moved, mut moved_bytes) = (0, 0);
    for victim in cluster.replicas.clone() {
        let before = bytes_here(cluster.supernode(victim)).await;
        cluster.restart(victim, &settings).await;
        let status = all_cold(cluster.supernode(victim)).await;
        let cold = status.get("cold").unwrap();
        let (shards, bytes) = (number(cold, "shards"), number(cold, "shard_bytes"));
        assert!(shards >= 3 && bytes > FILE_BYTES / 3, "{status}");
        let after = bytes_here(cluster.supernode(victim)).await;
        let gone = u64::try_from(before - after).unwrap();
        assert!(gone.abs_diff(bytes) < SLACK_BYTES, "{gone} of {bytes} bytes are not here any more");
        assert_eq!(number(cold, "hot_bytes"), number(&status, "bytes_used") - bytes);
        (moved, moved_bytes) = (moved + shards, moved_bytes + bytes);
    }
    let there = server.shards();
    assert_eq!((there.len() as u64, there.iter().sum::<u64>()), (moved, moved_bytes));
    println!("{moved} shards of {moved_bytes} bytes lie on the server");

    // Only those who have them there are left: any three of six make the file.
    for hot in cluster.others.clone() {
        cluster.network.kill_supernode(hot).await.unwrap();
    }
    assert!(cluster.read("from-the-server").await.unwrap() == cluster.content, "byte for byte");

    // The server goes: with the three that are hot the file is read, with fewer it is refused with a sentence.
    server.stop().await;
    let refused = cluster.read("from-nobody").await.unwrap_err();
    println!("without the server: {refused}");
    assert!(matches!(refused, Error::Refused { status: 503 | 504, .. }), "{refused}");
    let away = cold(cluster.supernode(cluster.replicas[0]), "status").await;
    assert_eq!(away.get("state").and_then(Value::as_str), Some("away"), "{away}");
    assert!(away.get("why").and_then(Value::as_str).is_some_and(|why| !why.is_empty()), "{away}");
    for hot in cluster.others.clone() {
        cluster.network.start_supernode(hot).await.unwrap();
    }
    assert!(cluster.read("from-the-others").await.unwrap() == cluster.content, "others serve");

    // It comes back, and everything comes home.
    server.start_again().await;
    for victim in cluster.replicas.clone() {
        cold(cluster.supernode(victim), "thaw").await;
    }
    for victim in cluster.replicas.clone() {
        let status = wait("everything is back", async || {
            let status = cold(cluster.supernode(victim), "status").await;
            (number(&status, "shards") == 0 && number(&status, "discards") == 0).then_some(status)
        })
        .await;
        assert_eq!(number(&status, "damaged"), 0, "{status}");
    }
    assert_eq!(server.shards(), Vec::<u64>::new(), "nothing is left on the server");
    for hot in cluster.others.clone() {
        cluster.network.kill_supernode(hot).await.unwrap();
    }
    server.stop().await;
    assert!(cluster.read("from-home").await.unwrap() == cluster.content, "byte for byte");
    for victim in cluster.replicas.clone() {
        let log = cluster.network.supernode_directory(victim).with_extension("log");
        assert!(!server.is_told_in(&log), "a secret stands in a log");
    }
    cluster.network.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supernode_killed_while_it_moves_shards_loses_none_and_leaves_none_behind() {
    let directory = Ground::new();
    let Some(server) = Server::start(&directory.path().join("s3")).await else { return };
    let mut cluster = Cluster::start(directory.path()).await;
    let victim = cluster.replicas[0];
    let settings = server.settings(directory.path());
    let kept = number(&network::status(cluster.supernode(victim)).await.unwrap(), "shards");
    // One shard after the other goes, and each kill comes a little later on its way.
    let slow = format!("{settings}bytes_per_second_max = 8000000\n");
    for kill in 0..KILLS {
        let (act, end) = if kill % 2 == 0 { ("resume", kept) } else { ("thaw", 0) };
        cluster.restart(victim, &slow).await;
        let before = server.shards().len();
        cold(cluster.supernode(victim), act).await;
        // What was begun before the last kill goes on after it, and may have left nothing to do.
        wait("something moves", async || {
            let moved = server.shards().len() != before;
            let status = cold(cluster.supernode(victim), "status").await;
            (moved || number(&status, "shards") == end).then_some(())
        })
        .await;
        cluster.network.kill_supernode(victim).await.unwrap();
        cluster.network.start_supernode(victim).await.unwrap();
    }
    cluster.restart(victim, &settings).await;
    cold(cluster.supernode(victim), "resume").await;
    let status = all_cold(cluster.supernode(victim)).await;
    assert_eq!(number(&status, "shards"), kept, "none is lost");
    wait("what no shard leads to is deleted", async || (server.shards().len() as u64 == kept).then_some(()))
        .await;
    // Its own part is needed: three others are away.
    for away in cluster.others.clone() {
        cluster.network.kill_supernode(away).await.unwrap();
    }
    assert!(cluster.read("reader").await.unwrap() == cluster.content, "byte for byte");
    cluster.network.stop().await.unwrap();
}
