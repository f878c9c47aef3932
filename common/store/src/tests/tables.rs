//! Formats, values, checkpoints and the files behind them.

use std::fs;

use super::*;
use crate::{Span, Unreadable};

#[tokio::test]
async fn what_is_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put_note(&store, 1, "one").await.unwrap();
    let mut batch = store.batch();
    batch.put(&SEEN, &(1, 2), &()).put(&SHARDS, &7, &Bytes::from(vec![9; 1_400_000])).add(&USED, &space(), 5);
    assert!(batch.size_bytes() > 1_400_000 && !batch.is_empty());
    store.commit(batch).await.unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.get(&NOTES, &log(1)).unwrap(), Some(note("one")));
    assert_eq!(store.get(&NOTES, &log(2)).unwrap(), None);
    assert!(store.contains(&SEEN, &(1, 2)).unwrap());
    assert_eq!(store.get(&SHARDS, &7).unwrap().unwrap().len(), 1_400_000);
    assert_eq!(store.get(&USED, &space()).unwrap(), Some(5));
}

fn space() -> SpaceId {
    SpaceId::from_bytes([1; 32])
}

#[tokio::test]
async fn a_checkpoint_is_a_store_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let store = open(&here);
    let mut batch = store.batch();
    batch.put_slice(&SHARDS, &1, &[1; 100_000]).put(&NOTES, &log(1), &note("before"));
    store.commit(batch).await.unwrap();
    store.checkpoint(&there).unwrap();
    put_note(&store, 1, "after").await.unwrap();
    let copy = open(&there);
    assert_eq!(copy.get(&NOTES, &log(1)).unwrap(), Some(note("before")));
    assert_eq!(copy.get(&SHARDS, &1).unwrap().unwrap().len(), 100_000);
    assert_eq!(store.get(&NOTES, &log(1)).unwrap(), Some(note("after")));
    let blobs = fs::read_dir(&there).unwrap().filter(|file| {
        file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "blob")
    });
    assert_eq!(blobs.count(), 1, "large values of a bulk table lie in blob files");
    assert!(matches!(store.checkpoint(&there).unwrap_err(), Error::Checkpoint { .. }));
}

#[tokio::test]
async fn unknown_formats_and_tables_are_refused() {
    const NEWER: Table<LogId, Note> = Table::records("notes", 2);
    let folder = tempfile::tempdir().unwrap();
    let around = Around::new();
    let old = Schema::new().table(&NOTES);
    drop(Store::open(folder.path(), around.setup(old.clone())).unwrap());

    let error = Store::open(folder.path(), around.setup(Schema::new().table(&NEWER))).unwrap_err();
    assert!(matches!(error, Error::Format { table: "notes", found: 1, supported: 2, .. }), "{error}");
    drop(Store::open(folder.path(), around.setup(old.clone().table(&SEEN))).unwrap());
    let error = Store::open(folder.path(), around.setup(old)).unwrap_err();
    assert!(error.to_string().contains("a table seen that this build does not know"), "{error}");
}

#[test]
fn two_stores_do_not_share_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let around = Around::new();
    let _store = around.open(folder.path());
    assert!(matches!(Store::open(folder.path(), around.setup(schema())), Err(Error::Open { .. })));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Store::open(file, around.setup(schema())), Err(Error::Directory { .. })));
}

#[tokio::test]
async fn an_unreadable_value_is_an_error_and_counted() {
    const RAW: Table<LogId, Bytes> = Table::bytes("notes", 1);
    let (folder, around) = (tempfile::tempdir().unwrap(), Around::new());
    let store = around.open(folder.path());
    let mut batch = store.batch();
    batch.put_slice(&RAW, &log(1), b"not a note");
    store.commit(batch).await.unwrap();
    let error = store.get(&NOTES, &log(1)).unwrap_err();
    assert!(matches!(error, Error::Corrupt { table: "notes", source: Unreadable::Record(_) }), "{error}");
    assert_eq!(around.metric("cosmic_store_corrupt_values_total"), "1");
    let mut scan = store.scan(&NOTES, &Span::all(), 10);
    assert!(scan.next().unwrap().is_err() && scan.next().is_none(), "a scan ends at what it cannot read");
}

#[test]
#[should_panic(expected = "belongs to one table only")]
fn names_are_not_shared() {
    let _schema = Schema::new().table(&NOTES).table(&Table::<u8, Bytes>::bytes("notes", 1));
}
