//! Full disks and failed writes: what is refused, what was kept, and what still works.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use tokio::task::JoinSet;

use super::*;
use crate::{Until, space::Space};

const GIB: u64 = 1 << 30;

/// A disk whose free bytes a test decides.
fn disk(free: &Arc<AtomicU64>) -> Probe {
    let free = Arc::clone(free);
    Box::new(move || Ok(Space { free_bytes: free.load(Ordering::SeqCst), total_bytes: GIB }))
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let around = Around::new();
    let free = Arc::new(AtomicU64::new(GIB));
    let store = around.open_probing(folder.path(), disk(&free));
    put_note(&store, 1, "kept").await.unwrap();

    free.store(100, Ordering::SeqCst);
    let error = put_note(&store, 2, "refused").await.unwrap_err();
    assert!(matches!(error, Error::Full { free_bytes: 100, until: Until::SpaceIsBack, .. }), "{error}");
    assert!(error.is_full() && !error.is_final());
    assert!(!around.health.is_well());
    assert_eq!(around.metric("cosmic_store_refused_batches_total{reason=\"full\"}"), "1");
    assert_eq!(store.get(&NOTES, &log(1)).unwrap(), Some(note("kept")));
    assert_eq!(store.get(&NOTES, &log(2)).unwrap(), None);
    store.check().unwrap();

    free.store(GIB, Ordering::SeqCst);
    put_note(&store, 2, "taken").await.unwrap();
    assert!(around.health.is_well());
}

#[tokio::test]
async fn deleting_may_use_the_reserve() {
    let folder = tempfile::tempdir().unwrap();
    let mut around = Around::new();
    around.config.reserve_bytes = GIB;
    let free = Arc::new(AtomicU64::new(GIB));
    let store = around.open_probing(folder.path(), disk(&free));
    put_note(&store, 1, "kept").await.unwrap();

    // A twentieth of the disk is reserved, however much is asked for.
    free.store(GIB / 20, Ordering::SeqCst);
    assert!(put_note(&store, 2, "refused").await.unwrap_err().is_full());
    let mut batch = store.batch();
    batch.delete(&NOTES, &log(1));
    store.commit(batch).await.unwrap();
    assert_eq!(store.get(&NOTES, &log(1)).unwrap(), None);
    assert!(!around.health.is_well(), "a deletion does not show that there is room");
}

#[tokio::test]
async fn a_disk_that_cannot_be_asked_refuses_writes() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Box::new(|| Err(std::io::Error::other("gone")));
    let store = Around::new().open_probing(folder.path(), probe);
    assert!(matches!(put_note(&store, 1, "x").await, Err(Error::Directory { .. })));
}

/// The next log file of RocksDB becomes a disk without room: `/dev/full` refuses every write as one does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_failed_write_refuses_all_later_ones_until_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let around = Around::new();
    let store = around.open(folder.path());
    put_note(&store, 0, "first").await.unwrap();
    let number = |name: &str| name.split('.').next().and_then(|stem| stem.parse::<u64>().ok());
    let names = fs::read_dir(folder.path()).unwrap().map(|item| item.unwrap().file_name());
    let newest = names.filter_map(|name| number(name.to_str()?)).max().unwrap();
    let traps: Vec<_> =
        (newest + 1..newest + 30).map(|number| folder.path().join(format!("{number:06}.log"))).collect();
    for trap in &traps {
        symlink("/dev/full", trap).unwrap();
    }

    let mut acknowledged = Vec::new();
    let error = loop {
        let key = u16::try_from(acknowledged.len()).unwrap();
        let mut batch = store.batch();
        batch.put_slice(&SHARDS, &key, &vec![7; 1 << 20]);
        match store.commit(batch).await {
            Ok(()) => acknowledged.push(key),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 100, "the log is cut before a hundred megabytes");
    };
    assert!(matches!(error, Error::Full { until: Until::Restart, .. }), "{error:?}");
    assert!(error.is_full() && error.is_final());
    let later = put_note(&store, 1, "late").await.unwrap_err();
    assert!(matches!(later, Error::Poisoned { .. }) && later.is_full() && later.is_final(), "{later:?}");
    assert!(store.check().is_err() && !around.health.is_well());
    assert_eq!(store.get(&NOTES, &log(0)).unwrap(), Some(note("first")));

    drop(store);
    for trap in traps {
        if fs::symlink_metadata(&trap).is_ok_and(|metadata| metadata.is_symlink()) {
            fs::remove_file(trap).unwrap();
        }
    }
    let store = open(folder.path());
    for key in acknowledged {
        assert_eq!(store.get(&SHARDS, &key).unwrap().map(|bytes| bytes.len()), Some(1 << 20), "shard {key}");
    }
    put_note(&store, 1, "taken").await.unwrap();
}

#[tokio::test]
async fn what_waits_together_is_synced_together() {
    const WAITING: u8 = 50;
    let folder = tempfile::tempdir().unwrap();
    let around = Around::new();
    let (go, gate) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let probe = Box::new(move || {
        entered.send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
        Ok(Space { free_bytes: GIB, total_bytes: GIB })
    });
    let store = around.open_probing(folder.path(), probe);
    let put = |number| {
        let store = store.clone();
        async move { put_note(&store, number, "x").await }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(put(0));
    let _inside = tokio::task::spawn_blocking(move || inside.recv().map(|()| inside)).await.unwrap().unwrap();
    for number in 1..=WAITING {
        tasks.spawn(put(number));
    }
    while store.queued() < usize::from(WAITING) {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert!(tasks.join_all().await.into_iter().all(|result| result.is_ok()));
    assert_eq!(around.metric("cosmic_store_group_batches_sum"), "51.0");
    assert_eq!(around.metric("cosmic_store_group_batches_count"), "2");
}

#[tokio::test]
async fn an_empty_batch_waits_for_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut batch = store.batch();
    batch.put(&NOTES, &log(1), &note("before"));
    let (first, barrier) = tokio::join!(biased; store.commit(batch), store.commit(store.batch()));
    first.unwrap();
    barrier.unwrap();
    assert_eq!(store.get(&NOTES, &log(1)).unwrap(), Some(note("before")));
}
