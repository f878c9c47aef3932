//! Audits: how many held, whose word is trusted, and what was found.

use clap::Subcommand;
use cosmic_cli::{Client, Output, cell};
use serde_json::Value;

use super::Error;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How many audits were proved, what was found, and the repute of every supernode
    Status,
}

pub(super) fn carry_out(Command::Status: &Command, client: &Client, output: Output) -> Result<(), Error> {
    let status: Value = client.get("care/audit")?;
    Ok(output.show(&status, tell)?)
}

/// The numbers, then a line for each supernode and for each finding that stands.
fn tell(status: &Value) -> String {
    let numbers = ["proved", "denied", "wrong", "unanswered", "shards_lost", "accusations"];
    let mut lines: Vec<String> =
        numbers.iter().map(|name| format!("{name}: {}", cell(status.get(*name)))).collect();
    let list = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
    lines.extend(
        list("holders")
            .map(|holder| format!("{}  repute {}", cell(holder.get("peer")), cell(holder.get("repute")))),
    );
    lines.extend(list("cases").map(|case| {
        let [holder, object, index, lost] =
            ["holder", "object", "index", "lost"].map(|name| cell(case.get(name)));
        format!("{holder}  object {object}  shard {index}  lost {lost}")
    }));
    lines.join("\n")
}
