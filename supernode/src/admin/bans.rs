//! Who is kept out, and letting somebody in again.

use axum::{Json, extract::State, http::StatusCode};
use cosmic_runtime::http::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Door, Refused};

/// Whom to let in again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiftRequest {
    /// As the list names him.
    pub who: String,
}

pub(super) async fn show(State(door): State<Door>) -> Json<Value> {
    let watch = door.context.net.watch();
    let ban = |ban: &cosmic_net::Ban| json!({ "who": ban.who, "seconds_left": ban.left.as_secs() });
    Json(json!({ "pressure": watch.pressure, "bans": watch.bans.iter().map(ban).collect::<Vec<_>>() }))
}

pub(super) async fn lift(
    State(door): State<Door>,
    Json(request): Json<LiftRequest>,
) -> Result<Json<Value>, Refused> {
    if door.context.net.pardon(&request.who) {
        tracing::info!(who = request.who, "let in again by the operator");
        return Ok(show(State(door)).await);
    }
    let problem = Problem::new(StatusCode::NOT_FOUND, "no-ban", "nobody of this name is kept out");
    Err(Refused(problem.detail("`cosmic-supernode bans list` shows the names".to_owned())))
}
