//! The cold tier: what lies in the object store, and what is done with it.

use clap::Subcommand;
use cosmic_cli::{Client, Output};
use serde_json::Value;

use super::Error;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What lies in the cold store, whether it answers, and what is done
    Status,
    /// Move, delete and check nothing until `resume`, over restarts too; reads go on
    Pause,
    /// Move what is old enough
    Resume,
    /// Bring everything back, and move nothing more until `resume`, over restarts too
    Thaw,
    /// Give up what lies in the store, because it is lost: it is made again from other supernodes
    Forget {
        /// Yes, it is lost
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn carry_out(command: &Command, client: &Client, output: Output) -> Result<(), Error> {
    let status: Value = match command {
        Command::Status => client.get("cold")?,
        Command::Pause => client.post("cold/pause", &())?,
        Command::Resume => client.post("cold/resume", &())?,
        Command::Thaw => client.post("cold/thaw", &())?,
        Command::Forget { yes: false } => {
            return Err(Error::usage("what lies in the cold store is given up for good; say --yes"));
        }
        Command::Forget { yes: true } => client.post("cold/forget", &())?,
    };
    Ok(output.fields(&status)?)
}
