//! Documents over HTTP: create, read, replace, patch, delete, list, and many at once.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cosmic_common::id::{LogId, SpaceId, base32};
use cosmic_custody::level::Level;
use cosmic_runtime::random;
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

use super::durability::{self, Newest};
use crate::{
    documents::store::{Change, Place, Stored},
    error::Error,
    event::Event,
    node::Node,
    safety::packs,
};

/// Documents of a page if the app does not say.
pub(super) const PAGE: u32 = 100;
/// The largest page.
pub(super) const PAGE_MAX: u32 = 1000;
/// Documents of one batch.
pub(super) const BATCH_MAX: usize = 10_000;
/// How long an answer waits for a level if the app does not say.
pub(super) const PATIENCE_MS: u64 = 30_000;

/// How safe a change must be before the answer comes.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wait {
    #[serde(default, deserialize_with = "level")]
    wait: Option<Level>,
    timeout_ms: Option<u64>,
}

fn level<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Level>, D::Error> {
    let name = String::deserialize(text)?;
    let unknown = || format!("there is no level {name:?}; use local, accepted, replicated or durable");
    Level::named(&name).map(Some).ok_or_else(|| D::Error::custom(unknown()))
}

type Which = Path<(String, String, String)>;

pub(super) async fn read(
    State(node): State<Node>,
    Path((space, collection, id)): Which,
) -> Result<Response, Error> {
    let space = node.find_space(&space).await?;
    let missing = Error::NoDocument { collection: collection.clone(), document: id.clone() };
    let found: Option<(Option<String>, String)> = node
        .read(move |connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT json, version FROM documents WHERE space = ?1 AND collection = ?2 AND document = ?3",
                )?
                .query_row(params![space.as_bytes(), collection, id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?)
        })
        .await?;
    let Some((Some(text), version)) = found else { return Err(missing) };
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(with_version(&version, Json(json!({"value": value, "version": version}))))
}

/// A change of one document: which, how long to wait, and under which condition.
type Request = (State<Node>, Which, Query<Wait>, HeaderMap);

pub(super) async fn replace(request: Request, Json(value): Json<Value>) -> Result<Response, Error> {
    change_one(request, Change::Put(value)).await
}

pub(super) async fn patch(request: Request, Json(value): Json<Value>) -> Result<Response, Error> {
    change_one(request, Change::Patch(value)).await
}

pub(super) async fn remove(
    node: State<Node>,
    which: Which,
    wait: Query<Wait>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    change_one((node, which, wait, headers), Change::Delete).await
}

async fn change_one(request: Request, kind: Change) -> Result<Response, Error> {
    let (State(node), Path(which), Query(wait), headers) = request;
    change(&node, which, kind, &wait, expected(&headers)).await
}

pub(super) async fn create(
    State(node): State<Node>,
    Path((space, collection)): Path<(String, String)>,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
    Json(value): Json<Value>,
) -> Result<Response, Error> {
    // With an idempotency key the id follows from it: a repeated request writes the same document again.
    let id = match headers.get("idempotency-key") {
        Some(key) => {
            let hash = cosmic_common::hash::derive("cosmic idempotency 1", &[key.as_bytes()]);
            base32().encode(hash.get(..16).unwrap_or_default())
        }
        None => base32().encode(&random::bytes::<16>()),
    };
    change(&node, (space, collection, id), Change::Put(value), &wait, None).await
}

/// One document of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    id: Option<String>,
    value: Value,
}

pub(super) async fn batch(
    State(node): State<Node>,
    Path((space, collection)): Path<(String, String)>,
    Json(items): Json<Vec<Item>>,
) -> Result<Response, Error> {
    if items.len() > BATCH_MAX {
        return Err(Error::TooLarge { found: items.len(), limit: BATCH_MAX });
    }
    let space = node.find_space(&space).await?;
    let stored = node
        .write(move |core, connection| {
            items
                .into_iter()
                .map(|item| {
                    let id = item.id.unwrap_or_else(|| base32().encode(&random::bytes::<16>()));
                    let place = Place { space: &space, collection: &collection, document: &id };
                    let stored = core.change_document(connection, place, &Change::Put(item.value), None)?;
                    Ok(json!({"id": id, "version": stored.version}))
                })
                .collect::<Result<Vec<Value>, Error>>()
        })
        .await?;
    Ok(Json(json!({"documents": stored, "level": Level::Local.name()})).into_response())
}

async fn change(
    node: &Node,
    (space, collection, id): (String, String, String),
    change: Change,
    wait: &Wait,
    expected: Option<String>,
) -> Result<Response, Error> {
    let space = node.find_space(&space).await?;
    let deleted = matches!(change, Change::Delete);
    let (named, document) = (collection.clone(), id.clone());
    let Stored { version, existed } = node
        .write(move |core, connection| {
            let place = Place { space: &space, collection: &named, document: &document };
            core.change_document(connection, place, &change, expected.as_deref())
        })
        .await?;
    let level = wait_for(node, space, (&collection, &id), wait).await?;
    let status = if existed || deleted { StatusCode::OK } else { StatusCode::CREATED };
    let body = json!({"id": id, "version": version, "level": level.name(), "deleted": deleted});
    Ok(with_version(&version, (status, Json(body))))
}

async fn wait_for(
    node: &Node,
    space: SpaceId,
    (collection, id): (&str, &str),
    wait: &Wait,
) -> Result<Level, Error> {
    let Some(wanted) = wait.wait else { return Ok(Level::Local) };
    let patience = Duration::from_millis(wait.timeout_ms.unwrap_or(PATIENCE_MS));
    let mut events = node.context.events.subscribe();
    let reached = node.clock().timeout(patience, async {
        let mut asked = None;
        loop {
            let Newest { level, entry } = durability::document_level(node, space, collection, id).await?;
            if level >= wanted {
                return Ok(level);
            }
            if wanted > Level::Replicated && asked != entry {
                ask_for_pack(node, space, entry).await?;
                asked = entry;
            }
            drop(events.recv().await);
        }
    });
    reached.await.unwrap_or(Err(Error::NotSafeYet))
}

/// Replicas are not asked to pack before somebody waits for it, or their rules say so.
async fn ask_for_pack(node: &Node, space: SpaceId, entry: Option<(LogId, u64)>) -> Result<(), Error> {
    let Some((log, seq)) = entry else { return Ok(()) };
    node.write(move |core, connection| {
        packs::want(connection, &space, &log, seq)?;
        core.tell(Event::Wanted { space });
        Ok(())
    })
    .await
}

fn expected(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::IF_MATCH)?.to_str().ok()?;
    Some(given.trim_matches('"').to_owned())
}

fn with_version(version: &str, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Which page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(node): State<Node>,
    Path((space, collection)): Path<(String, String)>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let rows: Vec<(String, String, String)> = node
        .read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT document, json, version FROM documents
                 WHERE space = ?1 AND collection = ?2 AND document > ?3 AND json IS NOT NULL ORDER BY document LIMIT ?4",
            )?;
            let after = page.cursor.unwrap_or_default();
            let rows = statement.query_map(params![space.as_bytes(), collection, after, limit], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await?;
    let cursor = (rows.len() == limit as usize).then(|| rows.last().map(|(id, _, _)| id.clone())).flatten();
    let documents: Vec<Value> = rows
        .into_iter()
        .map(|(id, text, version)| {
            let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            json!({"id": id, "value": value, "version": version})
        })
        .collect();
    Ok(Json(json!({"documents": documents, "cursor": cursor})))
}
