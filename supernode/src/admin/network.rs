//! The network as its summaries show it.

use axum::{Json, extract::State};
use serde_json::Value;

use super::Door;

pub(super) async fn show(State(door): State<Door>) -> Json<Value> {
    Json(door.summaries.status().await)
}
