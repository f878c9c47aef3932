//! Entries in their frames, open records, fork proofs, and a log that hostile entries are held against.

use cosmic_common::{
    id::{ChannelId, Incarnation, SpaceId},
    record::Record,
    time::HybridTime,
};
use cosmic_identity::key::SecretKey;
use cosmic_log::{
    chain::{Draft, LogState, Step, append, open_log},
    entry::Entry,
    fork::ForkProof,
    kind::Kind,
    open::Open,
};

use crate::{
    Room,
    check::{self, Script, pieces},
    decoder, sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "log",
    decoders: &[
        decoder("entry", only_entry),
        decoder("open", open),
        decoder("fork-proof", fork_proof),
        sampled(|| vec![pieces(chain().iter().map(Entry::as_bytes))], log),
    ],
};

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// A log of three entries.
fn chain() -> Vec<Entry> {
    let open = Open {
        space: SpaceId::from_bytes([1; 32]),
        writer: key().writer_id(),
        channel: ChannelId::from_bytes([2; 32]),
        incarnation: Incarnation::from_bytes([3; 16]),
        delegation: None,
    };
    let (mut state, first) = open_log(open, HybridTime::from_bits(1), &key()).expect("a log opens");
    let mut entries = vec![first];
    for time in 2..4 {
        let draft = Draft::new(Kind::Acknowledgement, HybridTime::from_bits(time));
        let entry = append(&state, draft, &key(), |_core| vec![1, 2, 3]).expect("a short entry fits");
        state.extend(&entry);
        entries.push(entry);
    }
    entries
}

fn only_entry(bytes: &[u8]) {
    entry(bytes);
}

/// An entry keeps its bytes, its core has one encoding, and dropping its body leaves its name.
pub fn entry(bytes: &[u8]) -> Option<Entry> {
    let entry = Entry::from_bytes(bytes).ok()?;
    assert_eq!(entry.as_bytes(), bytes);
    let core = entry.core().to_bytes();
    assert!(core.len() < entry.core_bytes().len() || core == entry.core_bytes(), "a core has two encodings");
    assert_eq!(entry.body().map_or(entry.body_bytes(), |body| body.len() as u64), entry.body_bytes());
    let id = entry.id();
    let bare = Entry::from_bytes(entry.clone().without_body().as_bytes()).expect("a body may be dropped");
    assert_eq!((bare.id(), bare.body_bytes()), (id, entry.body_bytes()));
    Some(entry)
}

fn open(bytes: &[u8]) {
    if let Some(open) = check::record::<Open>(bytes) {
        assert_eq!(Open::from_bytes(&open.to_bytes()).map(|again| again.log_id()).ok(), Some(open.log_id()));
    }
}

/// A proof that says something is about the log it names.
fn fork_proof(bytes: &[u8]) {
    let Some(proof) = check::record::<ForkProof>(bytes) else { return };
    if let Ok(fork) = proof.verify(&key().writer_id()) {
        assert_eq!(proof.log(), Some(fork.log));
        assert!(fork.counts < fork.aside);
    }
}

/// Entries of anybody, held against the log that the first of them opens.
fn log(bytes: &[u8]) {
    let mut script = Script(bytes);
    let Some(mut state) = entry(script.piece()).and_then(|entry| LogState::from_open(&entry).ok()) else {
        return;
    };
    while !script.is_over() {
        let Some(entry) = entry(script.piece()) else { continue };
        let expected = state.next_seq();
        if matches!(state.check(&entry), Ok(Step::Extends)) {
            assert_eq!((entry.core().seq, entry.core().previous), (expected, Some(state.head().entry)));
            state.extend(&entry);
        }
    }
}
