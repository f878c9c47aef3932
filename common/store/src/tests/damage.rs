//! Damage to the log: no change that was acknowledged goes unnoticed, and a torn end is none.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use super::*;

const WRITTEN: u8 = 20;
/// Every so many bytes of the log one is flipped: no divisor of a record's length.
const STRIDE: usize = 17;

/// A store that was written to and closed, all of it in its log.
async fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 0..WRITTEN {
        put_note(&store, number, "kept").await.unwrap();
    }
    folder
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        fs::copy(item.path(), to.path().join(item.file_name())).unwrap();
    }
    to
}

fn log_of(folder: &Path) -> PathBuf {
    let paths = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

fn has_all(store: &Store) -> bool {
    (0..WRITTEN).all(|number| store.get(&NOTES, &log(number)).unwrap() == Some(note("kept")))
}

/// Opens a copy whose log was changed: it is all there, or somebody is told.
fn noticed(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
    let copy = copied(folder);
    let path = log_of(copy.path());
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    match Store::open(copy.path(), Around::new().setup(schema())) {
        Ok(store) if store.was_cut_short() => true,
        Ok(store) => {
            assert!(has_all(&store), "something is gone, and nobody was told");
            false
        }
        Err(error) => {
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            true
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_the_log_is_noticed() {
    let folder = written().await;
    let bytes = fs::read(log_of(folder.path())).unwrap().len();
    assert!(bytes > 1000, "{bytes}");
    for place in (0..bytes).step_by(STRIDE) {
        assert!(noticed(folder.path(), |log| log[place] ^= 0x10), "byte {place} of {bytes}");
    }
}

#[tokio::test]
async fn a_log_that_became_shorter_is_noticed_wherever_it_ends() {
    let folder = written().await;
    let bytes = fs::read(log_of(folder.path())).unwrap().len();
    for left in (0..bytes).step_by(STRIDE).chain([bytes - 1]) {
        assert!(noticed(folder.path(), |log| log.truncate(left)), "{left} of {bytes} bytes left");
    }
}

#[tokio::test]
async fn half_a_record_nobody_was_told_of_is_no_loss() {
    let folder = written().await;
    assert!(!noticed(folder.path(), |_log| {}));
    let length = |folder: &Path| fs::read(log_of(folder)).unwrap().len();
    let (other, before) = (written().await, length(folder.path()));
    let store = open(other.path());
    put_note(&store, 0, "kept").await.unwrap();
    let one = length(other.path());
    put_note(&store, 1, "kept").await.unwrap();
    let record = length(other.path()) - one;
    assert!(record > 20 && record < before / 2, "{record}");
    // What a writer that is killed within a write leaves: the beginning of a record, here of the last one again.
    for torn in (1..record).step_by(3) {
        let last = before - record;
        assert!(!noticed(folder.path(), |log| log.extend_from_within(last..last + torn)), "{torn}");
    }
}

#[tokio::test]
async fn a_loss_is_told_until_somebody_answers_for_it() {
    let folder = written().await;
    let path = log_of(folder.path());
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let store = open(folder.path());
    assert!(store.was_cut_short());
    assert_eq!(store.get(&NOTES, &log(0)).unwrap(), Some(note("kept")));
    assert_eq!(store.get(&NOTES, &log(WRITTEN - 1)).unwrap(), None);
    for number in 0..2 * WRITTEN {
        put_note(&store, number, "later").await.unwrap();
    }
    drop(store);
    let store = open(folder.path());
    assert!(store.was_cut_short(), "what was written later does not make up for it");
    store.begin_anew().unwrap();
    put_note(&store, 0, "new life").await.unwrap();
    drop(store);
    assert!(!open(folder.path()).was_cut_short());
}

#[tokio::test]
async fn a_checkpoint_and_a_store_without_a_mark_are_no_loss() {
    let folder = written().await;
    let store = open(folder.path());
    let copy = folder.path().join("copy");
    store.checkpoint(&copy).unwrap();
    drop(store);
    let checkpoint = open(&copy);
    assert!(!checkpoint.was_cut_short() && has_all(&checkpoint));
    // The store of a version before the mark.
    fs::remove_file(folder.path().join("acknowledged")).unwrap();
    let store = open(folder.path());
    assert!(!store.was_cut_short() && has_all(&store));
    // Garbage at the end is damage, mark or not.
    put_note(&store, 0, "kept").await.unwrap();
    drop(store);
    fs::remove_file(folder.path().join("acknowledged")).unwrap();
    let mut log = OpenOptions::new().append(true).open(log_of(folder.path())).unwrap();
    log.write_all(&[3, 1, 4, 1, 8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    drop(log);
    assert!(open(folder.path()).was_cut_short());
}
