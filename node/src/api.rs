//! The HTTP API under `/api/v1`: what apps and the command line speak.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
};
use cosmic_runtime::{
    admin::Admin,
    http::{Token, guard_hosts, problems_only},
};

use crate::{error::Error, node::Node};

mod deletion;
mod doctor;
mod documents;
mod durability;
mod events;
mod export;
mod files;
mod openapi;
mod problems;
mod routes;
mod spaces;
mod turn;
mod whole;

pub use openapi::document as openapi;

/// The longest JSON body: a batch of documents.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// All routes: the API behind its token, and the admin door.
pub fn router(node: Node, admin: Admin, token: &Token, host_names: Vec<String>) -> Router {
    let (mut guarded, mut open) = (Router::new(), Router::new());
    for operation in routes::operations() {
        let side = if operation.is_open() { &mut open } else { &mut guarded };
        *side = std::mem::take(side).route(operation.path, operation.route);
    }
    let guarded = guarded.layer(DefaultBodyLimit::max(BODY_MAX_BYTES)).with_state(node.clone());
    let api = token.guard(guarded).merge(open.with_state(node));
    guard_hosts(Router::new().nest("/api/v1", problems_only(api)).merge(admin.router()), host_names)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        problems::problem(&self).into_response()
    }
}
