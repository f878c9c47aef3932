//! The command line: what makes and signs a supernode works on files, the rest asks the running one.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use cosmic_cli::{Client, Completions, Everywhere, Flags, House, Output};
use cosmic_runtime::{config::Mistakes, data_dir, exit, telemetry};
use serde_json::{Value, json};

use crate::{config, home, home::Home, key_file, start};

mod audit;
mod bans;
mod cold;
mod deletion;
mod leaving;
mod network;
mod operator;
mod packs;
mod quota;
mod repair;
mod ring;

const HOUSE: House = House { program: home::PROGRAM, noun: "supernode", home: data_dir::Home::Service };

/// The supernode of CosmicSync: keeps and passes on sealed entries and objects that it cannot read.
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
    /// Make the data directory and the supernode's key (`run` does it when nothing is there)
    Init {
        /// The file that names the network and its bootstrap nodes
        #[arg(long, value_name = "FILE")]
        network: Option<PathBuf>,
    },
    /// Run the supernode until it is told to stop
    Run(Flags),
    /// What the supernode is, does and keeps
    Status {
        /// The whole network instead: the world, its regions and their zones, as they say themselves
        #[arg(long)]
        network: bool,
    },
    /// The ring: all supernodes of the network
    #[command(subcommand)]
    Ring(ring::Command),
    /// Operators: who speaks for supernodes
    #[command(subcommand)]
    Operator(operator::Command),
    /// What a space may keep here, or all spaces of an operator together
    #[command(subcommand)]
    Quota(quota::Command),
    /// Audits: whether others can prove that they have what they signed for
    #[command(subcommand)]
    Audit(audit::Command),
    /// Peers and addresses that are kept out
    #[command(subcommand)]
    Bans(bans::Command),
    /// Packs: entries coded into shards, so that replicas need not keep them
    #[command(subcommand)]
    Packs(packs::Command),
    /// Deletion: what is being removed, and who has signed that it is gone
    #[command(subcommand)]
    Deletion(deletion::Command),
    /// Repairs of what lost supernodes kept
    #[command(subcommand)]
    Repair(repair::Command),
    /// Send devices to other gateways, for maintenance; what is kept stays
    Drain(leaving::Drain),
    /// Leave the ring for good: pass on everything that is kept here, until nothing is left
    Retire(leaving::Retire),
    /// Write everything this supernode can read of what it stores into a directory
    Dump {
        /// A directory, made if it is not there; holds `records.jsonl` (what is known of each thing) and `raw` (all bytes)
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Reading everything again: find and heal what a disk got wrong
    #[command(subcommand)]
    Scrub(ScrubCommand),
    /// The cold tier: old shards in an object store
    #[command(subcommand)]
    Cold(cold::Command),
    /// Copy everything this supernode keeps into a new directory, while it runs
    Backup {
        /// The directory, which must not be there
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Put the supernode's key and member record in it as well: whoever has the backup can be this supernode then
        #[arg(long)]
        with_key: bool,
    },
    /// Read the store in the data directory from end to end: a backup, or a supernode that does not run
    Verify,
    /// What is used here, by space, from the counters
    Usage,
    /// Peers this supernode is connected to
    Peers,
    /// Print a completion script
    Completions(Completions),
}

