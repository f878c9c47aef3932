//! HTTP listeners, and who may speak to them: a token, and hosts a web page cannot pretend to be.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use cosmic_common::id::base32;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{Error, random, tasks::Tasks};

#[cfg(test)]
mod tests;

/// The other header a token may come in.
const API_KEY: &str = "x-api-key";

/// A bearer secret of an API. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// The token with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A token nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(base32().encode(&random::seed()))
    }

    /// Its text, for whoever may know it.
    #[must_use]
    pub fn secret_text(&self) -> &str {
        &self.0
    }

    /// Whether a request with `headers` carries it, as `Authorization: Bearer` or `X-API-Key`.
    #[must_use]
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let bearer =
            headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split_first_chunk::<7>());
        let bearer =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer ")).map(|(_, given)| given);
        let given = bearer.or_else(|| headers.get(API_KEY).map(|value| value.as_bytes()));
        given.is_some_and(|given| same(given, self.0.as_bytes()))
    }

    /// Refuses whoever does not bring it to `router`.
    pub fn guard(&self, router: Router) -> Router {
        let token = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let admitted = token.is_in(request.headers());
            async move {
                if admitted { next.run(request).await } else { Problem::unauthorized().into_response() }
            }
        }))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Compares without telling by its duration where the first difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    let different = left.iter().zip(right).fold(0, |found, (left, right)| found | (left ^ right));
    left.len() == right.len() && different == 0
}

/// Refuses requests that a foreign web page makes through a visitor's browser: those for a host that is
/// neither an IP address nor `localhost` nor one of `names`, and those whose origin is not that host.
pub fn guard_hosts(router: Router, names: Vec<String>) -> Router {
    let names = Arc::new(names);
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let admitted = is_own_host(request.headers(), &names);
        async move { if admitted { next.run(request).await } else { Problem::foreign_host().into_response() } }
    }))
}

fn is_own_host(headers: &HeaderMap, names: &[String]) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(authority) = text(header::HOST).and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let ours = address.is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host));
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map(|(_, rest)| rest));
    ours && origin
        .is_none_or(|origin| origin.is_some_and(|from| from.eq_ignore_ascii_case(authority.as_str())))
}

/// How much of a refusal in plain text is kept as its detail; they are short.
const REFUSAL_MAX_BYTES: usize = 4096;

/// Answers with a [`Problem`] also where a request does not even reach `router`'s own code: an unknown path or method,
/// a body or parameter that cannot be read.
pub fn problems_only(router: Router) -> Router {
    let nowhere = || async { StatusCode::NOT_FOUND };
    router.fallback(nowhere).layer(middleware::map_response(as_problem))
}

async fn as_problem(answer: Response) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let told = kind.is_some_and(|kind| kind == PROBLEM);
    if !answer.status().is_client_error() || told {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let (status, code, title) = match parts.status {
        StatusCode::NOT_FOUND => (parts.status, "no-route", "there is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => (parts.status, "method", "this path does not know this method"),
        StatusCode::PAYLOAD_TOO_LARGE => (parts.status, "too-large", "this is too large"),
        // Why a body cannot be read (400, 415, 422 of the framework) matters to a person only.
        _ => (StatusCode::BAD_REQUEST, "request", "the request cannot be understood"),
    };
    let problem = Problem::new(status, code, title);
    let allowed = parts.headers.get(header::ALLOW).map(|methods| (header::ALLOW, methods.clone()));
    let allowed: HeaderMap = allowed.into_iter().collect();
    match axum::body::to_bytes(body, REFUSAL_MAX_BYTES).await {
        Ok(text) if !text.is_empty() => {
            (allowed, problem.detail(String::from_utf8_lossy(&text))).into_response()
        }
        _ => (allowed, problem).into_response(),
    }
}

/// The media type of a [`Problem`].
const PROBLEM: &str = "application/problem+json";

/// An error as programs read it: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A stable name of the problem, for programs.
    pub code: String,
    /// The problem in a few words.
    pub title: String,
    /// What failed here, where, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    /// A problem without detail.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, title: &str) -> Self {
        Self { status: status.as_u16(), code: code.to_owned(), title: title.to_owned(), detail: None }
    }

    /// The same with a sentence about this case.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a token is needed")
            .detail("send the token of run.json as Authorization: Bearer or X-API-Key")
    }

    fn foreign_host() -> Self {
        Self::new(StatusCode::FORBIDDEN, "foreign-host", "this host or origin is not served here")
            .detail("use an IP address or localhost, or name the host in the configuration")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, PROBLEM)], Json(self)).into_response()
    }
}

/// A bound address that does not answer yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::PortTaken`] or [`Error::Listen`].
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortTaken { address },
            _ => Error::Listen { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens, with the port really taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with `router` until the shutdown comes to the task `name`; requests under way are finished.
    pub fn serve(self, tasks: &Tasks, name: &'static str, router: Router) {
        let Self { listener, address } = self;
        tasks.spawn_fallible(name, |shutdown| async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { shutdown.triggered().await })
                .await
                .map_err(|source| Error::Serve { address, source })
        });
    }
}
