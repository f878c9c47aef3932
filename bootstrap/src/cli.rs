//! The command line: what makes and signs a network works on files and tells the running process, the rest asks it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use cosmic_cli::{Client, Completions, Everywhere, Flags, House};
use cosmic_runtime::{config::Mistakes, data_dir, exit, telemetry};

use crate::{change, config, home, home::Home, start};

mod network;

const HOUSE: House = House { program: home::PROGRAM, noun: "bootstrap node", home: data_dir::Home::Service };

/// The bootstrap node of CosmicSync: makes a network, and is the door through which others find it.
#[derive(Debug, Parser)]
#[command(name = home::PROGRAM, version = crate::VERSION)]
pub struct Arguments {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
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
    Run(Flags),
    /// What the bootstrap node is and knows
    Status,
    /// The network: its key, its configuration, its operators
    #[command(subcommand)]
    Network(network::Command),
    /// Peers this bootstrap node is connected to
    Peers,
    /// Print a completion script
    Completions(Completions),
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Cli(#[from] cosmic_cli::Error),
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
    #[error("the bootstrap node answered something unknown; is it of another version?")]
    Answer(#[source] cosmic_common::record::RecordError),
}

impl Error {
    fn code(&self) -> exit::Code {
        match self {
            Self::Cli(error) => error.code(),
            Self::Mistakes(_) => exit::Code::Configuration,
            Self::Runtime(error) => error.exit_code(),
            _ => exit::Code::Failed,
        }
    }
}

/// Carries out what `arguments` ask for; an error is one sentence on standard error.
#[must_use]
pub fn main(arguments: Arguments) -> ExitCode {
    cosmic_cli::end(home::PROGRAM, carry_out(arguments), Error::code)
}

fn carry_out(Arguments { everywhere, command }: Arguments) -> Result<(), Error> {
    let (data_dir, output) = (everywhere.data_dir(HOUSE)?, everywhere.output());
    match command {
        Command::Init { network } => {
            let home = Home::open(&data_dir)?;
            if network.is_some() {
                home.network(network.as_deref())?;
            }
            output.pair("peer", &home.key().peer_id())?;
        }
        Command::Run(flags) => run(&flags, &data_dir)?,
        Command::Status => output.fields(&Client::find(HOUSE, &data_dir)?.status()?)?,
        Command::Network(command) => network::carry_out(command, &data_dir, output)?,
        Command::Peers => {
            let peers = Client::find(HOUSE, &data_dir)?.get("peers")?;
            output.table(&peers, "", &["peer", "role", "zone", "addresses"])?;
        }
        Command::Completions(completions) => completions.print::<Arguments>(home::PROGRAM)?,
    }
    Ok(())
}

/// One thread serves hundreds of supernodes, and idle threads would take memory.
fn run(flags: &Flags, data_dir: &Path) -> Result<(), Error> {
    let config = config::load(flags, data_dir)?;
    flags.follow_stdin()?;
    telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cosmic_cli::Error::Threads)?;
    runtime.block_on(async { start::start(config, data_dir).await?.run().await })?;
    Ok(())
}
