//! A small network to play with, until ctrl-c.

use std::io;

use crate::{
    network::Network,
    process::{self, Process},
};

/// Supernodes stand in this many zones, as far as they suffice.
const ZONES: usize = 3;

/// Why there is no network to play with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process or command.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// The directory or the signal.
    #[error("cannot use {0}")]
    Io(&'static str, #[source] io::Error),
}

/// Starts a bootstrap node, `supernodes` supernodes and a node, says where they are, and cleans up after ctrl-c.
///
/// # Errors
/// [`Error`] if a process does not get ready or does not stop.
#[expect(clippy::print_stdout, reason = "speaks to the person who started it")]
pub async fn run(supernodes: usize) -> Result<(), Error> {
    let directory = tempfile::Builder::new()
        .prefix("cosmic-up-")
        .tempdir()
        .map_err(|source| Error::Io("a temporary directory", source))?;
    let place = directory.path();
    let network = Network::start(place, supernodes, ZONES).await?;
    let node = network.start_node("node", &[]).await?;
    println!("directory  {}  (data, logs and run.json of each process; gone after ctrl-c)", place.display());
    for process in network.processes().chain([&node]) {
        describe(process);
    }
    let cosmic_node = process::binary("cosmic-node")?;
    println!(
        "try        {} space create Notes --data-dir {}",
        cosmic_node.display(),
        node.directory().display()
    );
    println!("ctrl-c ends it");
    tokio::signal::ctrl_c().await.map_err(|source| Error::Io("the signal of ctrl-c", source))?;
    node.stop().await?;
    network.stop().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "speaks to the person who started it")]
fn describe(process: &Process) {
    let name = process.directory().file_name().unwrap_or_default().to_string_lossy();
    println!("{name:<10} http://{}/status", process.run().http);
}
