//! `cosmic-loadtest`: the demo, a network to play with, and the benchmarks.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use cosmic_loadtest::{bench, demo, up};

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
        /// The file to share (default: 64 MiB of random bytes)
        #[arg(long)]
        file: Option<PathBuf>,
        /// Write the time of every step into this file
        #[arg(long)]
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
    },
    /// Measure one thing with real processes
    Bench {
        /// What to measure
        name: bench::Name,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Size of the file of `files`, in MiB
        #[arg(long, default_value_t = 256)]
        mib: u64,
        /// Documents of `sync`
        #[arg(long, default_value_t = 10_000)]
        documents: usize,
        /// Samples of `latency`
        #[arg(long, default_value_t = 200)]
        samples: usize,
    },
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command line tells errors on standard error")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo { file, json, keep } => {
            demo::run(&demo::Options { file, json, keep }).await.map_err(|error| ("demo", describe(&error)))
        }
        Command::Up { supernodes } => up::run(supernodes).await.map_err(|error| ("up", describe(&error))),
        Command::Bench { name, json, mib, documents, samples } => {
            bench::run(name, &bench::Options { mib, documents, samples })
                .await
                .map(|result| show(&result, json))
                .map_err(|error| ("bench", describe(&error)))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((what, error)) => {
            eprintln!("{what}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The result of a benchmark, whole or figure by figure.
#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn show(result: &serde_json::Value, json: bool) {
    let figures = result.get("figures").and_then(serde_json::Value::as_object);
    match figures {
        Some(figures) if !json => figures.iter().for_each(|(name, value)| println!("{name:<36} {value}")),
        _ => println!("{result}"),
    }
}

/// An error and its causes in one sentence.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
