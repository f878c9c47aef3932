//! The cold tier: shown, paused, resumed, emptied and given up.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;

use super::{Door, Refused};
use crate::cold::Status;

/// What can be done to it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Act {
    Pause,
    Resume,
    Thaw,
    Forget,
}

pub(super) async fn show(State(door): State<Door>) -> Result<Json<Status>, Refused> {
    Ok(Json(door.cold.status().await.map_err(Refused::failed)?))
}

pub(super) async fn act(State(door): State<Door>, Path(act): Path<Act>) -> Result<Json<Status>, Refused> {
    let done = match act {
        Act::Pause => door.cold.pause().await,
        Act::Resume => door.cold.resume().await,
        Act::Thaw => door.cold.thaw().await,
        Act::Forget => door.cold.forget().await,
    };
    done.map_err(Refused::failed)?;
    show(State(door)).await
}
