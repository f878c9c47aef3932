//! What a program is told when a request is refused: one stable code, status and title for each reason.

use axum::http::StatusCode;
use cosmic_runtime::{exit::sentence, http::Problem};

use crate::{database, error::Error};

/// A kind of problem, as the document lists it.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// Whether every operation may answer with it.
    pub(super) always: bool,
}

const fn kind(code: &'static str, status: StatusCode, title: &'static str) -> Kind {
    Kind { code, status, title, always: false }
}

const fn always(code: &'static str, status: StatusCode, title: &'static str) -> Kind {
    Kind { code, status, title, always: true }
}

const NO_SPACE: Kind = kind("no-space", StatusCode::NOT_FOUND, "there is no such space here");
const NO_DOCUMENT: Kind = kind("no-document", StatusCode::NOT_FOUND, "there is no such document");
const NO_FILE: Kind = kind("no-file", StatusCode::NOT_FOUND, "there is no such file");
const AMBIGUOUS: Kind = kind("ambiguous-space", StatusCode::BAD_REQUEST, "several spaces fit");
const VERSION: Kind = kind("version", StatusCode::PRECONDITION_FAILED, "the document has changed");
const JOINING: Kind = kind("joining", StatusCode::CONFLICT, "the space is still being joined");
const NOT_ALLOWED: Kind = kind("not-allowed", StatusCode::FORBIDDEN, "this device may not do that");
const NAME: Kind = kind("name", StatusCode::BAD_REQUEST, "a name or id is unusable");
const DOCUMENT: Kind = kind("document", StatusCode::BAD_REQUEST, "the document cannot be stored");
const TOO_LARGE: Kind = kind("too-large", StatusCode::PAYLOAD_TOO_LARGE, "this is too large");
const TICKET: Kind = kind("ticket", StatusCode::BAD_REQUEST, "the ticket cannot be used");
const DISK_FULL: Kind = kind("disk-full", StatusCode::INSUFFICIENT_STORAGE, "the disk is full");
const INTERRUPTED: Kind = kind("interrupted", StatusCode::BAD_REQUEST, "the upload was interrupted");
const UNREACHABLE: Kind = kind("unreachable", StatusCode::SERVICE_UNAVAILABLE, "not reachable now");
const NOT_SAFE_YET: Kind = kind("not-safe-yet", StatusCode::GATEWAY_TIMEOUT, "not as safe as asked yet");
const RANGE: Kind = kind("range", StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such range");
const INTERNAL: Kind = always("internal", StatusCode::INTERNAL_SERVER_ERROR, "the node failed");
// The door itself answers with these (`runtime::http`).
const REQUEST: Kind = always("request", StatusCode::BAD_REQUEST, "the request cannot be understood");
const UNAUTHORIZED: Kind = always("unauthorized", StatusCode::UNAUTHORIZED, "a token is needed");
const FOREIGN_HOST: Kind =
    always("foreign-host", StatusCode::FORBIDDEN, "this host or origin is not served here");

/// All kinds.
pub(super) const ALL: &[Kind] = &[
    NO_SPACE,
    NO_DOCUMENT,
    NO_FILE,
    AMBIGUOUS,
    VERSION,
    JOINING,
    NOT_ALLOWED,
    NAME,
    DOCUMENT,
    TOO_LARGE,
    TICKET,
    DISK_FULL,
    INTERRUPTED,
    UNREACHABLE,
    NOT_SAFE_YET,
    RANGE,
    INTERNAL,
    REQUEST,
    UNAUTHORIZED,
    FOREIGN_HOST,
];

/// The range a client asked for is not there.
pub(super) fn no_range(bytes: u64) -> Problem {
    Problem::new(RANGE.status, RANGE.code, RANGE.title).detail(format!("the file has {bytes} bytes"))
}

/// What a program and a person are told of an error.
pub(super) fn problem(error: &Error) -> Problem {
    let Kind { code, status, title, .. } = match error {
        Error::NoSpace { .. } => NO_SPACE,
        Error::NoDocument { .. } => NO_DOCUMENT,
        Error::NoFile { .. } => NO_FILE,
        Error::AmbiguousSpace { .. } => AMBIGUOUS,
        Error::Version { .. } => VERSION,
        Error::NotYet { .. } => JOINING,
        Error::NotAllowed(_) | Error::Role { .. } => NOT_ALLOWED,
        Error::Name { .. } | Error::Region { .. } | Error::Regions { .. } => NAME,
        Error::Document(_) => DOCUMENT,
        Error::TooLarge { .. } | Error::FileTooLarge { .. } => TOO_LARGE,
        Error::Ticket(_) => TICKET,
        Error::Database(database::Error::Full { .. }) => DISK_FULL,
        Error::Cache { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => DISK_FULL,
        Error::Upload(_) => INTERRUPTED,
        Error::Unreachable | Error::Offline => UNREACHABLE,
        Error::NotSafeYet => NOT_SAFE_YET,
        Error::Database(_)
        | Error::Entry(_)
        | Error::Space(_)
        | Error::Seal(_)
        | Error::Damaged(_)
        | Error::DamagedId(_)
        | Error::Cache { .. }
        | Error::Export { .. } => {
            tracing::error!(error = sentence(error), "a request failed");
            INTERNAL
        }
    };
    Problem::new(status, code, title).detail(sentence(error))
}
