//! A backup while the supernode runs: a checkpoint of the store and the small files beside it.

use std::path::PathBuf;

use axum::{Json, extract::State, http::StatusCode};
use cosmic_runtime::http::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Door, Refused};

/// Where a backup goes and what is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// A directory that is not there yet, on this machine.
    pub to: PathBuf,
    /// Whether the key of the supernode is in it too.
    #[serde(default)]
    pub with_key: bool,
}

pub(super) async fn make(
    State(door): State<Door>,
    Json(request): Json<BackupRequest>,
) -> Result<Json<Value>, Refused> {
    let BackupRequest { to, with_key } = request;
    if !to.is_absolute() || to.exists() {
        let problem =
            Problem::new(StatusCode::CONFLICT, "backup-place", "the backup needs a directory of its own");
        let detail = format!("{} must be an absolute path, and nothing may be there", to.display());
        return Err(Refused(problem.detail(detail)));
    }
    let (store, home, place) = (door.context.store.clone(), std::sync::Arc::clone(&door.home), to.clone());
    let made = tokio::task::spawn_blocking(move || home.backup(&store, &place, with_key)).await;
    let bytes = made.map_err(Refused::failed)?.map_err(Refused::failed)?;
    tracing::info!(to = %to.display(), bytes, with_key, "a backup was made");
    Ok(Json(json!({ "to": to, "bytes": bytes, "with_key": with_key })))
}