#[derive(Debug, Subcommand)]
enum ScrubCommand {
    /// How far it is, what it found, and what it could not heal
    Status,
    /// Begin a round now
    Start,
    /// Read nothing until it is resumed, over restarts too
    Pause,
    /// Go on where it was paused
    Resume,
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
    Key(#[from] key_file::Error),
    #[error(transparent)]
    Start(#[from] start::Error),
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    #[error(transparent)]
    Ring(#[from] cosmic_ring::Error),
    #[error(
        "without this supernode objects are coded {after} instead of {before}: it is empty only when they have been coded anew, days from now; bring another supernode in first, or say --even-so"
    )]
    TooFew { before: String, after: String },
    #[error("this moves some {bytes} bytes, which takes {seconds} s at least; to do it, say --yes")]
    NotSure { bytes: String, seconds: String },
    #[error("the supernode answered something unknown; is it of another version?")]
    Answer(#[source] cosmic_common::record::RecordError),
    #[error("{tables} of the tables cannot be read to their end")]
    Damaged { tables: usize },
}

impl Error {
    const fn usage(sentence: &'static str) -> Self {
        Self::Cli(cosmic_cli::Error::Usage(sentence))
    }

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
    let running = || Client::find(HOUSE, &data_dir);
    match command {
        Command::Init { network } => {
            let home = Home::open(&data_dir)?;
            if network.is_some() {
                home.network(network.as_deref())?;
            }
            output.pair("peer", &home.key().peer_id())?;
        }
        Command::Run(flags) => run(&flags, &data_dir)?,
        Command::Status { network: false } => output.fields(&running()?.status()?)?,
        Command::Status { network: true } => network::show(&running()?, output)?,
        Command::Ring(command) => ring::carry_out(command, &data_dir, output)?,
        Command::Operator(command) => operator::carry_out(command, &data_dir, output)?,
        Command::Quota(command) => command.carry_out(&running()?, output)?,
        Command::Audit(command) => audit::carry_out(&command, &running()?, output)?,
        Command::Bans(command) => bans::carry_out(command, &running()?, output)?,
        Command::Packs(command) => packs::carry_out(&command, &running()?, output)?,
        Command::Deletion(command) => deletion::carry_out(&command, &running()?, output)?,
        Command::Repair(command) => repair::carry_out(command, &running()?, output)?,
        Command::Drain(command) => leaving::drain(&command, &running()?, output)?,
        Command::Retire(command) => leaving::retire(&command, &data_dir, output)?,
        Command::Dump { out } => dump(&running()?, &out, output)?,
        Command::Scrub(command) => scrub(&command, &running()?, output)?,
        Command::Cold(command) => cold::carry_out(&command, &running()?, output)?,
        Command::Backup { to, with_key } => {
            let to = std::path::absolute(&to)
                .map_err(|source| cosmic_cli::Error::Write { path: to.clone(), source })?;
            let request = crate::admin::BackupRequest { to, with_key };
            output.fields(&running()?.post("backup", &request)?)?;
        }
        Command::Verify => verify(&data_dir, output)?,
        Command::Usage => {
            let spaces = [
                "space",
                "bytes",
                "entries",
                "entry_bytes",
                "objects",
                "shards",
                "shard_bytes",
                "cold_shard_bytes",
                "dropped_bytes",
                "sponsor",
            ];
            let operators =
                ["operator", "bytes", "entry_bytes", "entry_bytes_max", "shard_bytes", "shard_bytes_max"];
            let lists = [("/spaces", &spaces[..]), ("/operators", &operators)];
            output.tables(&running()?.get("usage")?, &lists)?;
        }
        Command::Peers => {
            output.table(&running()?.get("peers")?, "", &["peer", "role", "zone", "addresses"])?;
        }
        Command::Completions(completions) => completions.print::<Arguments>(home::PROGRAM)?,
    }
    Ok(())
}

fn run(flags: &Flags, data_dir: &Path) -> Result<(), Error> {
    let config = config::load(flags, data_dir)?;
    flags.follow_stdin()?;
    telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(cosmic_cli::Error::Threads)?;
    runtime.block_on(async { start::start(config, data_dir).await?.run().await })?;
    Ok(())
}

fn scrub(command: &ScrubCommand, client: &Client, output: Output) -> Result<(), Error> {
    let answer = match command {
        ScrubCommand::Status => client.get("scrub")?,
        ScrubCommand::Start => client.post("scrub/start", &())?,
        ScrubCommand::Pause => client.post("scrub/pause", &())?,
        ScrubCommand::Resume => client.post("scrub/resume", &())?,
    };
    Ok(output.fields(&answer)?)
}

fn verify(data_dir: &Path, output: Output) -> Result<(), Error> {
    let tables = home::verify(data_dir)?;
    let damaged = tables.iter().filter(|table| table.damage.is_some()).count();
    let line = |table: &cosmic_store::Verified| {
        let damage = table.damage.as_ref().map(|error| exit::sentence(error));
        json!({ "table": table.table, "rows": table.rows, "bytes": table.bytes, "damage": damage })
    };
    let answer = Value::Array(tables.iter().map(line).collect());
    output.table(&answer, "", &["table", "rows", "bytes", "damage"])?;
    if damaged > 0 { Err(Error::Damaged { tables: damaged }) } else { Ok(()) }
}

fn dump(client: &Client, out: &Path, output: Output) -> Result<(), cosmic_cli::Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| cosmic_cli::Error::Write { path, source }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let mut bytes = 0;
    for (name, route) in [("records.jsonl", "dump/records"), ("raw", "dump/raw")] {
        let path = out.join(name);
        let mut answer = client.stream(route)?;
        let mut file = File::create(&path).map_err(failed(&path))?;
        bytes += io::copy(&mut answer, &mut file).map_err(failed(&path))?;
        file.flush().map_err(failed(&path))?;
    }
    output.pair("bytes", &bytes)
}
