//! The state file: what a restart needs, so that bootstrap nodes are needed only once.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use cosmic_common::{id::NetworkId, record::Record};
use cosmic_ring::Door;
use cosmic_runtime::data_dir::replace;
use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::Error;

/// What is kept, in the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct State {
    /// The network all this is about.
    #[n(1)]
    pub network: NetworkId,
    /// The signed configuration, once it is known.
    #[n(2)]
    pub config: Option<ByteVec>,
    /// Signed member records.
    #[n(3)]
    pub members: Vec<ByteVec>,
    /// Signed endpoints.
    #[n(4)]
    pub endpoints: Vec<ByteVec>,
    /// Bootstrap nodes that answered, and where.
    #[n(5)]
    pub doors: Vec<Door>,
    /// Signed vouches.
    #[n(6)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub vouches: Vec<ByteVec>,
}

impl Record for State {
    const NAME: &'static str = "membership state";
    // 4,096 member records and as many endpoints of 5 KiB each, 1,024 lists of vouches of 1 KiB, and the configuration.
    const LIMIT: usize = 48 * 1024 * 1024;
}

impl State {
    /// The state at `path`, if there is one; it must be about `network`.
    pub(crate) fn read(path: &Path, network: NetworkId) -> Result<Option<Self>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::State { act: "read", path: path.to_owned(), source }),
        };
        let state = Self::from_bytes(&bytes)
            .map_err(|source| Error::StateDamaged { path: path.to_owned(), source })?;
        if state.network != network {
            let (path, found) = (path.to_owned(), state.network);
            return Err(Error::StateOfOtherNetwork { path, found, pinned: network });
        }
        Ok(Some(state))
    }

    /// Replaces the state at `path`, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let bytes = self.to_bytes();
        replace(path, |file| file.write_all(&bytes)).map_err(|source| Error::State {
            act: "write",
            path: path.to_owned(),
            source,
        })
    }
}
