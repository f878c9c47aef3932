//! Commands about the node as a whole: status, doctor, peers, identity, network, export, cache.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use cosmic_cli::{Client, Error, Output, cell, segment, table};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What the node does and whom it is connected to
    Status,
    /// What works, what does not, and why
    Doctor,
    /// Who this device is
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Peers this node is connected to
    Peers,
    /// STUN and TURN servers for a browser, with credentials that end within hours: a secret
    Turn {
        /// The space whose gateway is asked (its id or a beginning of it)
        space: String,
    },
    /// Go online, or stay offline until told otherwise
    Network {
        /// Which of the two
        state: NetworkState,
    },
    /// Write all documents and files of a space in the clear into a directory
    Export {
        /// The space (its id or a beginning of it)
        space: String,
        /// The directory, made if it is not there; holds `documents.jsonl` and `files`
        directory: PathBuf,
    },
    /// The cache of sealed chunks of files
    #[command(subcommand)]
    Cache(CacheCommand),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum NetworkState {
    /// Connect to supernodes and devices
    Online,
    /// Keep to this device until told otherwise
    Offline,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// The device's id, and the same as a DID
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Forget cached chunks that are safe at supernodes
    Clear,
}

pub(crate) fn carry_out(command: Command, client: &Client, out: Output) -> Result<(), Error> {
    match command {
        Command::Status => out.fields(&client.get("status")?),
        Command::Doctor => out.table(&client.get("doctor")?, "/checks", &["check", "state", "reason"]),
        Command::Peers => out.table(
            &client.get("peers")?,
            "/peers",
            &["peer", "role", "zone", "path", "transport", "version", "address"],
        ),
        Command::Turn { space } => {
            let answer = client.get(&format!("spaces/{}/turn", segment(&space)))?;
            out.show(&answer, |answer| match answer.get("note") {
                Some(note @ Value::String(_)) => format!("no servers: {}", cell(Some(note))),
                _ => table(&answer["iceServers"], &["urls", "username", "credential"]),
            })
        }
        Command::Identity(IdentityCommand::Show) => out.fields(&client.get("identity")?),
        Command::Network { state } => {
            let online = matches!(state, NetworkState::Online);
            let answer = client.put("network", &json!({"online": online}))?;
            out.show(&answer, |_answer| if online { "online" } else { "offline" }.to_owned())
        }
        Command::Export { space, directory } => {
            let directory = std::path::absolute(&directory)
                .map_err(|source| Error::Write { path: directory.clone(), source })?;
            let answer = client.post("export", &json!({"space": space, "directory": directory}))?;
            out.show(&answer, |answer| {
                format!("{} documents, {} files", cell(answer.get("documents")), cell(answer.get("files")))
            })
        }
        Command::Cache(CacheCommand::Clear) => {
            let answer = client.post("cache/clear", &json!({}))?;
            out.show(&answer, |answer| format!("{} bytes freed", cell(answer.get("freed_bytes"))))
        }
    }
}
