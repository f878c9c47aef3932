//! The command line: what makes and signs a supernode works on files, the rest asks the running one.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use cosmic_common::id::SpaceId;
use cosmic_runtime::{config::Mistakes, exit, telemetry};

use crate::{config, home, home::Home, key_file, start};

mod client;
mod operator;
mod output;

use client::Client;
use output::Output;

/// The supernode of CosmicSync: keeps and passes on sealed entries and objects that it cannot read.
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
    /// Where the supernode keeps its data [default: /var/lib/cosmic-supernode for root, or $XDG_DATA_HOME/cosmic-supernode]
    #[arg(long, global = true, env = "COSMIC_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the data directory and the supernode's key (`run` does it when nothing is there)
    Init {
        /// The file that names the network and its bootstrap nodes
        #[arg(long, value_name = "FILE")]
        network: Option<PathBuf>,
    },
    /// Run the supernode until it is told to stop
    Run(config::Flags),
    /// What the supernode is, does and keeps
    Status,
    /// The ring: all supernodes of the network
    #[command(subcommand)]
    Ring(RingCommand),
    /// Operators: who speaks for supernodes
    #[command(subcommand)]
    Operator(operator::Command),
    /// What a space may keep here
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Write everything this supernode can read of what it stores into a directory
    Dump {
        /// A directory, made if it is not there; holds `records.jsonl` (what is known of each thing) and `raw` (all bytes)
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Peers this supernode is connected to
    Peers,
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum RingCommand {
    /// Its members and where they are
    Show,
}

#[derive(Debug, Subcommand)]
enum QuotaCommand {
    /// Show a space's quota and what it uses
    Show {
        /// The space
        space: SpaceId,
    },
    /// Set it; what is not named stays
    Set {
        /// The space
        space: SpaceId,
        /// Bytes of entries it may keep here
        #[arg(long, value_name = "BYTES")]
        entry_bytes: Option<u64>,
        /// Bytes of shards it may keep here
        #[arg(long, value_name = "BYTES")]
        shard_bytes: Option<u64>,
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
    Key(#[from] key_file::Error),
    #[error(transparent)]
    Start(#[from] start::Error),
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    #[error(transparent)]
    Ring(#[from] cosmic_ring::Error),
    /// Nothing runs there.
    #[error("no supernode is running on {0}; start it with: cosmic-supernode run --data-dir {0}", directory.display())]
    NotRunning { directory: PathBuf },
    #[error("the supernode did not answer; see its log")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Refused(String),
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    #[error("cannot start the threads of the process")]
    Threads(#[source] io::Error),
    #[error("{0}")]
    Usage(&'static str),
}

impl Error {
    const fn code(&self) -> exit::Code {
        match self {
            Self::Mistakes(_)
            | Self::Runtime(cosmic_runtime::Error::Config(_) | cosmic_runtime::Error::LogFilter { .. }) => {
                exit::Code::Configuration
            }
            Self::Usage(_) => exit::Code::Usage,
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
            output.pair("peer", &home.key().peer_id())
        }
        Command::Run(flags) => run(&flags, &data_dir),
        Command::Status => output.fields(&Client::find(&data_dir)?.get("/status")?),
        Command::Ring(RingCommand::Show) => {
            let ring = Client::find(&data_dir)?.get("/api/v1/ring")?;
            output.table(
                &ring,
                "members",
                &["peer", "state", "zone", "region", "weight", "operator", "addresses"],
            )
        }
        Command::Operator(command) => operator::carry_out(command, &data_dir, &output),
        Command::Quota(QuotaCommand::Show { space }) => {
            output.fields(&Client::find(&data_dir)?.get(&format!("/api/v1/quota/{space}"))?)
        }
        Command::Quota(QuotaCommand::Set { space, entry_bytes, shard_bytes }) => {
            if entry_bytes.is_none() && shard_bytes.is_none() {
                return Err(Error::Usage("say what to set: --entry-bytes, --shard-bytes, or both"));
            }
            let change =
                crate::admin::QuotaChange { entry_bytes_max: entry_bytes, shard_bytes_max: shard_bytes };
            output.fields(&Client::find(&data_dir)?.put_json(&format!("/api/v1/quota/{space}"), &change)?)
        }
        Command::Dump { out } => dump(&Client::find(&data_dir)?, &out, &output),
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

fn run(flags: &config::Flags, data_dir: &std::path::Path) -> Result<(), Error> {
    let config = config::load(flags, data_dir)?;
    telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Threads)?;
    runtime.block_on(async { start::start(config, data_dir).await?.run().await })?;
    Ok(())
}

fn dump(client: &Client, out: &std::path::Path, output: &Output) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(|source| Error::File {
        act: "create",
        path: out.to_owned(),
        source,
    })?;
    let mut bytes = 0;
    for (name, route) in [("records.jsonl", "/api/v1/dump/records"), ("raw", "/api/v1/dump/raw")] {
        let path = out.join(name);
        let failed = |source| Error::File { act: "write", path: path.clone(), source };
        let mut file = std::fs::File::create(&path).map_err(failed)?;
        bytes += client.copy(route, &mut file)?;
        file.flush().map_err(failed)?;
    }
    output.pair("bytes", &bytes)
}
