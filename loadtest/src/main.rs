//! `cosmic-loadtest`: the demo, a network to play with, and the benchmarks.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use cosmic_loadtest::demo;

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
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command line tells errors on standard error")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo { file, json, keep } => {
            demo::run(&demo::Options { file, json, keep }).await.map_err(|error| ("demo", describe(&error)))
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
