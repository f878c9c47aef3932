//! Leaving: shown, devices sent elsewhere and let in again. The ring is left by a member record alone.

use axum::{Json, extract::State};
use serde_json::Value;

use super::Door;

pub(super) async fn show(State(door): State<Door>) -> Json<Value> {
    Json(door.leaving.status())
}

pub(super) async fn drain(State(door): State<Door>) -> Json<Value> {
    door.leaving.drain();
    show(State(door)).await
}

pub(super) async fn resume(State(door): State<Door>) -> Json<Value> {
    door.leaving.resume();
    show(State(door)).await
}
