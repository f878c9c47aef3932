//! `ring`: who is in it, what a change of this supernode's own record would move, and the change itself.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use cosmic_cli::{Client, Output, cell, segment};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Label, Member, State};
use cosmic_runtime::clock::Clock;
use serde_json::{Value, json};

use super::{
    Error, HOUSE, leaving,
    operator::{change, following},
};
use crate::{home::Home, key_file};

/// What each supernode may give and take in a second: a fifth of a gigabit.
const BYTES_PER_SECOND: u64 = 25_000_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Its members and where they are
    Show,
    /// What a change of this supernode's record would move, how many bytes and how long; nothing is changed
    Plan {
        #[command(flatten)]
        wish: Wish,
        /// Bytes each supernode may give and take in a second [default: a fifth of a gigabit]
        #[arg(long, value_name = "BYTES", default_value_t = BYTES_PER_SECOND, hide_default_value = true)]
        bytes_per_second: u64,
    },
    /// Sign such a change and tell the ring: from then on things move
    Apply {
        #[command(flatten)]
        wish: Wish,
        /// The key of the operator
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Yes; without it is told what would move
        #[arg(long)]
        yes: bool,
    },
    /// Sign again what was signed before the last change: what has not moved stays, and what has comes back
    Revert {
        /// The key of the operator
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

/// What the record would say; what is not named stays.
#[derive(Debug, clap::Args)]
pub(super) struct Wish {
    /// How much it takes, against others
    #[arg(long)]
    weight: Option<u16>,
    /// What may fail with it
    #[arg(long)]
    zone: Option<Label>,
    /// It leaves the ring
    #[arg(long)]
    leave: bool,
}

pub(super) fn carry_out(command: Command, data_dir: &Path, output: Output) -> Result<(), Error> {
    let running = || Client::find(HOUSE, data_dir);
    match command {
        Command::Show => {
            let columns = ["peer", "state", "zone", "region", "weight", "operator", "addresses"];
            let regions = ["region", "members", "class", "home"];
            let lists = [("/regions", &regions[..]), ("/members", &columns)];
            output.tables(&running()?.get("ring")?, &lists)?;
        }
        Command::Plan { wish, bytes_per_second } => {
            output.fields(&wish.plan(&running()?, bytes_per_second)?)?;
        }
        Command::Apply { wish, key, yes } => {
            let client = running()?;
            let plan = wish.plan(&client, BYTES_PER_SECOND)?;
            if !yes {
                let bytes = cell(plan.get("bytes"));
                return Err(Error::NotSure { bytes, seconds: cell(plan.get("seconds")) });
            }
            if wish.leave {
                leaving::must_fit(&client)?;
            }
            let operator = key_file::read(&key)?;
            let record = change(data_dir, None, |_peer, _network, before| {
                let member = wish.applied(before.ok_or(NOTHING_SIGNED)?);
                member.check()?;
                Ok(Signed::sign(member, &operator))
            })?;
            output.show(&json!({ "applied": told(record.unverified()), "plan": plan }), |_answer| {
                let bytes = cell(plan.get("bytes"));
                format!(
                    "applied; {bytes} bytes move. To take it back: cosmic-supernode ring revert --key FILE"
                )
            })?;
        }
        Command::Revert { key } => {
            let client = running()?;
            let former = Home::former_member(data_dir)?
                .ok_or(Error::usage("nothing was changed yet that could be taken back"))?;
            let operator = key_file::read(&key)?;
            let record = change(data_dir, None, |_peer, _network, before| {
                let before = before.ok_or(NOTHING_SIGNED)?;
                let former = former.unverified();
                let sequence = following(Some(before), Clock::system().now().unix_ms());
                let member = Member {
                    sequence,
                    state: former.state,
                    weight: former.weight,
                    zone: former.zone.clone(),
                    region: former.region.clone(),
                    ..before.clone()
                };
                member.check()?;
                Ok(Signed::sign(member, &operator))
            })?;
            // It is asked, so that its answer says that the record has arrived.
            let shown: Value = client.get("member")?;
            output
                .show(&json!({ "reverted_to": told(record.unverified()), "member": shown }), |_answer| {
                    "what was signed before the last change counts again".to_owned()
                })?;
        }
    }
    Ok(())
}

/// Why there is nothing to change.
pub(super) const NOTHING_SIGNED: Error =
    Error::usage("nothing was signed about this supernode yet: it is in no ring");

impl Wish {
    /// What it would move, as the running supernode sees it.
    fn plan(&self, client: &Client, bytes_per_second: u64) -> Result<Value, Error> {
        if self.weight.is_none() && self.zone.is_none() && !self.leave {
            return Err(Error::usage("say what would change: --weight, --zone or --leave"));
        }
        let leave = self.leave;
        let mut query = format!("ring/plan?leave={leave}&bytes_per_second={bytes_per_second}");
        if let Some(weight) = self.weight {
            query.push_str(&format!("&weight={weight}"));
        }
        if let Some(zone) = &self.zone {
            query.push_str(&format!("&zone={}", segment(zone.as_str())));
        }
        Ok(client.get(&query)?)
    }

    /// The record that says so.
    fn applied(&self, before: &Member) -> Member {
        Member {
            sequence: following(Some(before), Clock::system().now().unix_ms()),
            state: if self.leave { State::Retired } else { before.state },
            weight: self.weight.unwrap_or(before.weight),
            zone: self.zone.clone().unwrap_or_else(|| before.zone.clone()),
            ..before.clone()
        }
    }
}

fn told(member: &Member) -> Value {
    json!({ "peer": member.peer, "weight": member.weight, "zone": member.zone.as_str(), "sequence": member.sequence })
}
