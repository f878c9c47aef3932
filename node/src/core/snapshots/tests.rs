//! Two devices edit, one writes a snapshot, the other vouches for it, and a third reads without the bodies.

use std::collections::BTreeSet;

use cosmic_common::{
    id::{EntryId, LogId, SpaceId},
    record::Record as _,
};
use cosmic_log::{entry::Entry, kind::Kind};
use cosmic_space::{genesis::membership_channel, record::AcknowledgementRecord, rights::Role};
use rusqlite::params;
use serde_json::{Value, json};

use super::writing::GROWN_MIN;
use crate::{
    content::{Said, SnapshotBody},
    core::{append::NewEntry, ingest::Run},
    documents::store::{Change, Place},
    error::Error,
    testing::{NOTES, TestDevice},
};

const DOCUMENTS: [&str; 4] = ["one", "two", "three", "four"];

/// What somebody types: a page of words, of which each edit changes one.
fn text(edit: u64) -> Value {
    const WORDS: u64 = 120;
    let (document, edit) = (edit % 4, edit / 4);
    let word = |place: u64| {
        let changes = edit / WORDS + u64::from(place <= edit % WORDS);
        format!(
            "{:05x}",
            (document * 1000 + place + changes * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44
        )
    };
    json!({"text": (0..WORDS).map(word).collect::<Vec<_>>().join(" ")})
}

/// Edits documents so many times, each edit in an entry of its own.
async fn edit(device: &TestDevice, space: SpaceId, edits: std::ops::Range<u64>) {
    device
        .write(move |core, connection| {
            for number in edits {
                let document = DOCUMENTS[usize::try_from(number % 4).unwrap()];
                let place = Place { space: &space, collection: NOTES, document };
                core.change_document(connection, place, &Change::Put(text(number)), None)?;
                core.seal_all(connection, &space)?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

async fn all_values(device: &TestDevice, space: SpaceId) -> Vec<Option<Value>> {
    let mut values = Vec::new();
    for document in DOCUMENTS {
        values.push(device.value(space, document).await);
    }
    values
}

fn entries(runs: &[Run]) -> impl Iterator<Item = Entry> {
    runs.iter().flat_map(|run| &run.frames).map(|frame| Entry::from_bytes(frame).unwrap())
}

fn snapshots(runs: &[Run]) -> Vec<Entry> {
    entries(runs).filter(|entry| entry.core().kind == Kind::Snapshot).collect()
}

fn acknowledged(runs: &[Run]) -> Vec<EntryId> {
    entries(runs).flat_map(|entry| AcknowledgementRecord::of(&entry)).collect()
}

/// What replicas give once the bodies of all covered entries are gone.
fn thinned(mut runs: Vec<Run>) -> Vec<Run> {
    let covered: Vec<EntryId> =
        snapshots(&runs).iter().flat_map(|entry| entry.core().covers.clone()).collect();
    assert!(!covered.is_empty());
    for frame in runs.iter_mut().flat_map(|run| &mut run.frames) {
        let entry = Entry::from_bytes(frame).unwrap();
        if covered.contains(&entry.id()) {
            *frame = entry.without_body().into_bytes();
        }
    }
    runs
}

/// Takes these in, one after the other, until nothing is new.
async fn take(device: &TestDevice, space: SpaceId, runs: &[Run]) {
    loop {
        let mut stored = 0;
        for run in runs {
            let run = run.clone();
            stored += device
                .write(move |core, connection| Ok(core.ingest(connection, &space, &[run])?.stored))
                .await
                .unwrap();
        }
        if stored == 0 {
            return;
        }
    }
}

/// A founder, and an editor who has joined.
async fn pair() -> (TestDevice, TestDevice, SpaceId) {
    let (a, b) = (TestDevice::new(1), TestDevice::new(2));
    let space = a.create_space().await;
    b.join(a.invite(space, Role::Editor).await).await;
    b.pull(space, &a).await;
    a.pull(space, &b).await;
    (a, b, space)
}

async fn waiting(device: &TestDevice, space: SpaceId) -> u64 {
    let count =
        "SELECT count(*) FROM entries JOIN logs ON logs.log = entries.log WHERE applied = 0 AND space = ?1";
    device
        .database
        .read(move |connection| {
            Ok::<u64, Error>(connection.query_row(count, [space.as_bytes()], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_device_reads_from_the_snapshot_what_has_no_body_any_more() {
    let (a, b, space) = pair().await;
    edit(&a, space, 0..GROWN_MIN + 10).await;
    b.pull(space, &a).await;
    edit(&b, space, GROWN_MIN + 10..GROWN_MIN + 20).await;
    let written = snapshots(&a.runs(space).await);
    assert_eq!(written.len(), 1, "one snapshot of many small changes");
    let covers = &written[0].core().covers;
    assert!(covers.len() > 100, "{} are covered", covers.len());
    let all = b.runs(space).await;
    assert_eq!(acknowledged(&all), [written[0].id()], "whoever has the changes vouches for it, once");
    let freed: u64 =
        entries(&all).filter(|entry| covers.contains(&entry.id())).map(|entry| entry.body_bytes()).sum();
    let cost = written[0].as_bytes().len() as u64;
    assert!(cost * 2 < freed, "{cost} bytes for {freed}");
    let changes: Vec<_> =
        entries(&all).filter(|entry| covers.contains(&entry.id())).map(|entry| entry.core().log).collect();
    assert!(!changes.contains(&written[0].core().log), "snapshots stand in a log of their own");

    // A third device gets the headers alone, in whatever order.
    for turned in [false, true] {
        let c = TestDevice::new(3 + u8::from(turned));
        c.join(a.invite(space, Role::Editor).await).await;
        b.pull(space, &a).await;
        let mut runs = thinned(b.runs(space).await);
        if turned {
            runs.reverse();
            runs.sort_by_key(|run| run.channel != membership_channel(&space));
        }
        take(&c, space, &runs).await;
        assert_eq!(waiting(&c, space).await, 0);
        assert_eq!(all_values(&c, space).await, all_values(&b, space).await);
        assert_eq!(
            acknowledged(&c.runs(space).await).len(),
            1,
            "who cannot hold it against bodies does not vouch for it"
        );
        // It goes on like any other, and so do those who have the bodies.
        c.change(space, "one", Change::Patch(json!({"more": 1}))).await.unwrap();
        c.seal(space).await;
        b.pull(space, &c).await;
        assert_eq!(all_values(&c, space).await, all_values(&b, space).await);
    }
}

/// The logs of the entries that documents are as safe as.
async fn newest(device: &TestDevice, space: SpaceId) -> BTreeSet<LogId> {
    device
        .database
        .read(move |connection| {
            let mut statement = connection.prepare("SELECT log FROM documents WHERE space = ?1")?;
            let rows = statement.query_map([space.as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
            rows.map(|row| Ok::<_, Error>(LogId::try_from(row?.as_slice())?)).collect()
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn an_entry_without_its_body_waits_until_enough_devices_vouch_for_the_snapshot() {
    let (a, b, space) = pair().await;
    edit(&a, space, 0..GROWN_MIN).await;
    let snapshot = snapshots(&a.runs(space).await).remove(0);
    assert_eq!(snapshot.core().covers.len() as u64, GROWN_MIN);
    let of_snapshot = BTreeSet::from([snapshot.core().log]);
    b.pull(space, &a).await;
    assert!(newest(&a, space).await.is_disjoint(&of_snapshot), "nobody else vouches for it here");
    a.pull(space, &b).await;
    for device in [&a, &b] {
        assert_eq!(
            newest(device, space).await,
            of_snapshot,
            "documents are as safe as what replaces their change"
        );
    }
    let ticket = a.invite(space, Role::Viewer).await;
    b.pull(space, &a).await;
    let c = TestDevice::new(3);
    c.join(ticket).await;
    let (acknowledging, others): (Vec<Run>, Vec<Run>) = thinned(b.runs(space).await)
        .into_iter()
        .partition(|run| !acknowledged(std::slice::from_ref(run)).is_empty());
    assert_eq!(acknowledging.len(), 1);
    take(&c, space, &others).await;
    assert_eq!(c.value(space, "one").await, None, "the word of one device is not enough");
    assert!(waiting(&c, space).await > 0);
    take(&c, space, &acknowledging).await;
    assert_eq!(waiting(&c, space).await, 0);
    assert_eq!(all_values(&c, space).await, all_values(&a, space).await);
    assert_eq!(newest(&c, space).await, of_snapshot);
    assert_eq!(acknowledged(&c.runs(space).await).len(), 1, "a viewer writes nothing");
}

#[tokio::test]
async fn nobody_vouches_for_a_snapshot_that_says_something_else() {
    let (a, b, space) = pair().await;
    edit(&a, space, 0..8).await;
    b.pull(space, &a).await;
    // B covers what A wrote with something A never said.
    b.write(move |core, connection| {
        core.with_space(connection, &space, |core, space| {
            let channel = space.secrets()?.channel_id(NOTES);
            let covers: Vec<EntryId> =
                space.window(connection, channel)?.changes.iter().map(|change| change.entry.id()).collect();
            assert_eq!(covers.len(), 8);
            let said = covers.iter().map(|_| Said { made_in: None, updates: Vec::new() }).collect();
            let body = SnapshotBody { collection: NOTES.to_owned(), said }.to_bytes();
            let (epoch, secret) = space.current_epoch()?;
            let new = NewEntry { covers, ..NewEntry::sealed(Kind::Snapshot, epoch) };
            space.append_snapshot(core, connection, channel, new, |core, bytes| {
                Ok(core.sealer.seal(&secret, bytes, &body)?)
            })?;
            Ok(())
        })
    })
    .await
    .unwrap();
    a.pull(space, &b).await;
    assert_eq!(snapshots(&a.runs(space).await).len(), 1, "it is stored, so that roots stay equal");
    assert_eq!(acknowledged(&a.runs(space).await), []);
    let verified = a
        .database
        .read(|connection| {
            let sum = "SELECT sum(verified) FROM snapshots";
            Ok::<u64, Error>(connection.query_row(sum, [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(verified, 0);
}

#[tokio::test]
async fn what_was_written_in_bulk_or_is_tiny_is_left_as_it_is() {
    let a = TestDevice::new(1);
    let space = a.create_space().await;
    a.write(move |core, connection| {
        for number in 0..GROWN_MIN + 50 {
            let place = Place { space: &space, collection: NOTES, document: "counter" };
            core.change_document(connection, place, &Change::Put(json!({"n": number})), None)?;
            core.seal_all(connection, &space)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(snapshots(&a.runs(space).await).len(), 0, "headers would come back for less than they save");
    let looked: u64 = a
        .database
        .read(move |connection| {
            let number = "SELECT count(*) FROM looked WHERE space = ?1";
            Ok::<_, Error>(connection.query_row(number, params![space.as_bytes()], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(looked, 1, "and it is not looked at again");
}

#[tokio::test]
async fn another_run_goes_on_where_the_one_before_it_ended() {
    let a = TestDevice::new(1);
    let space = a.create_space().await;
    edit(&a, space, 0..GROWN_MIN - 50).await;
    assert_eq!(snapshots(&a.runs(space).await).len(), 0);
    let a = a.restart(1, 9);
    edit(&a, space, GROWN_MIN..GROWN_MIN + 60).await;
    let written = snapshots(&a.runs(space).await);
    assert_eq!(written.len(), 1, "what earlier runs wrote counts");
    a.write(move |core, connection| core.leave_space(connection, &space)).await.unwrap();
    for table in ["snapshots", "covers", "acknowledged", "looked"] {
        let count = format!("SELECT count(*) FROM {table}");
        let left = a
            .database
            .read(move |connection| Ok::<u64, Error>(connection.query_row(&count, [], |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}
