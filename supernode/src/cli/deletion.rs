//! Deletion: what is being removed, who has not signed yet, and the receipts of those who have.

use clap::Subcommand;
use cosmic_cli::{Client, Output, cell};
use cosmic_common::id::ObjectId;
use serde_json::Value;

use super::Error;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The counts, and what is being removed
    Status,
    /// The signed deletions of one object that are known here
    Show {
        /// The object
        object: ObjectId,
    },
}

pub(super) fn carry_out(command: &Command, client: &Client, output: Output) -> Result<(), Error> {
    match command {
        Command::Status => {
            let status: Value = client.get("care/deletion")?;
            Ok(output.show(&status, tell)?)
        }
        Command::Show { object } => {
            let answer: Value = client.get(&format!("care/deletion/{object}"))?;
            Ok(output.table(&answer, "/receipts", &["holder", "shards", "time", "incarnation"])?)
        }
    }
}

/// The numbers, then a line for each object that is being removed, or doomed here.
fn tell(status: &Value) -> String {
    let numbers = [
        "begun",
        "withdrawn",
        "done",
        "refused",
        "objects_deleted",
        "shards_deleted",
        "bytes_deleted",
        "receipts_kept",
        "leases_over",
    ];
    let mut lines: Vec<String> =
        numbers.iter().map(|name| format!("{name}: {}", cell(status.get(*name)))).collect();
    let list = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
    lines.extend(list("removals").map(|removal| {
        let [object, signed, keeping, silent] =
            ["object", "signed", "keeping", "silent"].map(|name| cell(removal.get(name)));
        format!("{object}  removing: {signed} signed, {keeping} keep it still, {silent} do not answer")
    }));
    lines.extend(
        list("doomed")
            .map(|doomed| format!("{}  goes at {}", cell(doomed.get("object")), cell(doomed.get("at")))),
    );
    lines.join("\n")
}
