//! The way to the running process: HTTP on loopback, found through `run.json`, with its token.

use std::{
    io::{self, Read},
    path::Path,
    time::Duration,
};

use cosmic_runtime::{http::Problem, run_file};
use reqwest::blocking::{Body, Client as Http, RequestBuilder, Response};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, House};

#[cfg(test)]
mod tests;

/// How long the process may take to accept a connection; it is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running process, as its command line sees it. Paths lie below `/api/v1/`.
#[derive(Debug)]
pub struct Client {
    http: Http,
    base: String,
    token: String,
    house: House,
}

impl Client {
    /// Finds the process that runs on `directory`.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if there is none.
    pub fn find(house: House, directory: &Path) -> Result<Self, Error> {
        let House { noun, program, .. } = house;
        let not_running = || Error::NotRunning { noun, program, directory: directory.to_owned() };
        let run = run_file::read(directory)?.ok_or_else(not_running)?;
        // What a command may wait for has no end that is known here: a file of any size, a stream of events.
        let http = Http::builder().connect_timeout(CONNECT_TIMEOUT).timeout(None).no_proxy().build();
        let http = http.map_err(|source| Error::Http { noun, source })?;
        let token = run.token.map(|token| token.secret_text().to_owned()).unwrap_or_default();
        let client = Self { http, base: format!("http://{}", run.http), token, house };
        match client.http.get(format!("{}/health", client.base)).send() {
            Err(error) if error.is_connect() => Err(not_running()),
            Err(source) => Err(Error::Http { noun, source }),
            Ok(_answer) => Ok(client),
        }
    }

    /// What the process tells everyone about itself at `/status`.
    ///
    /// # Errors
    /// [`Error`] if no answer came that can be understood.
    pub fn status(&self) -> Result<Value, Error> {
        self.json(self.http.get(format!("{}/status", self.base)))
    }

    /// `GET`, with an answer of any shape.
    ///
    /// # Errors
    /// As [`Client::status`], and [`Error::Refused`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.json(self.http.get(self.url(path)))
    }

    /// `POST`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Error> {
        self.json(self.http.post(self.url(path)).json(body))
    }

    /// `PUT`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn put(&self, path: &str, body: &impl Serialize) -> Result<Value, Error> {
        self.json(self.http.put(self.url(path)).json(body))
    }

    /// `PATCH`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value, Error> {
        self.json(self.http.patch(self.url(path)).json(body))
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn delete(&self, path: &str) -> Result<Value, Error> {
        self.json(self.http.delete(self.url(path)))
    }

    /// `PUT` of an encoded record.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn put_record(&self, path: &str, record: Vec<u8>) -> Result<Value, Error> {
        self.json(self.http.put(self.url(path)).body(record))
    }

    /// `GET` of an encoded record.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn record(&self, path: &str) -> Result<Vec<u8>, Error> {
        let noun = self.house.noun;
        let answer = self.answer(self.http.get(self.url(path)))?;
        Ok(answer.bytes().map_err(|source| Error::Http { noun, source })?.to_vec())
    }

    /// `PUT` of `bytes` bytes as they are read.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn upload(
        &self,
        path: &str,
        content: impl Read + Send + 'static,
        bytes: u64,
    ) -> Result<Value, Error> {
        self.json(self.http.put(self.url(path)).body(Body::sized(content, bytes)))
    }

    /// `GET`, with an answer to be read piece by piece.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn stream(&self, path: &str) -> Result<Answer, Error> {
        self.answer(self.http.get(self.url(path))).map(Answer)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.base)
    }

    fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let noun = self.house.noun;
        let text = self.answer(request)?.text().map_err(|source| Error::Http { noun, source })?;
        // An answer without content is the JSON null.
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text).map_err(|source| Error::Answer { noun, source })
    }

    fn answer(&self, request: RequestBuilder) -> Result<Response, Error> {
        let noun = self.house.noun;
        let failed = |source| Error::Http { noun, source };
        let answer = request.bearer_auth(&self.token).send().map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().map_err(failed)?;
        let sentence = match serde_json::from_str(&text) {
            Ok(Problem { code, title, detail, .. }) => format!("{} [{code}]", detail.unwrap_or(title)),
            Err(_not_a_problem) => format!("the {noun} answered {status}: {}", text.trim()),
        };
        Err(Error::Refused { sentence })
    }
}

/// An answer that is read piece by piece.
#[derive(Debug)]
pub struct Answer(Response);

impl Answer {
    /// How many bytes it has, if that is known.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.0.content_length()
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// One segment of a path, percent-encoded.
#[must_use]
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
