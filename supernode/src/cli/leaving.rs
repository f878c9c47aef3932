//! `drain` and `retire`: devices go elsewhere, then everything that is kept, and at the end nothing is left.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use cosmic_cli::{Client, Output, cell};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Member, State};
use cosmic_runtime::clock::Clock;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    Error, HOUSE,
    operator::{change, following},
    ring::NOTHING_SIGNED,
};
use crate::key_file;

/// Where the way out is shown.
const ROUTE: &str = "retire";
/// How often is looked while a command waits.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Drain {
    /// Take devices again
    #[arg(long)]
    resume: bool,
    /// Return when no device is left
    #[arg(long, conflicts_with = "resume")]
    wait: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Retire {
    /// The key of the operator, who signs that this supernode leaves; without it is shown how far it is
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Yes, everything that is kept here moves to others
    #[arg(long)]
    yes: bool,
    /// Leave though objects have more shards than the ring will have supernodes: those shards stay here until the objects are
    /// coded anew
    #[arg(long)]
    even_so: bool,
    /// Return when nothing is left
    #[arg(long)]
    wait: bool,
}

pub(super) fn drain(command: &Drain, client: &Client, output: Output) -> Result<(), Error> {
    let mut answer =
        if command.resume { client.delete("drain")? } else { client.post("drain", &json!({}))? };
    if command.wait {
        answer = wait_until(client, &["drained", "moving", "empty"])?;
    }
    Ok(output.show(&answer, tell)?)
}

pub(super) fn retire(command: &Retire, data_dir: &Path, output: Output) -> Result<(), Error> {
    // Only a supernode that runs can pass on what it has.
    let client = Client::find(HOUSE, data_dir)?;
    if let Some(key) = &command.key {
        if !command.yes {
            return Err(Error::usage("everything that is kept here moves to other supernodes; say --yes"));
        }
        if !command.even_so {
            must_fit(&client)?;
        }
        sign(key, data_dir)?;
    } else if stage(&client.get(ROUTE)?) == "serving" {
        return Err(Error::usage(
            "it does not leave; to retire it, name the operator's key: --key FILE --yes",
        ));
    }
    let answer = match (command.wait, &command.key) {
        (true, _) => wait_until(&client, &["empty"])?,
        (false, Some(_signed)) => wait_until(&client, &["moving", "empty"])?,
        (false, None) => client.get(ROUTE)?,
    };
    Ok(output.show(&answer, tell)?)
}

/// Refuses what would leave shards without a place.
pub(super) fn must_fit(client: &Client) -> Result<(), Error> {
    let plan: Value = client.get("ring/plan?leave=true&bytes_per_second=1")?;
    if plan.get("class_before") == plan.get("class_after") {
        return Ok(());
    }
    let class = |name: &str| cell(plan.get(name));
    Err(Error::TooFew { before: class("class_before"), after: class("class_after") })
}

/// Signs that the supernode has left.
fn sign(key: &Path, data_dir: &Path) -> Result<(), Error> {
    let operator = key_file::read(key)?;
    change(data_dir, None, |_peer, _network, before| {
        let before = before.ok_or(NOTHING_SIGNED)?;
        let sequence = following(Some(before), Clock::system().now().unix_ms());
        let member = Member { state: State::Retired, sequence, ..before.clone() };
        Ok(Signed::sign(member, &operator))
    })?;
    Ok(())
}

fn stage(answer: &Value) -> &str {
    answer.get("stage").and_then(Value::as_str).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a command line waits in real time, beside the supernode")]
fn wait_until(client: &Client, stages: &[&str]) -> Result<Value, Error> {
    let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_error| ProgressStyle::default_spinner()));
    loop {
        let answer: Value = client.get(ROUTE)?;
        if stages.contains(&stage(&answer)) {
            bar.finish_and_clear();
            return Ok(answer);
        }
        bar.set_message(cell(answer.get("sentence")));
        bar.tick();
        std::thread::sleep(POLL);
    }
}

/// The sentence, and while it moves what it waits for.
fn tell(answer: &Value) -> String {
    let mut lines = vec![cell(answer.get("sentence"))];
    if stage(answer) == "draining" {
        lines.push(format!("sessions: {}", cell(answer.get("sessions"))));
    }
    if stage(answer) == "moving" {
        for kind in ["shards", "spaces"] {
            let told = answer.pointer(&format!("/moves/{kind}"));
            let reasons = told.and_then(|told| told.get("reasons")).and_then(Value::as_array);
            lines.extend(
                reasons
                    .into_iter()
                    .flatten()
                    .map(|one| format!("{} {kind}: {}", cell(one.get("count")), cell(one.get("sentence")))),
            );
            let peers = told.and_then(|told| told.get("waits_for"));
            if peers.and_then(Value::as_array).is_some_and(|peers| !peers.is_empty()) {
                lines.push(format!("waits for: {}", cell(peers)));
            }
        }
    }
    lines.join("\n")
}
