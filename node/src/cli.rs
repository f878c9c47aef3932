//! The command line: nouns then verbs, all of them requests to the running node but `run`, `init` and `completions`.

use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

mod client;
mod document;
mod file;
mod output;
mod space;
mod whole;

pub(crate) use client::Error;

/// The light node of CosmicSync: documents and files of local-first apps, sealed, offline first, synced.
#[derive(Debug, Parser)]
#[command(name = "cosmic-node", version = crate::VERSION)]
pub struct Arguments {
    #[command(flatten)]
    pub(crate) everywhere: Everywhere,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Everywhere {
    /// Where the node keeps its data [default: $XDG_DATA_HOME/cosmic-node]
    #[arg(long, global = true, env = "COSMIC_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the data directory and the device key (`run` does it when nothing is there)
    Init,
    /// Run the node until it is told to stop
    Run(crate::config::Flags),
    /// What the node does and whom it is connected to
    Status,
    /// What works, what does not, and why
    Doctor,
    /// Spaces: the unit of sharing
    #[command(subcommand)]
    Space(space::Command),
    /// Documents
    #[command(subcommand)]
    Doc(document::Command),
    /// Files
    #[command(subcommand)]
    File(file::Command),
    /// Who this device is
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Peers this node is connected to
    Peers,
    /// Work offline or online
    Network {
        /// What to do
        state: NetworkState,
    },
    /// Write all documents and files of a space in the clear into a directory
    Export {
        /// The space (its id or a beginning of it)
        space: String,
        /// An empty or new directory
        directory: PathBuf,
    },
    /// The cache of sealed chunks
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum NetworkState {
    /// Connect to supernodes and devices
    Online,
    /// Keep to this device until told otherwise
    Offline,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// The device's name
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Forget cached chunks that are safe at supernodes
    Clear,
}

/// How safe something must be before a command returns.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WaitLevel {
    /// On this device's disk
    Local,
    /// On one supernode
    Accepted,
    /// On two of three replicas
    Replicated,
    /// Coded and placed: survives losses
    Durable,
}

impl WaitLevel {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Accepted => "accepted",
            Self::Replicated => "replicated",
            Self::Durable => "durable",
        }
    }
}

/// Carries out a command that talks to the running node.
///
/// # Errors
/// [`Error`] with one sentence for the person at the terminal.
pub(crate) fn carry_out(command: Command, everywhere: &Everywhere) -> Result<(), Error> {
    let directory = crate::config::data_directory(everywhere.data_dir.as_deref());
    let client = client::Client::find(&directory)?;
    let out = output::Output::new(everywhere.json);
    match command {
        Command::Space(command) => space::carry_out(command, &client, &out),
        Command::Doc(command) => document::carry_out(command, &client, &out),
        Command::File(command) => file::carry_out(command, &client, &out),
        other => whole::carry_out(other, &client, &out),
    }
}

/// The text of `file`, or of standard input where it is `-` or missing.
fn text_input(file: Option<&PathBuf>) -> Result<String, Error> {
    match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source }),
        None => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(Error::Input)?;
            Ok(text)
        }
    }
}
