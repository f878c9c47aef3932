//! The data directory of a supernode: its key, the network it belongs to, its member record, and the life of its data.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cosmic_common::{id::Incarnation, record::Record as _};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_membership::NetworkFile;
use cosmic_ring::Member;
use cosmic_runtime::{
    data_dir::{DataDir, Life, Owner},
    random,
};
use cosmic_store::Store;

use crate::{
    key_file,
    tables::{FACTS, Fact},
};

/// The name of the binary, and of its data directory.
pub const PROGRAM: &str = "cosmic-supernode";
/// The format of the data directory; tables have formats of their own.
const OWNER: Owner = Owner { program: PROGRAM, format: 1 };
const KEY_FILE: &str = "peer.key";
const NETWORK_FILE: &str = "network.json";
const MEMBER_FILE: &str = "member.record";
/// The tables.
const STORE: &str = "store";
/// What is known of the network.
const STATE_FILE: &str = "network.state";

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] cosmic_runtime::Error),
    /// The key.
    #[error(transparent)]
    Key(#[from] key_file::Error),
    /// The network file.
    #[error(transparent)]
    Network(#[from] cosmic_membership::Error),
    /// No network was named.
    #[error("{} belongs to no network yet; name one with --network FILE", path.display())]
    NoNetwork {
        /// The directory.
        path: PathBuf,
    },
    /// The directory belongs to another network.
    #[error("{} belongs to the network {}, the file names {}; choose another --data-dir", path.display(), here.short(), named.short())]
    OtherNetwork {
        /// The directory.
        path: PathBuf,
        /// Its network.
        here: cosmic_common::id::NetworkId,
        /// The network of the file.
        named: cosmic_common::id::NetworkId,
    },
    /// The member record cannot be read.
    #[error("{} is no member record; sign it again with: cosmic-supernode operator sign", path.display())]
    Member {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: cosmic_common::record::RecordError,
    },
    /// A file of the directory.
    #[error("cannot read {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The network file cannot be written.
    #[error("the network file cannot be written")]
    Encoding(#[from] serde_json::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] cosmic_store::Error),
}

/// What stands in the data directory of a supernode that runs: its files are replaced whole, so they may be read.
#[derive(Debug)]
pub struct Seen {
    /// The supernode's key.
    pub key: SecretKey,
    /// The network it belongs to.
    pub network: NetworkFile,
    /// What its operator signed last.
    pub member: Option<Signed<Member>>,
}

impl Seen {
    /// Reads the directory at `path` without taking it.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let key = key_file::read(&path.join(KEY_FILE))?;
        Ok(Self { key, network: NetworkFile::read(&path.join(NETWORK_FILE))?, member: member_in(path)? })
    }
}

fn member_in(directory: &Path) -> Result<Option<Signed<Member>>, Error> {
    let path = directory.join(MEMBER_FILE);
    match fs::read(&path) {
        Ok(bytes) => Signed::from_bytes(&bytes).map(Some).map_err(|source| Error::Member { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path, source }),
    }
}

/// The data directory of a supernode, in use by this process.
#[derive(Debug)]
pub struct Home {
    directory: DataDir,
    key: SecretKey,
}

impl Home {
    /// Opens the directory at `path`, and makes it with a new key if it is not there.
    ///
    /// # Errors
    /// [`Error`] that says why it cannot be used.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let directory = DataDir::open(path, OWNER)?;
        let key = key_file::read_or_create(&directory.path().join(KEY_FILE))?;
        Ok(Self { directory, key })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory itself.
    #[must_use]
    pub const fn directory(&self) -> &DataDir {
        &self.directory
    }

    /// The supernode's key.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Where the tables lie.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.path().join(STORE)
    }

    /// Where what is known of the network lies.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.path().join(STATE_FILE)
    }

    /// The network this supernode belongs to: of `file` if it is given, which is remembered, or else the one remembered.
    ///
    /// # Errors
    /// [`Error::NoNetwork`], [`Error::OtherNetwork`], or that a file cannot be read or written.
    pub fn network(&self, file: Option<&Path>) -> Result<NetworkFile, Error> {
        let remembered = match NetworkFile::read(&self.path().join(NETWORK_FILE)) {
            Ok(network) => Some(network),
            Err(cosmic_membership::Error::NetworkFile { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => return Err(error.into()),
        };
        let Some(file) = file else {
            return remembered.ok_or_else(|| Error::NoNetwork { path: self.path().to_owned() });
        };
        let named = NetworkFile::read(file)?;
        match &remembered {
            Some(here) if here.network != named.network => {
                let (here, named) = (here.network, named.network);
                return Err(Error::OtherNetwork { path: self.path().to_owned(), here, named });
            }
            Some(here) if *here == named => {}
            Some(_) | None => self.directory.write(NETWORK_FILE, &serde_json::to_vec_pretty(&named)?)?,
        }
        Ok(named)
    }

    /// What the operator signed about this supernode, if anything was signed yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn member(&self) -> Result<Option<Signed<Member>>, Error> {
        member_in(self.path())
    }

    /// Keeps what the operator signed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_member(&self, member: &Signed<Member>) -> Result<(), Error> {
        Ok(self.directory.write(MEMBER_FILE, &member.to_bytes())?)
    }

    /// The life of the data in `store`: a new one in a new, copied or restored directory, since promises were made
    /// for the data that was there before.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub async fn incarnation(&mut self, store: &Store) -> Result<Incarnation, Error> {
        let fact = Fact::Incarnation as u8;
        let known = store.get(&FACTS, &fact)?.and_then(|bytes| Incarnation::try_from(bytes.as_ref()).ok());
        if let (Life::Same, Some(incarnation)) = (self.directory.life(), known) {
            return Ok(incarnation);
        }
        let incarnation = Incarnation::from_bytes(random::bytes());
        let mut batch = store.batch();
        batch.put_slice(&FACTS, &fact, incarnation.as_bytes());
        store.commit(batch).await?;
        self.directory.begin_life()?;
        Ok(incarnation)
    }
}
