//! `dump`: everything this supernode can read of what it stores, so that anybody can look for what should not be there.
//!
//! `records` tells one JSON object per line, `raw` gives the exact bytes of all tables one after the other.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use cosmic_common::{id::ObjectId, record::Record as _};
use cosmic_erasure::Manifest;
use cosmic_log::entry::Entry;
use cosmic_space::genesis::Genesis;
use cosmic_store::{Error, Span, Store};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Door;
use crate::tables::{
    ENTRIES, FORKS, FORWARDS, KEPT, LOGS, MANIFESTS, PLACEMENTS, RESIDENCES, SHARDS, STAGING,
};

/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 4;
/// Bytes gathered into one piece.
const PIECE_BYTES: usize = 256 * 1024;

/// Gathers bytes into pieces and waits while the reader is slow.
struct Pieces {
    gathered: BytesMut,
    reader: mpsc::Sender<Bytes>,
}

/// The reader went away.
struct Gone;

/// Why a dump ended early.
enum Stop {
    Gone,
    Store(Error),
}

impl From<Gone> for Stop {
    fn from(_gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Pieces {
    fn add(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.gathered.put_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    fn line(&mut self, value: &Value) -> Result<(), Gone> {
        self.add(format!("{value}\n").as_bytes())
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let piece = self.gathered.split().freeze();
        self.reader.blocking_send(piece).map_err(|_closed| Gone)
    }
}

/// One JSON object per stored thing.
pub(super) async fn records(State(door): State<Door>) -> Response {
    stream(door, "application/x-ndjson", tell_all)
}

/// The bytes of everything stored.
pub(super) async fn raw(State(door): State<Door>) -> Response {
    stream(door, "application/octet-stream", give_all)
}

fn stream(door: Door, kind: &'static str, dump: fn(&Store, &mut Pieces) -> Result<(), Stop>) -> Response {
    let (reader, pieces) = mpsc::channel(PIECES_MAX);
    let store = door.context.store.clone();
    // Not awaited: it ends with its reader.
    drop(tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { gathered: BytesMut::with_capacity(PIECE_BYTES), reader };
        let done = dump(&store, &mut pieces).and_then(|()| Ok(pieces.flush()?));
        match done {
            Ok(()) => {}
            Err(Stop::Gone) => tracing::debug!("the reader of a dump went away"),
            Err(Stop::Store(error)) => tracing::warn!(%error, "a dump is not complete"),
        }
    }));
    let pieces = received(pieces).map(Ok::<_, std::convert::Infallible>);
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response()
}

fn received(pieces: mpsc::Receiver<Bytes>) -> impl futures::Stream<Item = Bytes> {
    futures::stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) })
}

fn tell_all(store: &Store, pieces: &mut Pieces) -> Result<(), Stop> {
    for item in store.scan(&LOGS, &Span::all(), usize::MAX) {
        let ((space, channel, log), row) = item?;
        pieces.line(&json!({
            "table": "logs", "space": space, "channel": channel, "log": log,
            "writer": row.open.writer, "seq": row.head.seq,
        }))?;
    }
    for item in store.scan(&ENTRIES, &Span::all(), usize::MAX) {
        let ((log, seq), bytes) = item?;
        pieces.line(&entry("entries", &json!({ "log": log, "seq": seq }), &bytes))?;
    }
    for item in store.scan(&FORKS, &Span::all(), usize::MAX) {
        let ((log, seq, _id), bytes) = item?;
        pieces.line(&entry("forks", &json!({ "log": log, "seq": seq }), &bytes))?;
    }
    for item in store.scan(&FORWARDS, &Span::all(), usize::MAX) {
        let ((space, number), bytes) = item?;
        pieces.line(&entry("forwards", &json!({ "space": space, "number": number }), &bytes))?;
    }
    for item in store.scan(&MANIFESTS, &Span::all(), usize::MAX) {
        let (object, bytes) = item?;
        pieces.line(&manifest(&object, &bytes))?;
    }
    for item in store.scan(&KEPT, &Span::all(), usize::MAX) {
        let ((object, index), row) = item?;
        pieces.line(&json!({
            "table": "shards", "object": object, "index": index, "space": row.space, "bytes": row.length,
            "hash": row.hash, "owner": row.owner, "since": row.since.unix_ms(),
            "cold": row.cold.is_some(),
        }))?;
    }
    for item in store.scan(&RESIDENCES, &Span::all(), usize::MAX) {
        let (space, bytes) = item?;
        let regions = Genesis::from_bytes(&bytes).map(|genesis| genesis.policy.regions).unwrap_or_default();
        pieces.line(&json!({ "table": "residences", "space": space, "regions": regions }))?;
    }
    for item in store.scan(&PLACEMENTS, &Span::all(), usize::MAX) {
        let (object, placement) = item?;
        let holders: Value =
            placement.holders.iter().map(|(index, at)| (index.to_string(), json!(at.peer))).collect();
        pieces.line(
            &json!({ "table": "placements", "object": object, "ring": placement.ring, "holders": holders }),
        )?;
    }
    Ok(())
}

fn entry(table: &str, key: &Value, bytes: &[u8]) -> Value {
    let Ok(entry) = Entry::from_bytes(bytes) else {
        return json!({ "table": table, "key": key, "bytes": bytes.len(), "readable": false });
    };
    let core = entry.core();
    json!({
        "table": table, "key": key, "entry": entry.id(), "log": core.log, "seq": core.seq,
        "kind": format!("{:?}", core.kind), "priority": format!("{:?}", core.priority),
        "time": format!("{:?}", core.time), "epoch": core.epoch, "dependencies": core.dependencies,
        "objects": core.objects, "covers": core.covers, "targets": core.targets, "body_bytes": entry.body_bytes(),
        "dropped": entry.body().is_none(),
        // Membership is clear by design; whatever is sealed is told by its length alone, its bytes are in `raw`.
        "clear_body": entry.body().filter(|_| !core.kind.is_sealed()).map(hex),
    })
}

fn manifest(object: &ObjectId, bytes: &[u8]) -> Value {
    match Manifest::from_bytes(bytes) {
        Ok(manifest) => json!({
            "table": "manifests", "object": object, "bytes": manifest.length(), "codec": manifest.codec().to_string(),
            "coded_anew_from": manifest.is_anew().then(|| manifest.object()), "shards": manifest.shards(),
        }),
        Err(_error) => json!({ "table": "manifests", "object": object, "readable": false }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn give_all(store: &Store, pieces: &mut Pieces) -> Result<(), Stop> {
    for item in store.scan(&ENTRIES, &Span::all(), usize::MAX) {
        pieces.add(&item?.1)?;
    }
    for item in store.scan(&FORKS, &Span::all(), usize::MAX) {
        pieces.add(&item?.1)?;
    }
    for item in store.scan(&FORWARDS, &Span::all(), usize::MAX) {
        pieces.add(&item?.1)?;
    }
    for item in store.scan(&MANIFESTS, &Span::all(), usize::MAX) {
        pieces.add(&item?.1)?;
    }
    for item in store.scan(&SHARDS, &Span::all(), usize::MAX) {
        pieces.add(&item?.1)?;
    }
    for item in store.scan(&STAGING, &Span::all(), usize::MAX) {
        pieces.add(&item?.1)?;
    }
    for item in store.scan(&PLACEMENTS, &Span::all(), usize::MAX) {
        pieces.add(&item?.1.to_bytes())?;
    }
    Ok(())
}
