//! Disks that fill up: the write is refused with a sentence, and nothing acknowledged is lost.
//!
//! A full disk is a small tmpfs. Where mounting is not allowed the tests say so and show nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cosmic_loadtest::{
    api::{App, Error},
    network::Network,
    process::{self, Process},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ground::Ground,
    notes::{self, PATIENCE},
};

/// Large enough for a node or a supernode that has little to do.
const DISK_BYTES: usize = 192 * 1024 * 1024;
const KIB: usize = 1024;
/// What is left free when the disk is filled up: less than any of our binaries needs for long.
const LEFT_BYTES: usize = 512 * KIB;
/// Documents of a kibibyte and more that are tried on a disk with less room than they take.
const TRIES_MAX: usize = 2000;

/// A file system of its own in memory, gone when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounted at `place`; none where that is not allowed.
    fn mount(place: &Path) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(place.to_owned()));
        }
        println!("skipped: this user may not mount a tmpfs");
        None
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it up but for a little.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = fs::File::create(self.ballast()).unwrap();
        let piece = vec![0; 64 * KIB];
        while file.write_all(&piece).is_ok() {}
        let filled = file.metadata().unwrap().len();
        file.set_len(filled - LEFT_BYTES as u64).unwrap();
    }

    /// Gives the room back.
    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, since a process may still be ending when a test fails.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("{} is still mounted", self.0.display());
        }
    }
}

/// A document of some kibibytes that cannot be compressed.
fn bulky(number: usize) -> Value {
    let text: String =
        std::iter::repeat_with(|| char::from(b'!' + rand::random::<u8>() % 90)).take(4 * KIB).collect();
    json!({ "number": number, "text": text })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_a_full_disk_refuses_writes_and_keeps_what_it_acknowledged() {
    let directory = Ground::new();
    let place = directory.path().join("node");
    let Some(disk) = Disk::mount(&place) else { return };
    let listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let node = Process::start("cosmic-node", &place, &listen).await.unwrap();
    let app = App::new(&node);
    let space = app.create_space("Full").await.unwrap();
    let mut acknowledged = Vec::new();
    write_until_refused(&app, &space, &mut acknowledged, 8).await.unwrap();
    disk.fill();
    let refused = write_until_refused(&app, &space, &mut acknowledged, TRIES_MAX).await.unwrap_err();
    says_that_it_is_full(&refused);
    let chunk = vec![7; 4 * 1024 * KIB];
    says_that_it_is_full(&app.upload(&space, "film", chunk.clone()).await.unwrap_err());
    let text = json!({ "text": "x".repeat(200 * KIB) }).to_string();
    let directory_text = place.to_string_lossy();
    let arguments = ["doc", "put", "--data-dir", &directory_text, &space, "notes", "typed", "-"];
    let typed = process::command("cosmic-node", &arguments, Some(&text)).await;
    let Err(process::Error::Ended { status, output, .. }) = typed else { panic!("{typed:?}") };
    assert_eq!(status, "exit status: 1", "{output}");
    assert!(output.contains("full") && output.lines().count() == 1, "one sentence: {output}");
    still_has(&app, &space, &acknowledged).await;
    node.kill().await.unwrap();

    disk.free();
    let node = Process::start("cosmic-node", &place, &listen).await.unwrap();
    let app = App::new(&node);
    still_has(&app, &space, &acknowledged).await;
    write_until_refused(&app, &space, &mut acknowledged, 8).await.unwrap();
    app.upload(&space, "film", chunk).await.unwrap();
    node.stop().await.unwrap();
}

/// Writes documents until one is refused, `tries` at most; what was acknowledged is added to `acknowledged`.
async fn write_until_refused(
    app: &App,
    space: &str,
    acknowledged: &mut Vec<(String, Value)>,
    tries: usize,
) -> Result<(), Error> {
    for _ in 0..tries {
        let id = format!("bulky-{}", acknowledged.len());
        let value = bulky(acknowledged.len());
        app.put(&notes::path(space, &id), &value).await?;
        acknowledged.push((id, value));
    }
    Ok(())
}

fn says_that_it_is_full(error: &Error) {
    let Error::Refused { status, body, .. } = error else { panic!("{error}") };
    assert_eq!(*status, 507, "{body}");
    assert!(body.contains("full"), "{body}");
}

async fn still_has(app: &App, space: &str, acknowledged: &[(String, Value)]) {
    for (id, value) in acknowledged {
        let answer = app.get(&notes::path(space, id)).await.unwrap();
        assert_eq!(answer.get("value"), Some(value), "{id} was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supernode_on_a_full_disk_signs_for_nothing_and_goes_on_when_there_is_room() {
    let directory = Ground::new();
    let Some(disk) = Disk::mount(&directory.path().join("supernode-0")) else { return };
    let mut network = Network::start(directory.path(), 1, 1).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let space = app.create_space("Full").await.unwrap();
    let ticket = app.invite(&space, "viewer").await.unwrap();
    notes::write_replicated(&app, &space, "before", PATIENCE).await.unwrap();
    disk.fill();
    notes::write(&app, &space, "full").await.unwrap();
    wait_for_health(&network, 503).await;
    let said = get(&network, "health").await.1;
    assert!(said.contains("full"), "{said}");
    let counted = get(&network, "metrics").await.1;
    assert!(
        counted.lines().any(|line| line
            .strip_prefix("cosmic_store_refused_batches_total{reason=\"full\"} ")
            .is_some_and(|count| count != "0")),
        "{counted}"
    );
    let level = app.get(&format!("{}/durability", notes::path(&space, "full"))).await.unwrap();
    assert_eq!(level.get("level"), Some(&json!("local")), "nobody signed for it: {level}");
    let film = vec![7; 1024 * KIB];
    app.upload(&space, "film", film.clone()).await.unwrap();
    disk.free();
    let replicated = |answer: &Value| answer.get("level") == Some(&json!("replicated"));
    let path = format!("{}/durability", notes::path(&space, "full"));
    app.wait_until(&path, "replicated once there is room", PATIENCE, replicated).await.unwrap();
    app.wait_until(&format!("spaces/{space}/files/film/durability"), "replicated", PATIENCE, replicated)
        .await
        .unwrap();
    writer.stop().await.unwrap();

    network.kill_supernode(0).await.unwrap();
    network.start_supernode(0).await.unwrap();
    let reader = network.start_node("reader", &[]).await.unwrap();
    let app = App::new(&reader);
    app.join(&ticket).await.unwrap();
    notes::wait_for(&app, &space, &["before".to_owned(), "full".to_owned()]).await;
    let path = format!("spaces/{space}/files");
    let listed =
        |answer: &Value| answer.get("files").and_then(Value::as_array).is_some_and(|files| !files.is_empty());
    app.wait_until(&path, "the file", PATIENCE, listed).await.unwrap();
    assert!(app.download(&space, "film").await.unwrap().bytes().await.unwrap() == film);
    reader.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// What the admin door of the supernode answers at `path`.
async fn get(network: &Network, path: &str) -> (u16, String) {
    let run = network.supernodes[0].as_ref().unwrap().run();
    let request = reqwest::Client::new().request(Method::GET, format!("http://{}/{path}", run.http));
    let answer = request.bearer_auth(run.token.clone().unwrap_or_default()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn wait_for_health(network: &Network, wanted: u16) {
    let waiting = async {
        while get(network, "health").await.0 != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}
