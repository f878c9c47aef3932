//! Bans: who is kept out after what nobody honest does, and letting somebody in again.

use clap::Subcommand;
use cosmic_cli::{Client, Output};
use serde_json::Value;

use super::Error;
use crate::admin::LiftRequest;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Peers and addresses that are kept out, and for how long still
    #[command(alias = "ls")]
    List,
    /// Let somebody in again before his time
    Lift {
        /// A peer id or an address, as the list shows it
        who: String,
    },
}

pub(super) fn carry_out(command: Command, client: &Client, output: Output) -> Result<(), Error> {
    let answer: Value = match command {
        Command::List => client.get("bans")?,
        Command::Lift { who } => client.post("bans/lift", &LiftRequest { who })?,
    };
    Ok(output.table(&answer, "/bans", &["who", "seconds_left"])?)
}
