//! `network.json`: what somebody needs to join a network, handed on by people.

use std::{fs, path::Path};

use cosmic_common::{
    address::Address,
    id::{NetworkId, PeerId},
    limit::ADDRESSES_MAX,
};
use cosmic_ring::config::DOORS_MAX;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The id of a network, which is pinned, and where to knock first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// The network: the hash of its key, so nothing else can pass for it.
    pub network: NetworkId,
    /// Its bootstrap nodes.
    pub bootstrap: Vec<BootstrapPeer>,
}

/// A bootstrap node and where it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapPeer {
    /// Who answers there.
    pub peer: PeerId,
    /// Where.
    pub addresses: Vec<Address>,
}

impl NetworkFile {
    /// The network file at `path`.
    ///
    /// # Errors
    /// [`Error::NetworkFile`], [`Error::NetworkFileForeign`] or [`Error::NetworkFileBounds`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|source| Error::NetworkFile { path: path.to_owned(), source })?;
        let file: Self = serde_json::from_slice(&text)
            .map_err(|source| Error::NetworkFileForeign { path: path.to_owned(), source })?;
        match file.out_of_bounds() {
            Some(what) => Err(Error::NetworkFileBounds { path: path.to_owned(), what }),
            None => Ok(file),
        }
    }

    fn out_of_bounds(&self) -> Option<&'static str> {
        if self.bootstrap.len() > DOORS_MAX {
            return Some("at most 16 bootstrap nodes");
        }
        let crowded = |door: &BootstrapPeer| door.addresses.len() > ADDRESSES_MAX;
        self.bootstrap.iter().any(crowded).then_some("at most 16 addresses for each bootstrap node")
    }
}
