//! The bootstrap node as a program.
//!
//! It keeps the system's allocator: it computes little, and an idle one takes 18 MiB.

use std::process::ExitCode;

use clap::Parser as _;
use cosmic_bootstrap::cli::{self, Arguments};

fn main() -> ExitCode {
    cli::main(Arguments::parse())
}
