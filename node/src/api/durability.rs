//! How safe things are, over HTTP.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};
use cosmic_common::id::{LogId, ObjectId, SpaceId};
use cosmic_custody::level::Level;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Value, json};

use crate::{error::Error, files::rows, node::Node, safety::Reach};

pub(super) async fn of_document(
    State(node): State<Node>,
    Path((space, collection, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    let level = document_level(&node, space, &collection, &id).await?.level;
    let asking = node.clone();
    let placed = node.read(move |connection| asking.safety.placed(connection, &space)).await?;
    Ok(Json(json!({"level": level.name(), "survives": level.survives(), "replicas": placed.replicas})))
}

/// How safe the newest change of a document is, and where it stands once it is sealed.
pub(super) struct Newest {
    pub(super) level: Level,
    pub(super) entry: Option<(LogId, u64)>,
}

pub(super) async fn document_level(
    node: &Node,
    space: SpaceId,
    collection: &str,
    id: &str,
) -> Result<Newest, Error> {
    let (asking, collection, id) = (node.clone(), collection.to_owned(), id.to_owned());
    node.read(move |connection| {
        let row: Option<(Option<Vec<u8>>, Option<u64>)> = connection
            .prepare_cached(
                "SELECT log, seq FROM documents WHERE space = ?1 AND collection = ?2 AND document = ?3",
            )?
            .query_row(params![space.as_bytes(), collection, id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match row {
            None => Err(Error::NoDocument { collection, document: id }),
            Some((Some(log), Some(seq))) => {
                let log = LogId::try_from(log.as_slice())?;
                let level = asking.safety.level(connection, &space, (&log, seq))?;
                Ok(Newest { level, entry: Some((log, seq)) })
            }
            Some(_pending) => Ok(Newest { level: Level::Local, entry: None }),
        }
    })
    .await
}

pub(super) async fn of_file(
    State(node): State<Node>,
    Path((space, name)): Path<(String, String)>,
) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    let asking = node.clone();
    node.read(move |connection| file(&asking, connection, space, &name).map(Json)).await
}

/// The level of a file: that of its weakest part, entry or chunk.
pub(super) fn file(node: &Node, connection: &Connection, space: SpaceId, name: &str) -> Result<Value, Error> {
    let row = rows::find(connection, &space, name)?;
    let entry = node.safety.level(connection, &space, (&LogId::try_from(row.log.as_slice())?, row.seq))?;
    let mut levels = vec![entry];
    let (mut bytes_durable, mut holders) = (0, BTreeMap::new());
    for chunk in &row.body.chunks {
        let verdict = node.safety.object(connection, &space, &chunk.object)?;
        let level = verdict.as_ref().map_or(Level::Local, |verdict| verdict.level);
        if matches!(level, Level::Durable { .. }) {
            bytes_durable += u64::from(chunk.length);
        }
        count_holders(connection, &chunk.object, &mut holders)?;
        levels.push(level);
    }
    let level = Level::weakest(levels).unwrap_or(Level::Local);
    Ok(json!({
        "level": level.name(), "survives": level.survives(), "bytes": row.body.bytes, "bytes_durable": bytes_durable,
        "chunks": row.body.chunks.len(), "shards_by_holder": holders,
    }))
}

fn count_holders(
    connection: &Connection,
    object: &ObjectId,
    holders: &mut BTreeMap<String, usize>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached("SELECT holder FROM shard_receipts WHERE object = ?1")?;
    let mut rows = statement.query([object.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let holder = cosmic_common::id::PeerId::try_from(row.get_ref(0)?.as_blob()?)?;
        *holders.entry(holder.to_string()).or_default() += 1;
    }
    Ok(())
}

pub(super) async fn of_space(
    State(node): State<Node>,
    Path(space): Path<String>,
) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    let asking = node.clone();
    node.read(move |connection| summary(&asking, connection, space).map(Json)).await
}

/// The names of all levels, the weakest first.
const LEVELS: [&str; 4] = ["local", "accepted", "replicated", "durable"];

/// How many documents of a space are how safe.
pub(super) fn summary(node: &Node, connection: &Connection, space: SpaceId) -> Result<Value, Error> {
    let mut counts: BTreeMap<&str, u64> = LEVELS.into_iter().map(|name| (name, 0)).collect();
    let mut reaches: BTreeMap<Vec<u8>, Reach> = BTreeMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT log, seq, count(*) FROM documents WHERE space = ?1 AND json IS NOT NULL GROUP BY log, seq",
    )?;
    let mut rows = statement.query([space.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let (log, seq, count): (Option<Vec<u8>>, Option<u64>, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let level = match (log, seq) {
            (Some(log), Some(seq)) => {
                if !reaches.contains_key(&log) {
                    let of = LogId::try_from(log.as_slice())?;
                    reaches.insert(log.clone(), node.safety.reach(connection, &space, &of, &(0..=u64::MAX))?);
                }
                reaches.get(&log).map_or(Level::Local, |reach| reach.level(seq))
            }
            _ => Level::Local,
        };
        *counts.entry(level.name()).or_default() += count;
    }
    let weakest = LEVELS.into_iter().find(|name| counts.get(name) > Some(&0));
    Ok(json!({"documents": counts, "level": weakest.unwrap_or("durable")}))
}
