//! What becomes of the chunks of files that are replaced or removed: nobody claims them any more, unless another file does.

use std::collections::BTreeSet;

use cosmic_common::id::{EntryId, Hash, ObjectId, SpaceId};
use cosmic_log::{entry::Entry, kind::Kind};
use cosmic_seal::chunk::ChunkReference;
use cosmic_space::rights::Role;
use rusqlite::params;

use super::rows::{self, NewChunk};
use crate::{content::FileBody, error::Error, testing::TestDevice};

fn chunk(n: u8) -> ChunkReference {
    ChunkReference { object: ObjectId::from_bytes([n; 32]), content: Hash::from_bytes([n; 32]), length: 10 }
}

fn body(name: &str, chunks: &[u8]) -> FileBody {
    let chunks: Vec<_> = chunks.iter().map(|n| chunk(*n)).collect();
    FileBody { name: name.to_owned(), bytes: 10, media_type: None, chunks, removed: false }
}

async fn put(device: &TestDevice, space: SpaceId, name: &'static str, chunks: &'static [u8]) {
    let new: Vec<_> = chunks.iter().map(|n| NewChunk { reference: chunk(*n), sealed_bytes: 26 }).collect();
    device
        .write(move |core, connection| core.put_file(connection, &space, &body(name, chunks), &new))
        .await
        .unwrap();
}

async fn remove(device: &TestDevice, space: SpaceId, name: &'static str) {
    device
        .write(move |core, connection| {
            let body = FileBody { removed: true, ..rows::find(connection, &space, name)?.body };
            core.put_file(connection, &space, &body, &[])
        })
        .await
        .unwrap();
}

/// The objects that entries here claim, by the clear fields alone, as a supernode sees it.
async fn claimed(device: &TestDevice, space: SpaceId) -> BTreeSet<ObjectId> {
    let runs = device.runs(space).await;
    let entries: Vec<Entry> =
        runs.iter().flat_map(|run| &run.frames).map(|frame| Entry::from_bytes(frame).unwrap()).collect();
    let targets: BTreeSet<EntryId> =
        entries.iter().flat_map(|entry| entry.core().targets.iter().copied()).collect();
    let tombstones = entries.iter().filter(|entry| entry.core().kind == Kind::Tombstone);
    assert!(tombstones.clone().all(|entry| entry.body() == Some(&[])));
    let claiming = entries.iter().filter(|entry| !targets.contains(&entry.id()));
    claiming.flat_map(|entry| entry.core().objects.iter().copied()).collect()
}

fn objects(numbers: &[u8]) -> BTreeSet<ObjectId> {
    numbers.iter().map(|n| chunk(*n).object).collect()
}

/// Makes an object as durable as the network can, as far as this device knows.
async fn uploaded(device: &TestDevice, n: u8) {
    let object = chunk(n).object;
    device
        .write(move |_core, connection| {
            connection.execute("UPDATE objects SET durable = 1 WHERE object = ?1", [object.as_bytes()])?;
            let receipt = params![object.as_bytes(), [1_u8; 32].as_slice(), [1_u8].as_slice()];
            let insert = "INSERT INTO shard_receipts (object, shard, holder, signed) VALUES (?1, 0, ?2, ?3)";
            connection.execute(insert, receipt)?;
            Ok(())
        })
        .await
        .unwrap();
}

/// Whether an object is this device's to upload, whether it is durable, and how many receipts there are for it.
async fn row(device: &TestDevice, n: u8) -> (bool, bool, u64) {
    let object = chunk(n).object;
    let reading = device.database.read(move |connection| {
        let sql = "SELECT mine, durable, (SELECT count(*) FROM shard_receipts WHERE object = ?1) FROM objects WHERE object = ?1";
        Ok::<_, Error>(connection.query_row(sql, [object.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?)
    });
    reading.await.unwrap()
}

#[tokio::test]
async fn a_replaced_and_a_removed_file_claim_nothing() {
    let device = TestDevice::new(1);
    let space = device.create_space().await;
    put(&device, space, "a", &[1, 2]).await;
    assert_eq!(claimed(&device, space).await, objects(&[1, 2]));
    uploaded(&device, 1).await;
    uploaded(&device, 2).await;
    put(&device, space, "a", &[2, 3]).await;
    assert_eq!(claimed(&device, space).await, objects(&[2, 3]));
    assert_eq!(
        row(&device, 1).await,
        (false, false, 0),
        "what nobody needs is not uploaded, and its receipts are void"
    );
    assert_eq!(row(&device, 2).await, (true, true, 1));
    remove(&device, space, "a").await;
    assert_eq!(claimed(&device, space).await, objects(&[]));
    let gone = device.database.read(move |connection| rows::removed_chunks(connection, &space, "a")).await;
    assert_eq!(
        gone.unwrap().into_iter().collect::<BTreeSet<_>>(),
        objects(&[2, 3]),
        "one can ask what became of them"
    );
    put(&device, space, "a", &[2]).await;
    assert_eq!(row(&device, 2).await, (true, false, 0), "stored again it is uploaded again");
    let there = device.database.read(move |connection| rows::removed_chunks(connection, &space, "a")).await;
    assert!(matches!(there, Err(Error::NoFile { .. })));
}

#[tokio::test]
async fn a_chunk_that_another_file_needs_stays_and_is_offered_again() {
    let device = TestDevice::new(1);
    let space = device.create_space().await;
    put(&device, space, "a", &[1, 2]).await;
    put(&device, space, "b", &[2]).await;
    uploaded(&device, 2).await;
    remove(&device, space, "a").await;
    assert_eq!(claimed(&device, space).await, objects(&[2]));
    assert_eq!(row(&device, 2).await, (true, false, 1));
    let gone = device.database.read(move |connection| rows::removed_chunks(connection, &space, "a")).await;
    assert_eq!(gone.unwrap(), [chunk(1).object]);
}

#[tokio::test]
async fn of_two_that_were_stored_apart_the_loser_claims_nothing() {
    let (a, b) = (TestDevice::new(1), TestDevice::new(2));
    let space = a.create_space().await;
    b.join(a.invite(space, Role::Editor).await).await;
    b.pull(space, &a).await;
    put(&a, space, "a", &[1]).await;
    put(&b, space, "a", &[2]).await;
    for _ in 0..2 {
        a.pull(space, &b).await;
        b.pull(space, &a).await;
    }
    let chunks = async |device: &TestDevice| {
        let found = device.database.read(move |connection| rows::find(connection, &space, "a")).await;
        found.unwrap().body.chunks
    };
    let stands = chunks(&a).await;
    assert_eq!(chunks(&b).await, stands);
    let standing: BTreeSet<ObjectId> = stands.iter().map(|chunk| chunk.object).collect();
    assert_eq!((claimed(&a, space).await, claimed(&b, space).await), (standing.clone(), standing));
    remove(&b, space, "a").await;
    a.pull(space, &b).await;
    assert_eq!(claimed(&a, space).await, objects(&[]), "who may write may remove what another wrote");
}
