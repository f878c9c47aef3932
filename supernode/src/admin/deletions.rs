//! Deletion: what is under way, and who has signed that an object is gone.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use cosmic_common::id::ObjectId;
use cosmic_runtime::http::Problem;
use serde_json::Value;

use super::{Door, Refused};

pub(super) async fn show(State(door): State<Door>) -> Result<Json<Value>, Refused> {
    let deletion = door.care.deletion().clone();
    let told = tokio::task::spawn_blocking(move || deletion.status()).await.map_err(Refused::failed)?;
    Ok(Json(told.map_err(Refused::failed)?))
}

pub(super) async fn receipts(
    State(door): State<Door>,
    Path(object): Path<String>,
) -> Result<Json<Value>, Refused> {
    let object: ObjectId = object.parse().map_err(|error| {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "object-id", "this is no object id");
        Refused(problem.detail(format!("{error}")))
    })?;
    let deletion = door.care.deletion().clone();
    let told =
        tokio::task::spawn_blocking(move || deletion.receipts(object)).await.map_err(Refused::failed)?;
    Ok(Json(told.map_err(Refused::failed)?))
}
