//! Packs of entries: what waits to be packed, and what was.

use clap::Subcommand;
use cosmic_cli::{Client, Output, cell};
use serde_json::Value;

use super::Error;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Entries that are not packed yet, runs whose entries are still kept, and the packs made since the start
    Status,
}

pub(super) fn carry_out(Command::Status: &Command, client: &Client, output: Output) -> Result<(), Error> {
    let status: Value = client.get("packs")?;
    Ok(output.show(&status, tell)?)
}

fn tell(status: &Value) -> String {
    let at = |pointer: &str| cell(status.pointer(pointer));
    let more = if status.get("more") == Some(&Value::Bool(true)) { " (and more)" } else { "" };
    [
        format!(
            "not packed: {} entries of {} logs, {} bytes{more}",
            at("/unpacked/entries"),
            at("/unpacked/logs"),
            at("/unpacked/bytes")
        ),
        format!(
            "packed, entries still kept: {} runs, {} of them until the delay is over",
            at("/to_free/runs"),
            at("/to_free/settled")
        ),
        format!(
            "made here: {} packs, {} bytes; failed and tried again: {}",
            at("/made"),
            at("/made_bytes"),
            at("/failed")
        ),
        format!("noted: {}; refused: {}", at("/noted"), at("/refused")),
        format!("freed: {} runs, {} entries", at("/freed"), at("/freed_entries")),
    ]
    .join("\n")
}
