//! The light node: documents and files of local-first apps, sealed, offline first, synced.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cosmic_runtime::{
    data_dir::DataDir,
    exit::{Code, sentence},
    telemetry,
};

pub mod api;
pub mod cli;
pub mod config;
pub mod content;
pub mod core;
pub mod database;
pub mod device;
pub mod documents;
pub mod error;
pub mod event;
pub mod files;
pub mod metrics;
pub mod network;
pub mod node;
pub mod safety;
pub mod spaces;
pub mod start;
#[cfg(test)]
mod testing;
pub mod uplinks;

/// The version with the commit it was built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("COSMIC_COMMIT"), ")");

/// The whole program: reads the command line, does what it says, tells errors in one sentence.
#[must_use]
pub fn main() -> ExitCode {
    let cli::Arguments { everywhere, command } = cli::Arguments::parse();
    let result = match command {
        cli::Command::Run(flags) => run(&flags, &everywhere),
        cli::Command::Init => init(&everywhere).map_err(|error| (Code::Failed, sentence(&error))),
        cli::Command::Completions { shell } => {
            let mut command = cli::Arguments::command();
            clap_complete::generate(shell, &mut command, config::PROGRAM, &mut std::io::stdout());
            Ok(())
        }
        command => cli::carry_out(command, &everywhere).map_err(|error| (Code::Failed, sentence(&error))),
    };
    match result {
        Ok(()) => Code::Done.into(),
        Err((code, sentence)) => {
            tell(&sentence);
            code.into()
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a program that failed")]
fn tell(sentence: &str) {
    eprintln!("{}: {sentence}", config::PROGRAM);
}

fn init(everywhere: &cli::Everywhere) -> Result<(), start::Error> {
    let directory = DataDir::open(config::data_directory(everywhere.data_dir.as_deref()), start::OWNER)?;
    start::device_key(&directory).map(|_key| ())
}

fn run(flags: &config::Flags, everywhere: &cli::Everywhere) -> Result<(), (Code, String)> {
    let path = config::data_directory(everywhere.data_dir.as_deref());
    let config =
        config::load(flags, &path).map_err(|mistakes| (Code::Configuration, mistakes.to_string()))?;
    let failed = |error: &dyn std::error::Error| (Code::Failed, sentence(error));
    // The CRDT library logs the structure of documents: never, whatever the filter says.
    let filter = format!("{},loro=off,loro_internal=off", config.log.filter);
    telemetry::init(&telemetry::Config { filter, ..config.log.clone() }).map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(start::run(config, path)).map_err(|error| failed(&error))
}
