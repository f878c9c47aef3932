//! Repairs: what is in danger and why it waits, and how fast it is mended.

use clap::Subcommand;
use cosmic_cli::{Client, Output, cell};
use serde_json::{Value, json};

use super::Error;
use crate::care::Throttle;

/// Where repairs are shown and steered.
const ROUTE: &str = "care/repair";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How many objects are in danger, why each waits, and who is silent
    Status,
    /// Mend nothing more until `resume` or the next start; what is being mended ends
    Pause,
    /// Go on
    Resume,
    /// Let repairs take more or less until the next start; what is not named stays
    Throttle {
        /// Bytes this supernode can send in a second
        #[arg(long, value_name = "BYTES")]
        uplink: Option<u64>,
        /// What repairs may take of it, in thousandths
        #[arg(long, value_name = "THOUSANDTHS")]
        share: Option<u16>,
        /// What they may take while an object is about to be lost
        #[arg(long, value_name = "THOUSANDTHS")]
        panic_share: Option<u16>,
    },
}

pub(super) fn carry_out(command: Command, client: &Client, output: Output) -> Result<(), Error> {
    let status: Value = match command {
        Command::Status => client.get(ROUTE)?,
        Command::Pause => client.post(&format!("{ROUTE}/pause"), &json!({}))?,
        Command::Resume => client.post(&format!("{ROUTE}/resume"), &json!({}))?,
        Command::Throttle { uplink: None, share: None, panic_share: None } => {
            return Err(Error::usage("say what to set: --uplink, --share, --panic-share"));
        }
        Command::Throttle { uplink, share, panic_share } => {
            let change = Throttle {
                uplink_bytes_per_sec: uplink,
                share_permille: share,
                panic_share_permille: panic_share,
            };
            client.put(&format!("{ROUTE}/throttle"), &change)?
        }
    };
    Ok(output.show(&status, tell)?)
}

/// The numbers, then a line for each object that waits and for each supernode.
fn tell(status: &Value) -> String {
    let numbers = ["paused", "queued", "queued_bytes", "objects_mended", "bytes_rebuilt", "bytes_read"];
    let mut lines: Vec<String> =
        numbers.iter().map(|name| format!("{name}: {}", cell(status.get(*name)))).collect();
    let list = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
    lines.extend(
        list("reasons")
            .map(|one| format!("waiting, {}: {}", cell(one.get("reason")), cell(one.get("objects")))),
    );
    lines.extend(list("items").map(|item| {
        format!(
            "{}  can lose {}  {}",
            cell(item.get("object")),
            cell(item.get("margin")),
            cell(item.get("sentence"))
        )
    }));
    lines.extend(
        list("members")
            .map(|member| format!("{}  {}", cell(member.get("peer")), cell(member.get("presence")))),
    );
    lines.join("\n")
}
