//! Why joining a network failed, one sentence each.

use std::{io, path::PathBuf};

use cosmic_common::{id::NetworkId, record::RecordError};
use cosmic_net::Error as NetError;
use cosmic_ring::Error as RingError;

/// Why the network cannot be joined, or a change not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network file cannot be read.
    #[error("cannot read the network file {}; ask for it where the network was made (cosmic-bootstrap network show --json)", path.display())]
    NetworkFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The network file is something else.
    #[error("{} is not a network file; it looks like {{\"network\": ID, \"bootstrap\": [{{\"peer\": ID, \"addresses\": [ADDRESS]}}]}}", path.display())]
    NetworkFileForeign {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The network file names too much.
    #[error("{}: {what}", path.display())]
    NetworkFileBounds {
        /// The file.
        path: PathBuf,
        /// What is out of bounds.
        what: &'static str,
    },
    /// The state file cannot be read or written.
    #[error("cannot {act} what is known of the network in {}", path.display())]
    State {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The state file is damaged.
    #[error("{} is damaged; remove it, and what it held is fetched from the bootstrap nodes again", path.display())]
    StateDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RecordError,
    },
    /// The state file is about another network.
    #[error("{} belongs to network {found}, not to {pinned}; use another data directory for another network", path.display())]
    StateOfOtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network it is about.
        found: NetworkId,
        /// The network to be joined.
        pinned: NetworkId,
    },
    /// A configuration or member record was refused.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A member record about somebody else.
    #[error("the member record is about another supernode; sign one for the peer id of this one")]
    OtherPeer,
    /// Nothing can be said of others yet.
    #[error(
        "the configuration of the network is not known yet; try again when a bootstrap node or supernode was reached"
    )]
    NotJoined,
    /// The network does not let this room serve.
    #[error(transparent)]
    Net(#[from] NetError),
}
