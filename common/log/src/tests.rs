//! Logs, tried at their own doors; the samples all of these tests share.

mod bytes;
mod chains;
mod forks;

use cosmic_common::{
    id::{ChannelId, EntryId, EpochId, Incarnation, SpaceId},
    time::HybridTime,
};
use cosmic_identity::key::SecretKey;

use crate::{
    chain::{Draft, LogState, append, open_log},
    entry::Entry,
    kind::Kind,
    open::Open,
};

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn open() -> Open {
    Open {
        space: SpaceId::from_bytes([1; 32]),
        writer: key().writer_id(),
        channel: ChannelId::from_bytes([2; 32]),
        incarnation: Incarnation::from_bytes([3; 16]),
        delegation: Some(EntryId::from_bytes([4; 32])),
    }
}

fn time(n: u64) -> HybridTime {
    HybridTime::from_bits((1_790_000_000_000 + n) << 16)
}

/// A sealed change with one dependency.
fn change(n: u64) -> Draft {
    Draft {
        dependencies: vec![EntryId::from_bytes([5; 32])],
        epoch: Some(EpochId::from_bytes([6; 32])),
        ..Draft::new(Kind::Change, time(n))
    }
}

fn opened() -> (LogState, Entry) {
    open_log(open(), time(0), &key()).unwrap()
}

fn next(state: &LogState, draft: Draft, body: &[u8]) -> Entry {
    append(state, draft, &key(), |_core| body.to_vec()).unwrap()
}

/// The open entry and `length` changes after it; each body is `tag` and its place.
fn chain(length: u64, tag: u8) -> Vec<Entry> {
    let (mut state, first) = opened();
    let mut entries = vec![first];
    for n in 1..=length {
        let entry = next(&state, change(n), &[tag, u8::try_from(n).unwrap()]);
        state.extend(&entry);
        entries.push(entry);
    }
    entries
}
