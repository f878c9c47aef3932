//! `quota`: what a space may keep here, or all spaces together that an operator sponsors.

use clap::{Args, Subcommand};
use cosmic_cli::{Client, Output};
use cosmic_common::id::{OperatorId, SpaceId};
use serde_json::Value;

use super::Error;
use crate::admin::QuotaChange;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show a quota and what is used of it
    Show {
        #[command(flatten)]
        whose: Whose,
    },
    /// Set it; what is not named stays
    Set {
        #[command(flatten)]
        whose: Whose,
        /// Bytes of entries that may be kept here
        #[arg(long, value_name = "BYTES")]
        entry_bytes: Option<u64>,
        /// Bytes of shards that may be kept here
        #[arg(long, value_name = "BYTES")]
        shard_bytes: Option<u64>,
    },
    /// Let an operator have kept whatever there is room for
    Lift {
        /// The operator
        operator: OperatorId,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// The space
    space: Option<SpaceId>,
    /// All spaces that this operator sponsors: it, or a gateway of it, brought their first bytes here
    #[arg(long, value_name = "ID")]
    operator: Option<OperatorId>,
}

impl Whose {
    fn path(&self) -> Result<String, Error> {
        match (self.space, self.operator) {
            (Some(space), _) => Ok(format!("quota/{space}")),
            (None, Some(operator)) => Ok(format!("operators/{operator}/quota")),
            (None, None) => Err(Error::usage("say whose quota: a space, or --operator ID")),
        }
    }
}

impl Command {
    pub(super) fn carry_out(self, client: &Client, output: Output) -> Result<(), Error> {
        let answer: Value = match self {
            Self::Show { whose } => client.get(&whose.path()?)?,
            Self::Set { entry_bytes: None, shard_bytes: None, .. } => {
                return Err(Error::usage("say what to set: --entry-bytes, --shard-bytes, or both"));
            }
            Self::Set { whose, entry_bytes, shard_bytes } => {
                let change = QuotaChange { entry_bytes_max: entry_bytes, shard_bytes_max: shard_bytes };
                client.put(&whose.path()?, &change)?
            }
            Self::Lift { operator } => client.delete(&format!("operators/{operator}/quota"))?,
        };
        Ok(output.fields(&answer)?)
    }
}
