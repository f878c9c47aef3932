//! The flags of `run` that all houses have, and the settings that follow from them.

use std::path::{Path, PathBuf};

use clap::Args;
use cosmic_runtime::{config::Sources, shutdown};

use crate::Error;

/// The settings that have flags of their own.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// A file with settings [default: the one in the data directory, if it is there]
    #[arg(long, value_name = "FILE", env = "COSMIC_CONFIG")]
    pub config: Option<PathBuf>,
    /// The network to join: the file that `cosmic-bootstrap network show --json` prints
    #[arg(long, value_name = "FILE")]
    pub network: Option<String>,
    /// Where peers reach this process, over TCP and UDP; port 0 takes free ones
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Where its HTTP listens; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<String>,
    /// Any other setting, such as log.format=json; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Stop when standard input ends, for programs that start this one as their child: it never outlives them
    #[arg(long)]
    pub until_stdin_ends: bool,
}

impl Flags {
    /// Begins to watch standard input, if that was asked for.
    ///
    /// # Errors
    /// If the operating system gives no thread for it.
    pub fn follow_stdin(&self) -> Result<(), Error> {
        if self.until_stdin_ends { shutdown::follow_stdin().map_err(Error::Threads) } else { Ok(()) }
    }

    /// These flags over the environment, over the file named or `file` in `data_dir`. `http` is the key of `--http`.
    #[must_use]
    pub fn sources(&self, data_dir: &Path, file: &str, http: &str) -> Sources {
        let sources = match &self.config {
            Some(path) => Sources::new().file(path),
            None => Sources::new().file_if_present(data_dir.join(file)),
        };
        let sources = sources
            .process_environment()
            .flag("--network", "network", self.network.clone())
            .flag("--listen", "listen", self.listen.clone())
            .flag("--http", http, self.http.clone());
        self.set.iter().fold(sources, |sources, assignment| sources.assignment(assignment))
    }
}
