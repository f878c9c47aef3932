//! `cosmic-loadtest`: the demo, a network to play with, and the benchmarks.

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use cosmic_loadtest::{bench, demo, nat, up};
use cosmic_runtime::{exit::sentence, shutdown::Signals};
use serde_json::Value;

/// The houses' own, so that `erasure` measures what they do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell says of a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Real networks of real processes on this machine.
#[derive(Debug, Parser)]
#[command(name = "cosmic-loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two devices, one bootstrap node, six supernodes, and a file that survives three of them
    Demo {
        /// The file to share [default: 64 MiB of random bytes]
        #[arg(long)]
        file: Option<PathBuf>,
        /// Write the time of every step into this file, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Keep the temporary directory
        #[arg(long)]
        keep: bool,
    },
    /// A small network to play with, until ctrl-c
    Up {
        /// How many supernodes
        #[arg(long, default_value_t = 3)]
        supernodes: usize,
        /// Say where everything is as one line of JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Measure one thing with real processes
    Bench {
        /// What to measure
        name: bench::Name,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Size of the file of `files` and `repair`, and of what `start` finds stored, in MiB
        #[arg(long, default_value_t = 256)]
        mib: u64,
        /// Small shards that a supernode of `start` keeps in a last round, written by the example `shards` of cosmic-supernode
        #[arg(long, default_value_t = 0)]
        shards: u64,
        /// Documents of `sync`
        #[arg(long, default_value_t = 10_000)]
        documents: usize,
        /// Samples of `latency` and `abuse`, newcomers of `joins`, rounds of `cold` (10 to 40)
        #[arg(long, default_value_t = 200)]
        samples: usize,
        /// Devices of `relay`
        #[arg(long, default_value_t = 10_000)]
        devices: usize,
        /// Hostile clients of `relay`
        #[arg(long, default_value_t = 1_000)]
        hostile: u64,
    },
    /// The NAT laboratory: pairs of devices behind routers of every kind, in network namespaces (needs root)
    Nat {
        /// All pairs and troubles, not a chosen dozen
        #[arg(long)]
        all: bool,
        /// Only pairs in which device a stands behind this
        #[arg(long)]
        a: Option<nat::Router>,
        /// Only pairs in which device b stands behind this
        #[arg(long)]
        b: Option<nat::Router>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Keep the directories and logs of all processes here
        #[arg(long, value_name = "DIRECTORY")]
        keep: Option<PathBuf>,
    },
    /// Print a completion script
    Completions(cosmic_cli::Completions),
}

impl Command {
    const fn name(&self) -> &'static str {
        match self {
            Self::Demo { .. } => "demo",
            Self::Up { .. } => "up",
            Self::Bench { .. } => "bench",
            Self::Nat { .. } => "nat",
            Self::Completions(_) => "completions",
        }
    }
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command line tells errors on standard error")]
async fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let name = command.name();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("{name}: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    // `up` ends in order when it is asked to; of what others were doing nothing is kept, and its processes are killed.
    let result = if let Command::Up { supernodes, json } = command {
        up::run(supernodes, json, signals.next()).await.map_err(Into::into)
    } else {
        tokio::select! {
            result = carry_out(command) => result,
            () = signals.next() => {
                eprintln!("{name}: stopped, and with it every process it had started");
                return INTERRUPTED.into();
            }
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {}", sentence(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Demo { file, json, keep } => demo::run(&demo::Options { file, json, keep }).await?,
        Command::Bench { name, json, mib, shards, documents, samples, devices, hostile } => {
            let options = bench::Options { mib, shards, documents, samples, devices, hostile };
            show(&bench::run(name, &options).await?, json);
        }
        Command::Nat { all, a, b, json, keep } => laboratory(all, (a, b), json, keep).await?,
        Command::Completions(completions) => completions.print::<Arguments>("cosmic-loadtest")?,
        Command::Up { .. } => {}
    }
    Ok(())
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "rows as they come, and the table that was asked for"
)]
async fn laboratory(
    all: bool,
    (a, b): (Option<nat::Router>, Option<nat::Router>),
    json: bool,
    keep: Option<PathBuf>,
) -> Result<(), Box<dyn Error>> {
    if let Some(reason) = nat::missing() {
        eprintln!("nat: skipped: {reason}");
        return Ok(());
    }
    let mut cases = if all { nat::Case::all() } else { nat::Case::chosen() };
    cases.retain(|case| a.is_none_or(|a| case.a == a) && b.is_none_or(|b| case.b == b));
    let temporary = tempfile::Builder::new().prefix("cosmic-nat-").tempdir()?;
    let directory = keep.as_deref().unwrap_or_else(|| temporary.path());
    std::fs::create_dir_all(directory)?;
    let outcomes = nat::run(directory, &cases, |outcome| eprintln!("{outcome}")).await?;
    if json {
        println!("{}", nat::figures(&outcomes))
    } else {
        print!("{}", nat::table(&outcomes))
    }
    Ok(())
}

/// The result of a benchmark, whole or figure by figure.
#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn show(result: &Value, json: bool) {
    let figures = result.get("figures").and_then(Value::as_object);
    match figures {
        Some(figures) if !json => figures.iter().for_each(|(name, value)| println!("{name:<36} {value}")),
        _ => println!("{result}"),
    }
}
