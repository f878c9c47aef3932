//! A store behaves as maps do, whatever is written to several tables, scanned, and opened again.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::Span;

/// One change of a batch. Keys are few, so that changes meet.
#[derive(Debug, Clone)]
enum Change {
    Put(u8, u64, Vec<u8>),
    Delete(u8, u64),
    DeleteLog(u8),
    DeleteFrom(u8, u64),
    Bulk(u16, usize),
    DeleteBulk(u16),
    Add(u8, i64),
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    Reopen,
    Flush,
    Scan { log: Option<u8>, from: u64, limit: usize },
}

#[derive(Debug, Default)]
struct Model {
    entries: BTreeMap<(LogId, u64), Bytes>,
    shards: BTreeMap<u16, Bytes>,
    used: BTreeMap<SpaceId, i64>,
}

fn change() -> impl Strategy<Value = Change> {
    let (log, seq) = (0..4u8, 0..6u64);
    prop_oneof![
        8 => (log.clone(), seq.clone(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(log, seq, value)| Change::Put(log, seq, value)),
        3 => (log.clone(), seq.clone()).prop_map(|(log, seq)| Change::Delete(log, seq)),
        1 => log.clone().prop_map(Change::DeleteLog),
        1 => (log.clone(), seq).prop_map(|(log, seq)| Change::DeleteFrom(log, seq)),
        2 => (0..3u16, 0..40_000usize).prop_map(|(key, size)| Change::Bulk(key, size)),
        1 => (0..3u16).prop_map(Change::DeleteBulk),
        3 => (log, -9..9i64).prop_map(|(space, amount)| Change::Add(space, amount)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(change(), 0..8).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
        1 => Just(Step::Flush),
        4 => (prop::option::of(0..4u8), 0..6u64, 0..9usize)
            .prop_map(|(log, from, limit)| Step::Scan { log, from, limit }),
    ]
}

fn space(number: u8) -> SpaceId {
    SpaceId::from_bytes([number; 32])
}

fn shard(size: usize) -> Bytes {
    (0..=250).cycle().take(size).collect()
}

impl Model {
    /// Makes `change` here and in `batch`.
    fn make(&mut self, change: &Change, batch: &mut crate::Batch) {
        match change {
            Change::Put(number, seq, value) => {
                let key = (log(*number), *seq);
                batch.put_slice(&ENTRIES, &key, value);
                self.entries.insert(key, value.clone().into());
            }
            Change::Delete(number, seq) => {
                batch.delete(&ENTRIES, &(log(*number), *seq));
                self.entries.remove(&(log(*number), *seq));
            }
            Change::DeleteLog(number) => {
                batch.delete_span(&ENTRIES, &Span::prefix(&log(*number)));
                self.entries.retain(|(of, _seq), _value| *of != log(*number));
            }
            Change::DeleteFrom(number, seq) => {
                batch.delete_span(&ENTRIES, &Span::range((log(*number), *seq)..));
                self.entries.retain(|key, _value| *key < (log(*number), *seq));
            }
            Change::Bulk(key, size) => {
                batch.put(&SHARDS, key, &shard(*size));
                self.shards.insert(*key, shard(*size));
            }
            Change::DeleteBulk(key) => {
                batch.delete(&SHARDS, key);
                self.shards.remove(key);
            }
            Change::Add(number, amount) => {
                batch.add(&USED, &space(*number), *amount);
                *self.used.entry(space(*number)).or_default() += amount;
            }
        }
    }

    fn compare(&self, store: &Store) -> Result<(), TestCaseError> {
        let entries: BTreeMap<_, _> =
            store.scan(&ENTRIES, &Span::all(), usize::MAX).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&entries, &self.entries);
        let shards: BTreeMap<_, _> = store.scan(&SHARDS, &Span::all(), 99).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&shards, &self.shards);
        let used: BTreeMap<_, _> = store.scan(&USED, &Span::all(), 99).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&used, &self.used);
        for key in 0..3 {
            prop_assert_eq!(store.get(&SHARDS, &key).unwrap(), self.shards.get(&key).cloned());
            prop_assert_eq!(store.contains(&SHARDS, &key).unwrap(), self.shards.contains_key(&key));
        }
        let keys: Vec<_> = (0..4).flat_map(|number| (0..6).map(move |seq| (log(number), seq))).collect();
        let expected: Vec<_> = keys.iter().map(|key| self.entries.get(key).cloned()).collect();
        prop_assert_eq!(store.multi_get(&ENTRIES, &keys).unwrap(), expected);
        Ok(())
    }

    fn scan(&self, store: &Store, of: Option<u8>, from: u64, limit: usize) -> Result<(), TestCaseError> {
        let (span, first) = match of {
            Some(number) => (Span::prefix(&log(number)).from(&(log(number), from)), (log(number), from)),
            None => (Span::range((log(1), from)..), (log(1), from)),
        };
        let inside: Vec<_> = self
            .entries
            .range(first..)
            .filter(|((log_id, _seq), _value)| of.is_none_or(|number| *log_id == log(number)))
            .map(|(key, value)| (*key, value.clone()))
            .collect();
        let up: Vec<_> = store.scan(&ENTRIES, &span, limit).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(up, inside.iter().take(limit).cloned().collect::<Vec<_>>());
        let down: Vec<_> = store.scan_down(&ENTRIES, &span, limit).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(down, inside.iter().rev().take(limit).cloned().collect::<Vec<_>>());
        Ok(())
    }
}

fn play(runtime: &Runtime, steps: &[Step]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (mut store, mut model) = (open(&path), Model::default());
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Commit(changes) => {
                let mut batch = store.batch();
                for change in changes {
                    model.make(change, &mut batch);
                }
                runtime.block_on(store.commit(batch)).unwrap();
            }
            Step::Reopen => {
                drop(store);
                store = open(&path);
            }
            // A checkpoint sorts what is in memory into files first.
            Step::Flush => store.checkpoint(folder.path().join(number.to_string())).unwrap(),
            Step::Scan { log, from, limit } => model.scan(&store, *log, *from, *limit)?,
        }
    }
    model.compare(&store)?;
    drop(store);
    model.compare(&open(&path))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_store_is_a_map(steps in prop::collection::vec(step(), 1..30)) {
        play(&Builder::new_current_thread().build().unwrap(), &steps)?;
    }
}
