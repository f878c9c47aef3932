//! The scrub: shown, begun, paused and resumed.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;

use super::Door;
use crate::scrub::Status;

/// What can be done to it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Act {
    Start,
    Pause,
    Resume,
}

pub(super) async fn show(State(door): State<Door>) -> Json<Status> {
    Json(door.scrub.status())
}

pub(super) async fn act(State(door): State<Door>, Path(act): Path<Act>) -> Json<Status> {
    match act {
        Act::Start => door.scrub.begin().await,
        Act::Pause => door.scrub.pause().await,
        Act::Resume => door.scrub.resume().await,
    }
    Json(door.scrub.status())
}
