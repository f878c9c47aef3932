//! Data directories that the first version wrote are opened, and nothing in them is lost.
//!
//! `golden/data-directories.v1.tar.gz` was made with the binaries of `ad324d3`: a bootstrap node, one supernode and one device,
//! a space with 20 notes, one of them edited three times, one deleted, a file of 80,000 bytes, and the note `last`. The supernode
//! was restarted after the file and killed at the end, so that rows lie in sorted files, in a blob file and in the log.
//! The device's cache of chunks was taken away: the file is in the supernode alone. Its keys are of use to nobody else.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use cosmic_common::hash;
use cosmic_loadtest::{api::App, network::Network};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look,
    notes::{self, PATIENCE},
    scrub::read_everything,
};

const DOCUMENTS: u64 = 21;
const ENTRIES: u64 = 34;
/// The hash of the file.
const PHOTO: &str = "ily7fqnkglm3wxpqtbbsaoo7pz2yg4amcgf5533ouu2rcmsf34xq";

fn unpack(directory: &Path) {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/data-directories.v1.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(golden).arg("-C").arg(directory).status().unwrap();
    assert!(unpacked.success());
}

async fn read_all(app: &App, space: &str) {
    let whole = |answer: &Value| answer["documents"] == json!(DOCUMENTS);
    app.wait_until(&format!("spaces/{space}"), "all documents", PATIENCE, whole).await.unwrap();
    for number in 1..=20 {
        let id = format!("note-{number:02}");
        let text =
            if number == 1 { "note 01, edited 3 times".to_owned() } else { format!("note {number:02}") };
        assert_eq!(app.get(&notes::path(space, &id)).await.unwrap()["value"], json!({ "text": text }));
    }
    assert_eq!(app.get(&notes::path(space, "last")).await.unwrap()["value"], json!({ "text": "the last" }));
    app.get(&notes::path(space, "gone")).await.unwrap_err();
    let read = app.download(space, "photo.bin").await.unwrap().bytes().await.unwrap();
    assert_eq!(hash::plain(&read).to_string(), PHOTO, "the file is as it was stored");
    look::wait_until_in_sync(app, space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_of_the_first_version_are_opened_whole() {
    let directory = Ground::new();
    unpack(directory.path());
    let network = Network::resume(directory.path(), 1).await.unwrap();
    let supernode = network.supernodes[0].as_ref().unwrap();
    let status = cosmic_loadtest::network::status(supernode).await.unwrap();
    assert_eq!((&status["entries"], &status["shards"]), (&json!(ENTRIES), &json!(1)));

    let device = network.start_node("device-a", &[]).await.unwrap();
    let app = App::new(&device);
    let spaces = app.get("spaces").await.unwrap();
    let space = spaces["spaces"][0]["space"].as_str().unwrap().to_owned();
    read_all(&app, &space).await;
    let ticket = app.invite(&space, "editor").await.unwrap();
    let newcomer = network.start_node("device-b", &[]).await.unwrap();
    App::new(&newcomer).join(&ticket).await.unwrap();
    read_all(&App::new(&newcomer), &space).await;

    // Old rows serve the rooms that came later: what is not packed yet is known, and everything is as its hashes say.
    let packs = look::told(supernode.directory(), &["packs", "status"]).await;
    assert!(packs["unpacked"]["entries"].as_u64() >= Some(ENTRIES - 10), "{packs}");
    let scrubbed = read_everything(supernode).await;
    assert_eq!(scrubbed["found"], json!(0), "{scrubbed}");

    // New ones are written beside them.
    notes::write_replicated(&App::new(&newcomer), &space, "new", PATIENCE).await.unwrap();
    notes::wait_for(&app, &space, &["new".to_owned()]).await;
    newcomer.stop().await.unwrap();
    device.stop().await.unwrap();
    network.stop().await.unwrap();
}
