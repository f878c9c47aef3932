//! `run.json`: what a running process tells other programs of this user about itself.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
};

use cosmic_common::{address::Address, id::PeerId, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    data_dir::{DataDir, replace},
    http::Token,
};

#[cfg(test)]
mod tests;

/// Its name in the data directory.
const NAME: &str = "run.json";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The process that wrote it; another one may have its id by now.
    pub pid: u32,
    /// The binary.
    pub program: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// Whether it takes work.
    pub ready: bool,
    /// Where its HTTP listens, with the port really taken.
    pub http: SocketAddr,
    /// Its peer id, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerId>,
    /// Its multiaddresses, with the ports really taken.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Where its bulk plane listens, over UDP, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<SocketAddr>,
    /// Where its relay for browsers listens, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<SocketAddr>,
    /// The token of its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
}

impl Run {
    /// This process, not ready yet.
    #[must_use]
    pub fn new(program: &str, version: &str, started: Timestamp, http: SocketAddr) -> Self {
        Self {
            pid: process::id(),
            program: program.to_owned(),
            version: version.to_owned(),
            started,
            ready: false,
            http,
            peer: None,
            addresses: Vec::new(),
            bulk: None,
            turn: None,
            token: None,
        }
    }
}

/// The file of this process. It goes when this is dropped; a kill leaves it behind.
#[derive(Debug)]
pub struct RunFile {
    path: PathBuf,
    run: Run,
}

impl RunFile {
    /// Writes `run` into `directory`, over what an earlier process left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(directory: &DataDir, run: Run) -> Result<Self, Error> {
        let file = Self { path: directory.path().join(NAME), run };
        file.write()?;
        Ok(file)
    }

    /// What the file says.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Changes what the file says; readers see the old or the new whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn update(&mut self, change: impl FnOnce(&mut Run)) -> Result<(), Error> {
        let before = self.run.clone();
        change(&mut self.run);
        if self.run == before { Ok(()) } else { self.write() }
    }

    fn write(&self) -> Result<(), Error> {
        let failed = |source| Error::RunFile { act: "write", path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&self.run).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        replace(&self.path, |file| file.write_all(&text)).map_err(failed)
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the run file could not be removed");
        }
    }
}

/// What the process that uses (or last used) the data directory at `path` said about itself.
///
/// # Errors
/// If the file cannot be read or is not ours.
pub fn read(path: &Path) -> Result<Option<Run>, Error> {
    let path = path.join(NAME);
    match fs::read(&path) {
        Ok(text) => {
            serde_json::from_slice(&text).map(Some).map_err(|source| Error::RunFileForeign { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::RunFile { act: "read", path, source }),
    }
}
