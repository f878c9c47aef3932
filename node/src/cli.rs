//! The command line: nouns then verbs, all of them requests to the running node but `run`, `init` and `completions`.

use std::{path::Path, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use cosmic_cli::{Client, Completions, Everywhere, House, Output};
use cosmic_runtime::{
    config::Mistakes,
    data_dir::{DataDir, Home},
    exit::Code,
    telemetry,
};

use crate::{
    config::{self, PROGRAM},
    start,
};

mod document;
mod file;
mod space;
mod whole;

const HOUSE: House = House { program: PROGRAM, noun: "node", home: Home::User };

/// The light node of CosmicSync: documents and files of local-first apps, sealed, offline first, synced.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version = crate::VERSION)]
pub struct Arguments {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the data directory and the device key (`run` does it when nothing is there)
    Init,
    /// Run the node until it is told to stop
    Run(config::Flags),
    /// Spaces: the unit of sharing
    #[command(subcommand)]
    Space(space::Command),
    /// Documents
    #[command(subcommand)]
    Doc(document::Command),
    /// Files
    #[command(subcommand)]
    File(file::Command),
    #[command(flatten)]
    Whole(whole::Command),
    /// Print the OpenAPI document of the HTTP API, which a running node serves at /api/v1/openapi.json
    Openapi,
    /// Print a completion script
    Completions(Completions),
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

/// How long to wait for how safe.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Return only when the change is this safe
    #[arg(long, value_name = "LEVEL")]
    wait: Option<WaitLevel>,
    /// Give up waiting after this many milliseconds; the change stands either way
    #[arg(long, default_value_t = 30_000)]
    timeout_ms: u64,
}

impl Wait {
    fn query(&self) -> String {
        self.wait
            .map(|level| format!("?wait={}&timeout_ms={}", level.name(), self.timeout_ms))
            .unwrap_or_default()
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Cli(#[from] cosmic_cli::Error),
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    #[error(transparent)]
    Start(#[from] start::Error),
}

impl Error {
    fn code(&self) -> Code {
        match self {
            Self::Cli(error) => error.code(),
            Self::Mistakes(_) => Code::Configuration,
            Self::Runtime(error) => error.exit_code(),
            Self::Start(_) => Code::Failed,
        }
    }
}

/// Carries out what `arguments` ask for; an error is one sentence on standard error.
#[must_use]
pub fn main(arguments: Arguments) -> ExitCode {
    cosmic_cli::end(PROGRAM, carry_out(arguments), Error::code)
}

fn carry_out(Arguments { everywhere, command }: Arguments) -> Result<(), Error> {
    let (data_dir, output) = (everywhere.data_dir(HOUSE)?, everywhere.output());
    let running = || Client::find(HOUSE, &data_dir);
    match command {
        Command::Init => init(&data_dir, output)?,
        Command::Run(flags) => run(&flags, &data_dir)?,
        Command::Space(command) => space::carry_out(command, &running()?, output)?,
        Command::Doc(command) => document::carry_out(command, &running()?, output)?,
        Command::File(command) => file::carry_out(command, &running()?, output)?,
        Command::Whole(command) => whole::carry_out(command, &running()?, output)?,
        Command::Openapi => output.show(&crate::api::openapi(), |document| format!("{document:#}"))?,
        Command::Completions(completions) => completions.print::<Arguments>(PROGRAM)?,
    }
    Ok(())
}

fn init(data_dir: &Path, output: Output) -> Result<(), Error> {
    let key = start::device_key(&DataDir::open(data_dir, start::OWNER)?)?;
    Ok(output.pair("peer", &key.peer_id())?)
}

fn run(flags: &config::Flags, data_dir: &Path) -> Result<(), Error> {
    let config = config::load(flags, data_dir)?;
    flags.common.follow_stdin()?;
    // The CRDT library logs the structure of documents: never, whatever the filter says.
    let filter = format!("{},loro=off,loro_internal=off", config.log.filter);
    telemetry::init(&telemetry::Config { filter, ..config.log.clone() })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(cosmic_cli::Error::Threads)?;
    Ok(runtime.block_on(start::run(config, data_dir.to_owned()))?)
}
