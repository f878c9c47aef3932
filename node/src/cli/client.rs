//! The command line's way to the running node: HTTP on loopback, found through `run.json`.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{
    StatusCode,
    blocking::{Body, Client as Http, RequestBuilder, Response},
};
use serde::Deserialize;
use serde_json::Value;

/// How long the node may take to accept a connection; it is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No node runs on this data directory.
    #[error("no node is running on {0}; start it with: cosmic-node run --data-dir {0}", directory.display())]
    NotRunning { directory: PathBuf },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is not what a node writes; remove it and start the node again", path.display())]
    RunFile { path: PathBuf, source: serde_json::Error },
    #[error("the node did not answer; see its log")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Refused(Problem),
    #[error("the input is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    #[error("{0}")]
    Usage(&'static str),
}

/// An answer of `application/problem+json` (RFC 9457).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or(&self.title))?;
        if self.code.is_empty() { Ok(()) } else { write!(f, " [{}]", self.code) }
    }
}

#[derive(Deserialize)]
struct RunFile {
    http: String,
    token: Option<String>,
}

/// A running node, as its command line sees it.
pub(crate) struct Client {
    http: Http,
    base: String,
    token: String,
}

impl Client {
    /// Finds the node that runs on `directory`.
    pub(crate) fn find(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("run.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotRunning { directory: directory.to_owned() });
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        let run: RunFile = serde_json::from_str(&text).map_err(|source| Error::RunFile { path, source })?;
        let http = Http::builder().connect_timeout(CONNECT_TIMEOUT).timeout(None).build()?;
        let client =
            Self { http, base: format!("http://{}", run.http), token: run.token.unwrap_or_default() };
        match client.http.get(format!("{}/health", client.base)).send() {
            Err(error) if error.is_connect() => Err(Error::NotRunning { directory: directory.to_owned() }),
            Err(error) => Err(error.into()),
            Ok(_answer) => Ok(client),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Error> {
        json(self.request(self.http.get(self.url(path)))?)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        json(self.request(self.http.post(self.url(path)).json(body))?)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Error> {
        json(self.request(self.http.put(self.url(path)).json(body))?)
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Result<Value, Error> {
        json(self.request(self.http.patch(self.url(path)).json(body))?)
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Error> {
        json(self.request(self.http.delete(self.url(path)))?)
    }

    /// Sends `body` as it is, for files.
    pub(crate) fn upload(&self, path: &str, body: Body) -> Result<Value, Error> {
        json(self.request(self.http.put(self.url(path)).body(body))?)
    }

    /// The raw answer, for files and event streams.
    pub(crate) fn stream(&self, path: &str) -> Result<Response, Error> {
        self.request(self.http.get(self.url(path)))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.base)
    }

    fn request(&self, request: RequestBuilder) -> Result<Response, Error> {
        let answer = request.bearer_auth(&self.token).send()?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text()?;
        let problem = serde_json::from_str(&text).unwrap_or_else(|_error| Problem {
            title: format!("the node answered {status}: {}", text.trim()),
            ..Problem::default()
        });
        Err(Error::Refused(problem))
    }
}

fn json(answer: Response) -> Result<Value, Error> {
    if answer.status() == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let text = answer.text()?;
    if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
}

/// One segment of a path, percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
