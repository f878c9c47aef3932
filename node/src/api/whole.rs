//! The node as a whole over HTTP: status, identity, online or offline, cache.

use axum::{Json, extract::State};
use cosmic_common::id::ObjectId;
use cosmic_identity::did::to_did;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::Error,
    node::{Node, space_ids},
};

pub(super) async fn status(State(node): State<Node>) -> Result<Json<Value>, Error> {
    let (spaces, pending, uploads) = node
        .read(|connection| {
            let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
            Ok((
                space_ids(connection)?,
                count("SELECT count(*) FROM pending")?,
                count("SELECT count(*) FROM objects WHERE mine = 1 AND durable = 0")?,
            ))
        })
        .await?;
    let sessions: Vec<Value> = spaces
        .iter()
        .filter_map(|space| Some((space, node.sessions.get(space)?)))
        .map(|(space, session)| {
            json!({"space": space, "gateway": session.gateway, "source": session.source, "in_sync": session.in_sync})
        })
        .collect();
    Ok(Json(json!({
        "peer": node.net.local_peer(), "online": *node.online.borrow(), "addresses": node.net.listening(),
        "spaces": spaces.len(), "pending_changes": pending, "chunks_to_upload": uploads,
        "supernodes_known": node.gateways.list().len(), "sessions": sessions,
    })))
}

pub(super) async fn identity(State(node): State<Node>) -> Json<Value> {
    let peer = node.context.device.peer();
    Json(json!({"peer": peer, "did": to_did(&peer)}))
}

/// Whether to be online.
#[derive(Debug, Deserialize)]
pub(super) struct Online {
    online: bool,
}

pub(super) async fn network(State(node): State<Node>, Json(wanted): Json<Online>) -> Json<Value> {
    node.online.send_replace(wanted.online);
    Json(json!({"online": wanted.online}))
}

/// Removes cached chunks that need not be here: those that are safe at supernodes, or came from there.
pub(super) async fn clear_cache(State(node): State<Node>) -> Result<Json<Value>, Error> {
    let cache = node.cache.clone();
    let freed = node
        .write(move |_core, connection| {
            let mut statement = connection
                .prepare("SELECT object FROM objects WHERE cached = 1 AND (mine = 0 OR durable = 1)")?;
            let mut rows = statement.query([])?;
            let mut freed = 0;
            while let Some(row) = rows.next()? {
                freed += cache.remove(&ObjectId::try_from(row.get_ref(0)?.as_blob()?)?)?;
            }
            connection.execute("UPDATE objects SET cached = 0 WHERE mine = 0 OR durable = 1", [])?;
            Ok(freed)
        })
        .await?;
    Ok(Json(json!({"freed_bytes": freed})))
}
