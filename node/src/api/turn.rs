//! The relay for browsers over HTTP: the configuration of an `RTCPeerConnection`.

use axum::{
    Json,
    extract::{Path, State},
    http::header::CACHE_CONTROL,
    response::{IntoResponse, Response},
};
use cosmic_runtime::exit::sentence;
use serde_json::{Value, json};

use crate::{
    error::Error,
    network::{
        opening,
        turn::{self, Ticket},
    },
    node::Node,
};

/// What a browser is given. Without a relay it still connects where it can by itself, so that is no refusal.
pub(super) async fn of_space(State(node): State<Node>, Path(space): Path<String>) -> Result<Response, Error> {
    let space = node.find_space(&space).await?;
    let answer = match turn::ask(&node, &space).await {
        Ok(Some(ticket)) => with(&ticket),
        Ok(None) => without("the space has no gateway now"),
        Err(opening::Error::Net(cosmic_net::Error::Unsupported { .. })) => {
            without("the gateway of the space has no relay for browsers")
        }
        Err(error) => without(&sentence(&error)),
    };
    // It holds a secret.
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn with(Ticket { urls, username, password, expires }: &Ticket) -> Value {
    let (stun, turn): (Vec<&String>, Vec<_>) = urls.iter().partition(|url| url.starts_with("stun"));
    let stun = (!stun.is_empty()).then(|| json!({"urls": stun}));
    let turn =
        (!turn.is_empty()).then(|| json!({"urls": turn, "username": username, "credential": password}));
    let servers: Vec<Value> = stun.into_iter().chain(turn).collect();
    json!({"iceServers": servers, "expires_ms": expires.unix_ms(), "note": null})
}

fn without(note: &str) -> Value {
    json!({"iceServers": [], "expires_ms": null, "note": note})
}
