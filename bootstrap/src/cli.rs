//! The command line: what makes and signs a network works on files and tells the running process, the rest asks it.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use cosmic_runtime::{config::Mistakes, exit, telemetry};

use crate::{change, config, home, home::Home, start};

mod client;
mod network;
mod output;

use client::Client;
use output::Output;

/// The bootstrap node of CosmicSync: makes a network, and is the door through which others find it.
#[derive(Debug, Parser)]
#[command(name = home::PROGRAM, version = crate::VERSION)]
pub struct Arguments {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
struct Everywhere {
    /// Where the bootstrap node keeps its data [default: /var/lib/cosmic-bootstrap for root, or $XDG_DATA_HOME/cosmic-bootstrap]
    #[arg(long, global = true, env = "COSMIC_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the data directory and the key of the process (`run` and `network create` do it when nothing is there)
    Init {
        /// The file that names the network, for a further bootstrap node of a network made elsewhere
        #[arg(long, value_name = "FILE")]
        network: Option<PathBuf>,
    },
    /// Run the bootstrap node until it is told to stop
    Run(config::Flags),
    /// What the bootstrap node is and knows
    Status,
    /// The network: its key, its configuration, its operators
    #[command(subcommand)]
    Network(network::Command),
    /// Peers this bootstrap node is connected to
    Peers,
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error(transparent)]
    Home(#[from] home::Error),
    #[error(transparent)]
    Start(#[from] start::Error),
    #[error(transparent)]
    Change(#[from] change::Error),
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    #[error("no bootstrap node is running on {0}; start it with: cosmic-bootstrap run --data-dir {0}", directory.display())]
    NotRunning { directory: PathBuf },
    #[error("the bootstrap node did not answer; see its log")]
    Http(#[from] reqwest::Error),
    #[error("the bootstrap node answered something unknown; is it of another version?")]
    Answer(#[source] cosmic_common::record::RecordError),
    #[error("{0}")]
    Refused(String),
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    #[error("cannot start the threads of the process")]
    Threads(#[source] io::Error),
}

impl Error {
    const fn code(&self) -> exit::Code {
        match self {
            Self::Mistakes(_) => exit::Code::Configuration,
            Self::Runtime(error) => error.exit_code(),
            _ => exit::Code::Failed,
        }
    }
}

/// Carries out what `arguments` ask for; an error is one sentence on standard error.
#[must_use]
#[expect(clippy::print_stderr, reason = "a command line tells its errors on standard error")]
pub fn main(arguments: Arguments) -> ExitCode {
    match carry_out(arguments) {
        Ok(()) => exit::Code::Done.into(),
        Err(error) => {
            eprintln!("{}: {}", home::PROGRAM, exit::sentence(&error));
            error.code().into()
        }
    }
}

fn carry_out(Arguments { everywhere, command }: Arguments) -> Result<(), Error> {
    let data_dir = match &everywhere.data_dir {
        Some(path) => path.clone(),
        None => home::default_path()?,
    };
    let output = Output::new(everywhere.json);
    match command {
        Command::Init { network } => {
            let home = Home::open(&data_dir)?;
            if network.is_some() {
                home.network(network.as_deref())?;
            }
            output.fields(&serde_json::json!({ "peer": home.key().peer_id() }))
        }
        Command::Run(flags) => run(&flags, &data_dir),
        Command::Status => output.fields(&Client::find(&data_dir)?.get("/status")?),
        Command::Network(command) => network::carry_out(command, &data_dir, &output),
        Command::Peers => {
            let peers = Client::find(&data_dir)?.get("/api/v1/peers")?;
            output.list(&peers, &["peer", "role", "zone", "addresses"])
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), home::PROGRAM, &mut io::stdout());
            Ok(())
        }
    }
}

/// One thread serves hundreds of supernodes, and idle threads would take memory.
fn run(flags: &config::Flags, data_dir: &Path) -> Result<(), Error> {
    let config = config::load(flags, data_dir)?;
    telemetry::init(&config.log)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Threads)?;
    runtime.block_on(async { start::start(config, data_dir).await?.run().await })?;
    Ok(())
}
