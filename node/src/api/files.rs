//! Files over HTTP: stored chunk by chunk as they arrive, read with ranges, listed, removed.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cosmic_custody::level::Level;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{durability, problems};
use crate::{
    error::Error,
    files::{rows, transfer},
    node::Node,
};

pub(super) async fn store(
    State(node): State<Node>,
    Path((space, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let space = node.find_space(&space).await?;
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let pieces = body.into_data_stream().map(|piece| piece.map_err(std::io::Error::other));
    let stored = transfer::store(&node, space, (name, media_type), pieces).await?;
    let answer = json!({"name": stored.name, "bytes": stored.bytes, "chunks": stored.chunks.len(), "level": Level::Local.name()});
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn read(
    State(node): State<Node>,
    Path((space, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let space = node.find_space(&space).await?;
    let body = node.read(move |connection| Ok(rows::find(connection, &space, &name)?.body)).await?;
    let (bytes, media_type) = (body.bytes, body.media_type.clone());
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let wanted = match range.map(|range| transfer::parse_range(range, bytes)) {
        None => 0..bytes,
        Some(Some(wanted)) => wanted,
        Some(None) => {
            let all = format!("bytes */{bytes}");
            return Ok(([(header::CONTENT_RANGE, all)], problems::no_range(bytes)).into_response());
        }
    };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    // The first chunk is fetched before the answer begins, so that an unreachable file is an error and not a broken body.
    let pieces = transfer::read(&node, space, body, wanted.clone()).await?;
    let mut response = (status, Body::from_stream(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.end - wanted.start));
    if range.is_some() {
        let text = format!("bytes {}-{}/{bytes}", wanted.start, wanted.end.saturating_sub(1));
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(header::CONTENT_RANGE, value);
        }
    }
    let media_type = media_type.and_then(|text| HeaderValue::from_str(&text).ok());
    headers.insert(
        header::CONTENT_TYPE,
        media_type.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")),
    );
    Ok(response)
}

pub(super) async fn list(State(node): State<Node>, Path(space): Path<String>) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    let asking = node.clone();
    node.read(move |connection| {
        let files = rows::list(connection, &space)?
            .into_iter()
            .map(|row| {
                let safety = durability::file(&asking, connection, space, &row.body.name)?;
                Ok(json!({
                    "name": row.body.name, "bytes": row.body.bytes, "media_type": row.body.media_type,
                    "level": safety.get("level"),
                }))
            })
            .collect::<Result<Vec<Value>, Error>>()?;
        Ok(Json(json!({"files": files})))
    })
    .await
}

pub(super) async fn remove(
    State(node): State<Node>,
    Path((space, name)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    let space = node.find_space(&space).await?;
    node.write(move |core, connection| {
        let mut body = rows::find(connection, &space, &name)?.body;
        body.removed = true;
        core.put_file(connection, &space, &body, &[])
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
