//! What the command lines of all houses share: options, the way to the running process, what is printed, how it ends.
//!
//! A house keeps its own nouns and verbs (a `clap` enum and a `match`). Where its data lies, how the running process is
//! found and asked, how an answer looks to a person and to a program, and which exit code an error has, are the same
//! everywhere.

use std::{error::Error as StdError, io, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use cosmic_runtime::{
    data_dir::{self, Home},
    exit::{self, Code},
};

mod client;
mod error;
mod output;
mod run;

pub use client::{Answer, Client, segment};
pub use error::Error;
pub use output::{Output, cell, table};
pub use run::Flags;

/// A house, as its command line speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct House {
    /// The binary, and the name of its data directory.
    pub program: &'static str,
    /// What it runs: `no supernode is running on …`.
    pub noun: &'static str,
    /// Where its data lies by default.
    pub home: Home,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Everywhere {
    /// Where the data lies [default: $XDG_DATA_HOME/PROGRAM; for a service that root runs /var/lib/PROGRAM]
    #[arg(long, global = true, env = "COSMIC_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print the answer as JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

impl Everywhere {
    /// The data directory that is meant.
    ///
    /// # Errors
    /// If none was named and the environment names no home.
    pub fn data_dir(&self, house: House) -> Result<PathBuf, cosmic_runtime::Error> {
        self.data_dir.clone().map_or_else(|| data_dir::default_path(house.program, house.home), Ok)
    }

    /// Where answers go.
    #[must_use]
    pub const fn output(&self) -> Output {
        Output::new(self.json)
    }
}

/// Ends a program: an error is one sentence on standard error, and `code` says how it counts.
#[expect(clippy::print_stderr, reason = "a command line tells its errors on standard error")]
pub fn end<E: StdError>(program: &str, result: Result<(), E>, code: impl FnOnce(&E) -> Code) -> ExitCode {
    let Err(error) = result else { return Code::Done.into() };
    let code = code(&error);
    // Whoever read enough and closed the pipe has got what he wanted.
    if code != Code::Done {
        eprintln!("{program}: {}", exit::sentence(&error));
    }
    code.into()
}

/// Prints the completion script of `Arguments` for `shell`.
///
/// # Errors
/// If it cannot be written.
pub fn completions<Arguments: CommandFactory>(program: &str, shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), program, &mut script);
    output::write(&script)
}

/// What `completions` is asked for.
#[derive(Debug, Clone, Copy, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

impl Completions {
    /// Prints the completion script of `Arguments`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn print<Arguments: CommandFactory>(self, program: &str) -> Result<(), Error> {
        completions::<Arguments>(program, self.shell)
    }
}

/// All of `file`, or of standard input where it is `-` or missing.
///
/// # Errors
/// If it cannot be read.
pub fn input(file: Option<&PathBuf>) -> Result<String, Error> {
    match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source })
        }
        None => io::read_to_string(io::stdin()).map_err(Error::Input),
    }
}
