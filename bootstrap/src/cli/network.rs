//! `network …`: makes a network, shows what joiners need, and changes what its key has signed.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Subcommand, ValueEnum};
use cosmic_cli::{Client, Output};
use cosmic_common::{
    address::Address,
    id::{OperatorId, PeerId},
    record::Record as _,
};
use cosmic_identity::signed::Signed;
use cosmic_membership::NetworkFile;
use cosmic_ring::{Door, NetworkConfig};
use serde_json::json;

use super::{Error, HOUSE};
use crate::{
    admin::{admission_name, doors},
    change::{self, Change},
    home::{self, Home},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a network: its key and the first version of its configuration
    Create {
        /// Whose supernodes count
        #[arg(long, default_value = "allow-list")]
        admission: Admission,
    },
    /// Show the network; with --json exactly the file that joiners need (their --network FILE)
    Show,
    /// Sign the configuration anew, with these changes
    Sign {
        /// Whose supernodes count
        #[arg(long)]
        admission: Option<Admission>,
        /// A bootstrap node; all of them, if any is given
        #[arg(long, value_name = "PEER=ADDRESS,…")]
        bootstrap: Vec<NamedDoor>,
        /// The network key, if it is not in the data directory
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Let supernodes of these operators count; in a vouched network they become roots, from which trust flows
    Admit {
        /// Operators, as `cosmic-supernode operator show` names them
        #[arg(required = true, value_name = "OPERATOR")]
        operators: Vec<OperatorId>,
        /// The network key, if it is not in the data directory
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Take these operators from the list; in a vouched network others may still vouch for them (see `ban`)
    Remove {
        /// Operators
        #[arg(required = true, value_name = "OPERATOR")]
        operators: Vec<OperatorId>,
        /// The network key, if it is not in the data directory
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Let supernodes of these operators never count, whoever vouches for them
    Ban {
        /// Operators
        #[arg(required = true, value_name = "OPERATOR")]
        operators: Vec<OperatorId>,
        /// The network key, if it is not in the data directory
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Ban these operators no more
    Pardon {
        /// Operators
        #[arg(required = true, value_name = "OPERATOR")]
        operators: Vec<OperatorId>,
        /// The network key, if it is not in the data directory
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

/// Whose supernodes count, as people write it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Admission {
    /// Those of admitted operators
    AllowList,
    /// Everybody's: for tests and sandboxes
    Open,
    /// Those of admitted operators, and of others that enough of these vouch for
    Vouched,
}

/// `PEER=ADDRESS,ADDRESS`.
#[derive(Debug, Clone)]
pub(super) struct NamedDoor(Door);

impl FromStr for NamedDoor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (peer, addresses) = text.split_once('=').ok_or("write PEER=ADDRESS,ADDRESS")?;
        let peer: PeerId = peer.parse().map_err(|error| format!("{error}"))?;
        let addresses: Result<Vec<Address>, _> = addresses.split(',').map(str::parse).collect();
        Ok(Self(Door { peer, addresses: addresses.map_err(|error| error.to_string())? }))
    }
}

impl From<Admission> for cosmic_ring::Admission {
    fn from(admission: Admission) -> Self {
        match admission {
            Admission::AllowList => Self::AllowList,
            Admission::Open => Self::Open,
            Admission::Vouched => Self::Vouched,
        }
    }
}

pub(super) fn carry_out(command: Command, data_dir: &Path, output: Output) -> Result<(), Error> {
    let (change, key) = match command {
        Command::Create { admission } => {
            let home = Home::open(data_dir)?;
            let network = home.create_network(admission.into())?;
            output.fields(&json!({ "network": network, "peer": home.key().peer_id() }))?;
            return Ok(());
        }
        Command::Show => return show(data_dir, output),
        Command::Sign { admission, bootstrap, key } => {
            let doors: Vec<Door> = bootstrap.into_iter().map(|NamedDoor(door)| door).collect();
            let doors = (!doors.is_empty()).then_some(doors);
            (Change::Sign { admission: admission.map(Into::into), doors }, key)
        }
        Command::Admit { operators, key } => (Change::Admit(operators), key),
        Command::Remove { operators, key } => (Change::Remove(operators), key),
        Command::Ban { operators, key } => (Change::Ban(operators), key),
        Command::Pardon { operators, key } => (Change::Pardon(operators), key),
    };
    let version = sign(change, key.as_deref(), data_dir)?;
    Ok(output.fields(&json!({ "version": version }))?)
}

/// Changes and signs the configuration; the running process takes it over at once, otherwise the next one does.
fn sign(change: Change, key: Option<&Path>, data_dir: &Path) -> Result<u64, Error> {
    let key = home::network_key(data_dir, key)?;
    let (place, config) = match running(data_dir)? {
        Some(client) => {
            let config = client.record("configuration")?;
            (Place::Process(client), Signed::from_bytes(&config).map_err(Error::Answer)?)
        }
        None => {
            let home = Home::open(data_dir)?;
            (Place::Files(home), home::configuration(data_dir)?)
        }
    };
    let config: &NetworkConfig = config.unverified();
    let Some(next) = change::apply(config, change, &key)? else { return Ok(config.version) };
    match place {
        Place::Process(client) => {
            client.put_record("configuration", next.to_bytes())?;
        }
        Place::Files(home) => home.set_configuration(&next)?,
    }
    Ok(next.unverified().version)
}

/// Where a configuration comes from and goes to.
enum Place {
    Process(Client),
    /// Held while it is changed, so that no process starts with the old one.
    Files(Home),
}

/// The process on `data_dir`, if one runs there.
fn running(data_dir: &Path) -> Result<Option<Client>, Error> {
    match Client::find(HOUSE, data_dir) {
        Ok(client) => Ok(Some(client)),
        Err(cosmic_cli::Error::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Programs get the file that joiners need, people are told more.
fn show(data_dir: &Path, output: Output) -> Result<(), Error> {
    let config = home::configuration(data_dir)?;
    let config = config.unverified();
    let file: NetworkFile = match running(data_dir)? {
        Some(client) => client.get("network")?,
        None => NetworkFile { network: config.network(), bootstrap: doors(config) },
    };
    output.file(
        &file,
        &json!({
            "network": file.network,
            "version": config.version,
            "admission": admission_name(config.admission),
            "operators": config.operators,
            "banned": config.banned,
            "partition_bits": config.partition_bits,
            "bootstrap": file.bootstrap.iter().flat_map(|door| &door.addresses).collect::<Vec<_>>(),
        }),
    )?;
    Ok(())
}
