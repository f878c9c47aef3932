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
    let numbers = [
        "paused",
        "queued",
        "queued_bytes",
        "queued_to_recode",
        "objects_mended",
        "bytes_rebuilt",
        "bytes_read",
    ];
    let mut lines: Vec<String> =
        numbers.iter().map(|name| format!("{name}: {}", cell(status.get(*name)))).collect();
    lines.extend(status.get("recoding").map(tell_classes));
    let list = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
    lines.extend(
        list("reasons")
            .map(|one| format!("waiting, {}: {}", cell(one.get("reason")), cell(one.get("objects")))),
    );
    lines.extend(list("items").map(|item| {
        let what = match item.get("recode") {
            Some(Value::Bool(true)) => "to be coded anew".to_owned(),
            _ => format!("can lose {}", cell(item.get("margin"))),
        };
        format!("{}  {what}  {}", cell(item.get("object")), cell(item.get("sentence")))
    }));
    lines.extend(
        list("members")
            .map(|member| format!("{}  {}", cell(member.get("peer")), cell(member.get("presence")))),
    );
    lines.join("\n")
}

/// The class of the ring, and how much is to be coded anew in it.
fn tell_classes(recoding: &Value) -> String {
    let number = |name: &str| cell(recoding.get("to_change").and_then(|change| change.get(name)));
    let due = match recoding.get("due") {
        Some(Value::Bool(true)) => "now",
        _ => "when the class has lasted",
    };
    format!(
        "class of the ring: {}; {} objects of {} bytes here lie in another and are coded anew {due}; {} were, by this supernode",
        cell(recoding.get("class")),
        number("objects"),
        number("bytes"),
        cell(recoding.get("objects_recoded")),
    )
}
