//! `cosmic-node`: the light node and its command line.

use std::process::ExitCode;

use clap::Parser as _;
use cosmic_node::cli::{self, Arguments};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Arguments::parse())
}
