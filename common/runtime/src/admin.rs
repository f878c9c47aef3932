//! The admin door every binary has: is it alive, is it ready, how is it, what does it count.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    config::Mistakes,
    health::Health,
    http::{Problem, Token},
    metrics::Registry,
};

#[cfg(test)]
mod tests;

/// OpenMetrics text, as Prometheus asks for it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Shorter secrets can be guessed.
const TOKEN_MIN_BYTES: usize = 16;

/// Where the door is and who may read the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Readers of `/metrics` must bring this token, if one is set.
    pub metrics_token: Option<Token>,
    /// Host names, besides IP addresses and `localhost`, under which the door may be reached.
    pub host_names: Vec<String>,
}

impl Config {
    /// On loopback at `port`, open to everyone on this machine.
    #[must_use]
    pub fn on(port: u16) -> Self {
        Self { listen: ([127, 0, 0, 1], port).into(), metrics_token: None, host_names: Vec::new() }
    }

    /// Refuses a token that can be guessed.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.metrics_token.as_ref().is_some_and(|token| token.secret_text().len() < TOKEN_MIN_BYTES) {
            mistakes.refuse("metrics_token", format!("must have at least {TOKEN_MIN_BYTES} characters"));
        }
    }
}

type Status = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Value> + Send>> + Send + Sync>;

/// The routes of the door.
#[derive(Clone)]
pub struct Admin {
    health: Health,
    registry: Registry,
    metrics_token: Option<Token>,
    status: Option<Status>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Admin {
    /// A door that tells about `health` and `registry`.
    #[must_use]
    pub fn new(config: &Config, health: Health, registry: Registry) -> Self {
        Self { health, registry, metrics_token: config.metrics_token.clone(), status: None }
    }

    /// Answers `/status` with what `status` returns.
    #[must_use]
    pub fn status<F>(mut self, status: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Value> + Send + 'static,
    {
        self.status = Some(Arc::new(move || Box::pin(status())));
        self
    }

    /// The routes, to be served alone or merged with a house's own.
    pub fn router(self) -> Router {
        Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .with_state(self)
    }
}

async fn health(State(admin): State<Admin>) -> Response {
    let troubles = admin.health.troubles();
    let well = troubles.is_empty();
    (code(well), Json(json!({ "healthy": well, "troubles": troubles }))).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    let ready = admin.health.is_ready();
    (code(ready), Json(json!({ "ready": ready }))).into_response()
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if admin.metrics_token.as_ref().is_some_and(|token| !token.is_in(&headers)) {
        return Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "the metrics token is needed")
            .into_response();
    }
    match admin.registry.encode() {
        Ok(page) => ([(header::CONTENT_TYPE, OPEN_METRICS)], page).into_response(),
        Err(_error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "metrics", "a metric could not be written").into_response()
        }
    }
}

async fn status(State(admin): State<Admin>) -> Json<Value> {
    match admin.status {
        Some(status) => Json(status().await),
        None => Json(json!({ "ready": admin.health.is_ready(), "troubles": admin.health.troubles() })),
    }
}

const fn code(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
