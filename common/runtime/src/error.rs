//! Everything that can go wrong beneath the houses, one sentence each.

use std::{error::Error as StdError, io, net::SocketAddr, path::PathBuf};

use tracing_subscriber::{filter::ParseError, util::TryInitError};

use crate::{config::Mistakes, exit::Code};

/// Why the process cannot start, go on or end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration does not make sense.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The filter of the log makes no sense.
    #[error("the log filter {filter:?} makes no sense; try info or warn,cosmic_net=debug")]
    LogFilter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logging was already set up.
    #[error("logging is set up once per process")]
    LogTwice(#[source] TryInitError),
    /// Someone else listens there.
    #[error(
        "cannot listen on {address}: the port is taken; stop who has it, or choose another (0 takes a free one)"
    )]
    PortTaken {
        /// Where.
        address: SocketAddr,
    },
    /// Listening failed for another reason.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The HTTP listener broke.
    #[error("the HTTP listener on {address} broke")]
    Serve {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data directory, or a file right in it, cannot be used.
    #[error("cannot {act} {}; check that it exists and that this user may write there", path.display())]
    DataDir {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("{} is in use by another {program}; stop it, or choose another --data-dir", path.display())]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
        /// Who would use it.
        program: &'static str,
    },
    /// The directory holds something of somebody else.
    #[error("{} is not a data directory of {program}: {found}; choose another --data-dir", path.display())]
    DataDirForeign {
        /// The directory.
        path: PathBuf,
        /// Who would use it.
        program: &'static str,
        /// What is there instead.
        found: String,
    },
    /// The directory was written by a version this build does not know.
    #[error("{} has data format {found}, this {program} knows up to {supported}; use the version that wrote it, or a newer one", path.display())]
    DataDirFormat {
        /// The directory.
        path: PathBuf,
        /// Who would use it.
        program: &'static str,
        /// The format there.
        found: u32,
        /// The newest format this build reads.
        supported: u32,
    },
    /// There is no home for data.
    #[error("cannot tell where data belongs: neither XDG_DATA_HOME nor HOME is set; use --data-dir")]
    NoHome,
    /// `run.json` cannot be written or read.
    #[error("cannot {act} {}", path.display())]
    RunFile {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `run.json` is not ours.
    #[error("{} is not what a running process writes; remove it", path.display())]
    RunFileForeign {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A task panicked: an invariant of ours is broken.
    #[error("the task {task} panicked: {words}")]
    TaskPanicked {
        /// Its name.
        task: &'static str,
        /// What it said.
        words: String,
    },
    /// A task failed.
    #[error("the task {task} failed")]
    TaskFailed {
        /// Its name.
        task: &'static str,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Tasks did not stop in time.
    #[error("these tasks did not stop in time and were dropped: {names}")]
    TasksLeft {
        /// Their names.
        names: String,
    },
    /// The process may not listen for signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

impl Error {
    /// The exit code a process ends with because of it.
    #[must_use]
    pub const fn exit_code(&self) -> Code {
        match self {
            Self::Config(_) | Self::LogFilter { .. } => Code::Configuration,
            _ => Code::Failed,
        }
    }
}
