//! Repairs: shown, stopped, let go on, and held back; audits: shown.

use axum::{Json, extract::State, http::StatusCode};
use cosmic_runtime::http::Problem;
use serde_json::Value;

use super::{Door, Refused};
use crate::care::Throttle;

pub(super) async fn show(State(door): State<Door>) -> Json<Value> {
    Json(door.care.status())
}

pub(super) async fn pause(State(door): State<Door>) -> Json<Value> {
    door.care.pause();
    show(State(door)).await
}

pub(super) async fn resume(State(door): State<Door>) -> Json<Value> {
    door.care.resume();
    show(State(door)).await
}

pub(super) async fn throttle(
    State(door): State<Door>,
    Json(change): Json<Throttle>,
) -> Result<Json<Value>, Refused> {
    if !change.is_possible() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "throttle", "this throttle is not possible");
        return Err(Refused(problem.detail("the shares are thousandths: 1000 is all".to_owned())));
    }
    door.care.throttle(change);
    Ok(show(State(door)).await)
}

pub(super) async fn audits(State(door): State<Door>) -> Json<Value> {
    Json(door.care.audits().status())
}
