//! Spaces over HTTP.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use cosmic_common::id::SpaceId;
use cosmic_custody::count::object::DURABLE_COPIES_MIN;
use cosmic_ring::Regions;
use cosmic_space::{delegation::Bearer, rights::Role, ticket::Ticket};
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::{Value, json};

use super::durability;
use crate::{
    error::Error,
    node::{Node, space_ids},
    safety::Placed,
    spaces::{Invitation, Peers, Seeds},
};

/// What a new space needs.
#[derive(Debug, Deserialize)]
pub(super) struct New {
    name: String,
    /// Where its data may lie; nothing means everywhere.
    #[serde(default)]
    regions: Vec<String>,
}

pub(super) async fn create(State(node): State<Node>, Json(new): Json<New>) -> Result<Response, Error> {
    let seeds = Seeds::random();
    let New { name, regions } = new;
    let space =
        node.write(move |core, connection| core.create_space_in(connection, &name, regions, &seeds)).await?;
    Ok((StatusCode::CREATED, Json(json!({"space": space}))).into_response())
}

pub(super) async fn list(State(node): State<Node>) -> Result<Json<Value>, Error> {
    let asking = node.clone();
    node.read(move |connection| {
        let spaces = space_ids(connection)?
            .into_iter()
            .map(|space| describe(&asking, connection, space))
            .collect::<Result<Vec<Value>, Error>>()?;
        Ok(Json(json!({"spaces": spaces})))
    })
    .await
}

pub(super) async fn show(State(node): State<Node>, Path(space): Path<String>) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    let asking = node.clone();
    node.read(move |connection| describe(&asking, connection, space).map(Json)).await
}

fn describe(node: &Node, connection: &Connection, space: SpaceId) -> Result<Value, Error> {
    let no_space = |error: rusqlite::Error| match error {
        rusqlite::Error::QueryReturnedNoRows => Error::NoSpace { space: space.to_string() },
        other => other.into(),
    };
    let (name, joining): (String, bool) = connection
        .query_row("SELECT name, constant IS NULL FROM spaces WHERE space = ?1", [space.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(no_space)?;
    let count = |sql: &str| connection.query_row(sql, params![space.as_bytes()], |row| row.get::<_, u64>(0));
    let snapshots = count("SELECT count(*) FROM snapshots WHERE space = ?1")?;
    let waiting = count(
        "SELECT count(*) FROM entries JOIN logs ON logs.log = entries.log WHERE applied = 0 AND space = ?1",
    )?;
    let documents = count("SELECT count(*) FROM documents WHERE space = ?1 AND json IS NOT NULL")?;
    let entries = count("SELECT count(*) FROM entries JOIN logs ON logs.log = entries.log WHERE space = ?1")?;
    let logs = count("SELECT count(*) FROM logs WHERE space = ?1")?;
    let session = node.sessions.get(&space);
    let regions = node.safety.regions(connection, &space)?;
    let placed = node.safety.placed(connection, &space)?;
    let residence = residence(&regions, &placed);
    let durability = durability::summary(node, connection, space)?;
    Ok(json!({
        "space": space, "name": name, "joining": joining, "documents": documents, "entries": entries, "logs": logs,
        "snapshots": snapshots, "waiting": waiting,
        "gateway": session.map(|session| session.gateway), "in_sync": session.is_some_and(|session| session.in_sync),
        "replicas": placed.replicas, "level": durability.get("level"), "regions": regions.names().map(ToString::to_string).collect::<Vec<_>>(),
        "class": placed.class.map(|class| format!("{} of {}", class.k, class.n)), "residence": residence,
    }))
}

/// Where a space lies, in a sentence.
fn residence(regions: &Regions, placed: &Placed) -> String {
    let Placed { regions: lies_in, supernodes, class, .. } = placed;
    let lies_in: Vec<&str> = lies_in.iter().map(String::as_str).collect();
    let lies_in = lies_in.join(", ");
    match class {
        None if !placed.is_ring_known => "no supernode is known yet".to_owned(),
        None => format!("no supernode stands in {regions}: nothing of the space is stored anywhere"),
        Some(_) if *supernodes < DURABLE_COPIES_MIN => {
            format!("whole copies on {supernodes} supernodes in {lies_in}: too few to be durable")
        }
        Some(class) if class.k == 1 => {
            format!("{} whole copies on {supernodes} supernodes in {lies_in}", class.n)
        }
        Some(class) => format!("coded {} of {} on {supernodes} supernodes in {lies_in}", class.k, class.n),
    }
}

/// What an invitation says.
#[derive(Debug, Deserialize)]
pub(super) struct Invite {
    role: Option<String>,
    expires_secs: Option<u64>,
}

pub(super) async fn invite(
    State(node): State<Node>,
    Path(space): Path<String>,
    Json(invite): Json<Invite>,
) -> Result<Response, Error> {
    let space = node.find_space(&space).await?;
    let name = invite.role.unwrap_or_else(|| Role::Editor.to_string());
    let role: Role = name.parse().map_err(|_error| Error::Role { role: name })?;
    let expires =
        invite.expires_secs.map(|seconds| node.clock().now().after(std::time::Duration::from_secs(seconds)));
    let peers: Peers = vec![(node.net.local_peer(), node.net.listening())];
    let seeds = Seeds::random();
    let ticket = node
        .write(move |core, connection| {
            core.invite(connection, &space, Invitation { role, expires, peers }, &seeds)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(json!({"ticket": *ticket.to_text()}))).into_response())
}

/// A ticket, as somebody got it.
#[derive(Deserialize)]
pub(super) struct Join {
    ticket: String,
}

pub(super) async fn join(State(node): State<Node>, Json(join): Json<Join>) -> Result<Response, Error> {
    let ticket: Ticket = join.ticket.parse()?;
    let space = node.write(move |core, connection| core.join_space(connection, &ticket)).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"space": space}))).into_response())
}

pub(super) async fn leave(State(node): State<Node>, Path(space): Path<String>) -> Result<StatusCode, Error> {
    let space = node.find_space(&space).await?;
    node.write(move |core, connection| core.leave_space(connection, &space)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn members(
    State(node): State<Node>,
    Path(space): Path<String>,
) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    node.write(move |core, connection| {
        core.with_space(connection, &space, |_core, space| {
            let own = space.writer.writer_id();
            let members: Vec<Value> = space
                .membership
                .members()
                .map(|member| {
                    json!({
                        "writer": member.key, "role": member.role().map_or("custom", Role::name),
                        "this_device": member.key == own, "ticket": member.bearer == Bearer::Ticket,
                        "expires_ms": member.caveats.expires.map(cosmic_common::time::Timestamp::unix_ms),
                    })
                })
                .collect();
            Ok(Json(json!({"members": members})))
        })
    })
    .await
}
