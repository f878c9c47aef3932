//! The way to the running supernode: its admin door, found through `run.json`.

use std::{io::Write, path::Path, time::Duration};

use cosmic_runtime::{http::Problem, run_file};
use reqwest::blocking::{Client as Http, RequestBuilder, Response};
use serde::Serialize;
use serde_json::Value;

use super::Error;

/// It is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running supernode, as its command line sees it.
pub(super) struct Client {
    http: Http,
    base: String,
    token: String,
}

impl Client {
    /// Finds the supernode that runs on `directory`.
    pub(super) fn find(directory: &Path) -> Result<Self, Error> {
        let not_running = || Error::NotRunning { directory: directory.to_owned() };
        let run = run_file::read(directory)?.ok_or_else(not_running)?;
        let http = Http::builder().connect_timeout(CONNECT_TIMEOUT).timeout(None).no_proxy().build()?;
        let token = run.token.map(|token| token.secret_text().to_owned()).unwrap_or_default();
        let client = Self { http, base: format!("http://{}", run.http), token };
        match client.http.get(format!("{}/health", client.base)).send() {
            Err(error) if error.is_connect() => Err(not_running()),
            Err(error) => Err(error.into()),
            Ok(_answer) => Ok(client),
        }
    }

    pub(super) fn get(&self, route: &str) -> Result<Value, Error> {
        Ok(self.answer(self.http.get(self.url(route)))?.json()?)
    }

    pub(super) fn put_json(&self, route: &str, body: &impl Serialize) -> Result<Value, Error> {
        Ok(self.answer(self.http.put(self.url(route)).json(body))?.json()?)
    }

    pub(super) fn put_bytes(&self, route: &str, body: Vec<u8>) -> Result<Value, Error> {
        Ok(self.answer(self.http.put(self.url(route)).body(body))?.json()?)
    }

    /// Copies the answer, however long it is.
    pub(super) fn copy(&self, route: &str, into: &mut impl Write) -> Result<u64, Error> {
        Ok(self.answer(self.http.get(self.url(route)))?.copy_to(into)?)
    }

    fn url(&self, route: &str) -> String {
        format!("{}{route}", self.base)
    }

    fn answer(&self, request: RequestBuilder) -> Result<Response, Error> {
        let answer = request.bearer_auth(&self.token).send()?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text()?;
        let sentence = match serde_json::from_str::<Problem>(&text) {
            Ok(Problem { title, detail: Some(detail), .. }) => format!("{title}: {detail}"),
            Ok(Problem { title, detail: None, .. }) => title,
            Err(_error) => format!("the supernode answered {status}: {}", text.trim()),
        };
        Err(Error::Refused(sentence))
    }
}
