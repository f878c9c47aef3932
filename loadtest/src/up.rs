//! A small network to play with, until ctrl-c.

use std::{io, path::Path};

use serde_json::{Map, Value, json};

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
    /// The directory.
    #[error("cannot use {0}")]
    Io(&'static str, #[source] io::Error),
}

/// Starts a bootstrap node, `supernodes` supernodes and a node, says where they are, and cleans up after `stop`.
///
/// # Errors
/// [`Error`] if a process does not get ready or does not stop.
pub async fn run(supernodes: usize, json: bool, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let directory = tempfile::Builder::new()
        .prefix("cosmic-up-")
        .tempdir()
        .map_err(|source| Error::Io("a temporary directory", source))?;
    tokio::pin!(stop);
    let started = async {
        let network = Network::start(directory.path(), supernodes, ZONES).await?;
        let node = network.start_node("node", &[]).await?;
        Ok::<_, process::Error>((network, node))
    };
    let (network, node) = tokio::select! {
        started = started => started?,
        () = &mut stop => return Ok(()),
    };
    describe(directory.path(), &network, &node, json)?;
    stop.await;
    node.stop().await?;
    network.stop().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "speaks to the person or program who started it")]
fn describe(place: &Path, network: &Network, node: &Process, json: bool) -> Result<(), Error> {
    let cosmic_node = process::binary("cosmic-node")?;
    let processes = network.processes().chain([node]);
    let name = |process: &Process| {
        process.directory().file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let url = |process: &Process| format!("http://{}", process.run().http);
    if json {
        let processes: Map<String, Value> =
            processes.map(|process| (name(process), url(process).into())).collect();
        println!("{}", json!({ "directory": place, "processes": processes }));
        return Ok(());
    }
    println!("directory  {}  (data, logs and run.json of each process; gone after ctrl-c)", place.display());
    for process in processes {
        println!("{:<12} {}/status", name(process), url(process));
    }
    println!(
        "try        {} space create Notes --data-dir {}",
        cosmic_node.display(),
        node.directory().display()
    );
    println!("ctrl-c ends it");
    Ok(())
}
