//! Operators: their key, and what it signs about supernodes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use cosmic_cli::{Client, Output};
use cosmic_common::{
    address::Address,
    id::{OperatorId, PeerId},
    record::Record as _,
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_ring::{Consent, Label, Member, State, Vouches};
use cosmic_runtime::clock::Clock;
use serde_json::Value;

use super::{Error, HOUSE};
use crate::{home, home::Home, key_file};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the key of a new operator
    Create {
        /// The file to make; whoever has it speaks for the operator
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// The operator's name, which a network admits; without a key who counts in this network, and by whose vouches
    Show {
        /// The key of the operator
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Sign that these operators may be trusted to run supernodes, and tell the supernode that runs here, which passes it on
    Vouch(Vouch),
    /// Vouch for these operators no more
    Withdraw(Vouch),
    /// Sign that the supernode of a data directory is part of the ring (and pass it on if it runs)
    Sign(Sign),
    /// Sign that a supernode is gone for good, with all it kept, and tell the supernode that runs here, which passes it on
    Lost {
        /// The key of the operator of the lost supernode
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The supernode that is lost, as `ring show` names it
        #[arg(long)]
        peer: PeerId,
        /// Yes, what it keeps is lost
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Vouch {
    /// The key of the operator who vouches
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Operators, as `operator show` names them
    #[arg(required = true, value_name = "OPERATOR")]
    operators: Vec<OperatorId>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Sign {
    /// The key of the operator
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What may fail as one: a house, a provider, a rack
    #[arg(long)]
    zone: Label,
    /// Where it is
    #[arg(long)]
    region: Label,
    /// How much it takes, against others
    #[arg(long, default_value_t = 1)]
    weight: u16,
    /// Where it may be reached, if it is not to tell so itself
    #[arg(long = "address", value_name = "MULTIADDRESS")]
    addresses: Vec<Address>,
    /// The supernode, to be sure that it is the right directory
    #[arg(long)]
    peer: Option<PeerId>,
}

pub(super) fn carry_out(command: Command, data_dir: &Path, output: Output) -> Result<(), Error> {
    match command {
        Command::Create { key } => output.pair("operator", &key_file::create(&key)?.operator_id())?,
        Command::Show { key: Some(key) } => {
            output.pair("operator", &key_file::read(&key)?.operator_id())?;
        }
        Command::Show { key: None } => {
            let columns = ["operator", "rank", "flow", "supernodes", "vouched_for_by", "vouches_for"];
            let answer: Value = Client::find(HOUSE, data_dir)?.get("operators")?;
            output.table(&answer, "/operators", &columns)?;
        }
        Command::Vouch(change) => {
            let answer = vouch(&change, data_dir, |list, operators| list.extend(operators))?;
            output.fields(&answer)?;
        }
        Command::Withdraw(change) => {
            let answer = vouch(&change, data_dir, |list, operators| {
                list.retain(|operator| !operators.contains(operator));
            })?;
            output.fields(&answer)?;
        }
        Command::Sign(sign) => {
            let operator = key_file::read(&sign.key)?;
            let record = change(data_dir, sign.peer, |peer, network, before| {
                let now = Clock::system().now().unix_ms();
                let consent = match before {
                    Some(before) if before.operator == operator.operator_id() => before.consent,
                    _ => Consent::give(peer, network, operator.operator_id(), now),
                };
                let member = Member {
                    network,
                    operator: operator.operator_id(),
                    peer: peer.peer_id(),
                    consent,
                    sequence: following(before, now),
                    state: State::Active,
                    weight: sign.weight,
                    zone: sign.zone,
                    region: sign.region,
                    addresses: sign.addresses,
                    incarnation: None,
                };
                member.check()?;
                Ok(Signed::sign(member, &operator))
            })?;
            output.pair("peer", &record.unverified().peer)?;
        }
        Command::Lost { key, peer, yes } => {
            if !yes {
                return Err(Error::usage(
                    "this cannot be taken back while others repair what was lost; say --yes",
                ));
            }
            lost(&key_file::read(&key)?, &peer, data_dir)?;
            output.pair("peer", &peer)?;
        }
    }
    Ok(())
}

/// Signs whom an operator vouches for anew, and tells the ring by the supernode that runs on `data_dir`, of whatever operator.
fn vouch(
    change: &Vouch,
    data_dir: &Path,
    act: impl FnOnce(&mut BTreeSet<OperatorId>, &[OperatorId]),
) -> Result<Value, Error> {
    let key = key_file::read(&change.key)?;
    let (client, operator) = (Client::find(HOUSE, data_dir)?, key.operator_id());
    let bytes = client.record(&format!("vouches/{operator}"))?;
    let before = (!bytes.is_empty()).then(|| Signed::<Vouches>::from_bytes(&bytes)).transpose();
    let before = before.map_err(Error::Answer)?;
    let before = before.as_ref().map(Signed::unverified);
    let mut operators = before.map(|before| before.operators.clone()).unwrap_or_default();
    act(&mut operators, &change.operators);
    let now = Clock::system().now().unix_ms();
    let sequence = before.map_or(0, |before| before.sequence.saturating_add(1)).max(now);
    let network = home::Seen::read(data_dir)?.network.network;
    let list = Vouches { network, operator, sequence, operators };
    list.check()?;
    Ok(client.put_record("vouches", Signed::sign(list, &key).to_bytes())?)
}

/// Tells the ring, by the supernode that runs on `data_dir`, that `peer` is gone for good.
fn lost(operator: &SecretKey, peer: &PeerId, data_dir: &Path) -> Result<(), Error> {
    let client = Client::find(HOUSE, data_dir)?;
    let known = Signed::<Member>::from_bytes(&client.record(&format!("member/{peer}"))?);
    let known = known.map_err(|source| home::Error::Member { path: data_dir.to_owned(), source })?;
    let before = known.unverified();
    if before.operator != operator.operator_id() {
        return Err(Error::usage("another operator runs that supernode; its key is needed"));
    }
    let sequence = following(Some(before), Clock::system().now().unix_ms());
    let record = Signed::sign(Member { state: State::Lost, sequence, ..before.clone() }, operator);
    client.put_record("member", record.to_bytes())?;
    Ok(())
}

/// The number after that of the record before; the time, so that it also follows on records that were lost.
pub(super) fn following(before: Option<&Member>, now: u64) -> u64 {
    before.map_or(0, |before| before.sequence + 1).max(now)
}

/// Signs a new record about the supernode of `data_dir` and keeps it there. A running supernode passes it on.
pub(super) fn change(
    data_dir: &Path,
    expected: Option<PeerId>,
    sign: impl FnOnce(&SecretKey, cosmic_common::id::NetworkId, Option<&Member>) -> Result<Signed<Member>, Error>,
) -> Result<Signed<Member>, Error> {
    let check = |peer: PeerId| match expected {
        Some(expected) if expected != peer => {
            Err(Error::usage("this data directory belongs to another supernode than --peer"))
        }
        _ => Ok(()),
    };
    match Home::open(data_dir) {
        Ok(home) => {
            check(home.key().peer_id())?;
            let network = home.network(None)?.network;
            let before = home.member()?;
            let record = sign(home.key(), network, before.as_ref().map(Signed::unverified))?;
            home.set_member(&record)?;
            Ok(record)
        }
        Err(home::Error::Directory(cosmic_runtime::Error::DataDirInUse { .. })) => {
            let client = Client::find(HOUSE, data_dir)?;
            let seen = home::Seen::read(data_dir)?;
            check(seen.key.peer_id())?;
            let record = sign(&seen.key, seen.network.network, seen.member.as_ref().map(Signed::unverified))?;
            client.put_record("member", record.to_bytes())?;
            Ok(record)
        }
        Err(error) => Err(error.into()),
    }
}
