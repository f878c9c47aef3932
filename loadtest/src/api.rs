//! The node's HTTP API as an app uses it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

use crate::process::Process;

/// Why a request did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node did not answer.
    #[error("no answer to {method} {path}")]
    Http {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The node refused.
    #[error("{method} {path}: {status}: {body}")]
    Refused {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// The status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// The answer lacks something.
    #[error("the answer to {path} has no {field}: {body}")]
    Field {
        /// The path.
        path: String,
        /// What was looked for.
        field: &'static str,
        /// What was there.
        body: String,
    },
}

/// An app that talks to one node.
#[derive(Debug, Clone)]
pub struct App {
    http: Client,
    base: String,
    token: String,
}

impl App {
    /// The app beside `node`.
    #[must_use]
    pub fn new(node: &Process) -> Self {
        let run = node.run();
        Self {
            http: Client::new(),
            base: format!("http://{}", run.http),
            token: run.token.clone().unwrap_or_default(),
        }
    }

    /// `path` below `/api/v1/`, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1/{path}", self.base)).bearer_auth(&self.token)
    }

    /// Sends `request` and returns the answer if it is a success.
    ///
    /// # Errors
    /// [`Error`] if there is none, or a refusal.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Error> {
        let answer = build(self.request(method.clone(), path))
            .send()
            .await
            .map_err(|source| Error::Http { method: method.clone(), path: path.to_owned(), source })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap_or_default();
        Err(Error::Refused { method, path: path.to_owned(), status, body })
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Value, Error> {
        let answer = self.send(method.clone(), path, build).await?;
        let bytes =
            answer.bytes().await.map_err(|source| Error::Http { method, path: path.to_owned(), source })?;
        Ok(if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// `GET` with a JSON answer.
    ///
    /// # Errors
    /// [`Error`] if there is none, or a refusal.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.json(Method::GET, path, |request| request).await
    }

    /// `POST` with a JSON body and answer.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.json(Method::POST, path, |request| request.json(body)).await
    }

    /// `PUT` with a JSON body and answer.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.json(Method::PUT, path, |request| request.json(body)).await
    }

    /// `PATCH` with a JSON body and answer.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.json(Method::PATCH, path, |request| request.json(body)).await
    }

    /// Uploads `body` as the file `name`.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn upload(
        &self,
        space: &str,
        name: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Value, Error> {
        let body = body.into();
        self.json(Method::PUT, &format!("spaces/{space}/files/{name}"), |request| request.body(body)).await
    }

    /// The file `name`, piece by piece.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn download(&self, space: &str, name: &str) -> Result<Response, Error> {
        self.send(Method::GET, &format!("spaces/{space}/files/{name}"), |request| request).await
    }

    /// The sum of the lines of its metrics that begin with `name`, which may go on with labels.
    ///
    /// # Errors
    /// As [`App::get`], and [`Error::Field`] if there is no such line.
    pub async fn metric(&self, name: &str) -> Result<u64, Error> {
        let lost = |source| Error::Http { method: Method::GET, path: "metrics".to_owned(), source };
        let answer = self.http.get(format!("{}/metrics", self.base)).bearer_auth(&self.token).send().await;
        let text = answer.map_err(lost)?.text().await.map_err(lost)?;
        let values: Vec<u64> = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse().ok())
            .collect();
        let missing = Error::Field { path: "metrics".to_owned(), field: "metric", body: name.to_owned() };
        if values.is_empty() { Err(missing) } else { Ok(values.iter().sum()) }
    }

    /// Creates a space and returns its id.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn create_space(&self, name: &str) -> Result<String, Error> {
        self.create_space_in(name, &[]).await
    }

    /// Creates a space whose data may lie in `regions` alone and returns its id.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn create_space_in(&self, name: &str, regions: &[&str]) -> Result<String, Error> {
        let answer = self.post("spaces", &serde_json::json!({"name": name, "regions": regions})).await?;
        text(&answer, "spaces", "space")
    }

    /// Invites with `role` and returns the ticket.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn invite(&self, space: &str, role: &str) -> Result<String, Error> {
        let path = format!("spaces/{space}/invites");
        let answer = self.post(&path, &serde_json::json!({"role": role})).await?;
        text(&answer, &path, "ticket")
    }

    /// Joins by `ticket` and returns the space's id.
    ///
    /// # Errors
    /// As [`App::get`].
    pub async fn join(&self, ticket: &str) -> Result<String, Error> {
        let answer = self.post("spaces/join", &serde_json::json!({"ticket": ticket})).await?;
        text(&answer, "spaces/join", "space")
    }

    /// Asks `path` again and again until `enough` says so; polls, as a person at a status page would.
    ///
    /// # Errors
    /// The last [`Error`] or [`Error::Field`] with the last answer when `within` has passed.
    pub async fn wait_until(
        &self,
        path: &str,
        what: &'static str,
        within: Duration,
        enough: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        let mut last = Value::Null;
        let polled = tokio::time::timeout(within, async {
            loop {
                match self.get(path).await {
                    Ok(answer) if enough(&answer) => return answer,
                    Ok(answer) => last = answer,
                    Err(error) => last = Value::String(error.to_string()),
                }
                tokio::time::sleep(POLL).await;
            }
        })
        .await;
        polled.map_err(|_elapsed| Error::Field { path: path.to_owned(), field: what, body: last.to_string() })
    }
}

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The string under `field` of an answer.
///
/// # Errors
/// [`Error::Field`] if there is none.
pub fn text(answer: &Value, path: &str, field: &'static str) -> Result<String, Error> {
    answer.get(field).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| Error::Field {
        path: path.to_owned(),
        field,
        body: answer.to_string(),
    })
}
