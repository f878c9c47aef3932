//! Why a command was not carried out.

use std::{io, path::PathBuf};

use cosmic_runtime::exit::Code;

/// What can go wrong between a person at a terminal and the running process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing runs there.
    #[error("no {noun} is running on {0}; start it with: {program} run --data-dir {0}", directory.display())]
    NotRunning {
        /// What should run.
        noun: &'static str,
        /// Its binary.
        program: &'static str,
        /// Where.
        directory: PathBuf,
    },
    /// The process around it, such as an unreadable `run.json`.
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    /// No answer came.
    #[error("the {noun} did not answer; see its log")]
    Http {
        /// Who was asked.
        noun: &'static str,
        /// Why not.
        source: reqwest::Error,
    },
    /// The answer cannot be understood.
    #[error("the {noun} answered something unknown; is it of another version?")]
    Answer {
        /// Who was asked.
        noun: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The process refused, and said why.
    #[error("{sentence}")]
    Refused {
        /// What it said.
        sentence: String,
    },
    /// The input is no JSON.
    #[error("the input is not JSON")]
    Json(#[source] serde_json::Error),
    /// Standard input broke.
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    /// Standard output broke.
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    /// A file that was named.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that was to be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The operating system gives no threads.
    #[error("cannot start the threads of the process")]
    Threads(#[source] io::Error),
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(&'static str),
    /// It did not happen in the time that was given.
    #[error("{0}")]
    TooSlow(&'static str),
}

impl Error {
    /// The exit code of a program that ends with it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Usage(_) => Code::Usage,
            Self::Runtime(error) => error.exit_code(),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Code::Done,
            _ => Code::Failed,
        }
    }
}
