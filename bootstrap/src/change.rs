//! Changes of a network's configuration: what the owner of the network key may say anew, each time one version on.

use cosmic_common::id::OperatorId;
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_ring::{Admission, Door, Error as RingError, NetworkConfig};

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Member records of these operators count from now on.
    Admit(Vec<OperatorId>),
    /// Member records of these operators do not count any more.
    Remove(Vec<OperatorId>),
    /// These operators never count from now on, whoever vouches for them.
    Ban(Vec<OperatorId>),
    /// These operators are not banned any more.
    Pardon(Vec<OperatorId>),
    /// A bootstrap node is here, or elsewhere than before.
    Reside(Door),
    /// The rest: whose records count, and the whole list of bootstrap nodes, as far as given; signed anew in any case.
    Sign {
        /// Whose member records count.
        admission: Option<Admission>,
        /// All bootstrap nodes.
        doors: Option<Vec<Door>>,
    },
}

/// Why a configuration was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key is that of another network.
    #[error(
        "this is the key of network {found}, the configuration is one of {expected}; give the right one with --key"
    )]
    OtherKey {
        /// The network of the key.
        found: cosmic_common::id::NetworkId,
        /// The network of the configuration.
        expected: cosmic_common::id::NetworkId,
    },
    /// There was no such operator.
    #[error(
        "operator {0} was not admitted; see who is with: cosmic-bootstrap network show. Whoever counts by vouches is put out with: cosmic-bootstrap network ban"
    )]
    NoOperator(OperatorId),
    /// There was no ban.
    #[error("operator {0} is not banned; see who is: cosmic-bootstrap network show")]
    NoBan(OperatorId),
    /// It would be no valid configuration.
    #[error(transparent)]
    Bounds(#[from] RingError),
}

/// The next version of `config` with `change`, signed with `key`; nothing if the change changes nothing.
///
/// # Errors
/// [`Error`] that says why it cannot be.
pub fn apply(
    config: &NetworkConfig,
    change: Change,
    key: &SecretKey,
) -> Result<Option<Signed<NetworkConfig>>, Error> {
    let of_key = NetworkConfig::new(key).network();
    if of_key != config.network() {
        return Err(Error::OtherKey { found: of_key, expected: config.network() });
    }
    let mut next = config.clone();
    let anew = matches!(change, Change::Sign { .. });
    change.carry_out(&mut next)?;
    if next == *config && !anew {
        return Ok(None);
    }
    next.version = config.version.saturating_add(1);
    next.check()?;
    Ok(Some(Signed::sign(next, key)))
}

impl Change {
    fn carry_out(self, config: &mut NetworkConfig) -> Result<(), Error> {
        match self {
            Self::Admit(operators) => config.operators.extend(operators),
            Self::Remove(operators) => {
                for operator in operators {
                    if !config.operators.remove(&operator) {
                        return Err(Error::NoOperator(operator));
                    }
                }
            }
            Self::Ban(operators) => config.banned.extend(operators),
            Self::Pardon(operators) => {
                for operator in operators {
                    if !config.banned.remove(&operator) {
                        return Err(Error::NoBan(operator));
                    }
                }
            }
            Self::Reside(door) => match config.doors.iter_mut().find(|known| known.peer == door.peer) {
                Some(known) => known.addresses = door.addresses,
                None => config.doors.push(door),
            },
            Self::Sign { admission, doors } => {
                config.admission = admission.unwrap_or(config.admission);
                config.doors = doors.unwrap_or_else(|| std::mem::take(&mut config.doors));
            }
        }
        Ok(())
    }
}
