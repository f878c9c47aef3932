//! The supernode as a program.

use std::process::ExitCode;

use clap::Parser as _;
use cosmic_supernode::cli::{self, Arguments};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Arguments::parse())
}
