//! The HTTP API under `/api/v1`: what apps and the command line speak.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use cosmic_runtime::{
    admin::Admin,
    http::{Problem, Token, guard_hosts},
};

use crate::{database, error::Error, node::Node};

mod documents;
mod durability;
mod events;
mod export;
mod files;
mod spaces;
mod whole;

/// The longest JSON body: a batch of documents.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// All routes: the API behind its token, and the admin door.
pub fn router(node: Node, admin: Admin, token: &Token, host_names: Vec<String>) -> Router {
    let documents = "/spaces/{space}/collections/{collection}/documents";
    let api = Router::new()
        .route("/spaces", get(spaces::list).post(spaces::create))
        .route("/spaces/join", post(spaces::join))
        .route("/spaces/{space}", get(spaces::show).delete(spaces::leave))
        .route("/spaces/{space}/invites", post(spaces::invite))
        .route("/spaces/{space}/members", get(spaces::members))
        .route("/spaces/{space}/durability", get(durability::of_space))
        .route(documents, get(documents::list).post(documents::create))
        .route(&format!("{documents}:batch"), post(documents::batch))
        .route(
            &format!("{documents}/{{id}}"),
            get(documents::read).put(documents::replace).patch(documents::patch).delete(documents::remove),
        )
        .route(&format!("{documents}/{{id}}/durability"), get(durability::of_document))
        .route("/spaces/{space}/files", get(files::list))
        .route("/spaces/{space}/files/{name}/durability", get(durability::of_file))
        .route("/events", get(events::stream))
        .route("/network", put(whole::network))
        .route("/status", get(whole::status))
        .route("/doctor", get(whole::doctor))
        .route("/identity", get(whole::identity))
        .route("/peers", get(whole::peers))
        .route("/cache/clear", post(whole::clear_cache))
        .route("/export", post(export::export))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES));
    let files = Router::new()
        .route(
            "/spaces/{space}/files/{name}",
            put(files::store).get(files::read).merge(delete(files::remove)),
        )
        .layer(DefaultBodyLimit::disable());
    let api = token.guard(api.merge(files).with_state(node));
    guard_hosts(Router::new().nest("/api/v1", api).merge(admin.router()), host_names)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        problem(&self).into_response()
    }
}

/// What a program and a person are told of an error.
fn problem(error: &Error) -> Problem {
    let (status, code, title) = match error {
        Error::NoSpace { .. } => (StatusCode::NOT_FOUND, "no-space", "there is no such space here"),
        Error::NoDocument { .. } => (StatusCode::NOT_FOUND, "no-document", "there is no such document"),
        Error::NoFile { .. } => (StatusCode::NOT_FOUND, "no-file", "there is no such file"),
        Error::AmbiguousSpace { .. } => (StatusCode::BAD_REQUEST, "ambiguous-space", "several spaces fit"),
        Error::Version { .. } => (StatusCode::PRECONDITION_FAILED, "version", "the document has changed"),
        Error::NotYet { .. } => (StatusCode::CONFLICT, "joining", "the space is still being joined"),
        Error::NotAllowed(_) | Error::Role { .. } => {
            (StatusCode::FORBIDDEN, "not-allowed", "this device may not do that")
        }
        Error::Name { .. } => (StatusCode::BAD_REQUEST, "name", "a name or id is unusable"),
        Error::Document(_) => (StatusCode::BAD_REQUEST, "document", "the document cannot be stored"),
        Error::TooLarge { .. } | Error::FileTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "this is too large")
        }
        Error::Ticket(_) => (StatusCode::BAD_REQUEST, "ticket", "the ticket cannot be used"),
        Error::Database(database::Error::Full { .. }) => {
            (StatusCode::INSUFFICIENT_STORAGE, "disk-full", "the disk is full")
        }
        Error::Cache { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            (StatusCode::INSUFFICIENT_STORAGE, "disk-full", "the disk is full")
        }
        Error::Upload(_) => (StatusCode::BAD_REQUEST, "interrupted", "the upload was interrupted"),
        Error::Unreachable | Error::Offline => {
            (StatusCode::SERVICE_UNAVAILABLE, "unreachable", "not reachable now")
        }
        Error::NotSafeYet => (StatusCode::GATEWAY_TIMEOUT, "not-safe-yet", "not as safe as asked yet"),
        Error::Database(_)
        | Error::Entry(_)
        | Error::Space(_)
        | Error::Seal(_)
        | Error::Damaged(_)
        | Error::DamagedId(_)
        | Error::Cache { .. }
        | Error::Export { .. } => {
            tracing::error!(error = cosmic_runtime::exit::sentence(error), "a request failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal", "the node failed")
        }
    };
    Problem::new(status, code, title).detail(cosmic_runtime::exit::sentence(error))
}
