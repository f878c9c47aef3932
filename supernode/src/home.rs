//! The data directory of a supernode: its key, the network it belongs to, its member record, and the life of its data.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
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
use cosmic_store::{Store, Verified};

use crate::{
    key_file,
    tables::{FACTS, Fact, schema},
};

/// The name of the binary, and of its data directory.
pub const PROGRAM: &str = "cosmic-supernode";
/// The format of the data directory; tables have formats of their own.
const OWNER: Owner = Owner { program: PROGRAM, format: 1 };
const KEY_FILE: &str = "peer.key";
const NETWORK_FILE: &str = "network.json";
const MEMBER_FILE: &str = "member.record";
/// What was signed before that, for taking it back.
const FORMER_FILE: &str = "member.former";
/// What makes a directory a data directory.
const FORMAT_FILE: &str = "format";
const ONLY_US: u32 = 0o700;
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
    /// A backup cannot be written.
    #[error("the backup cannot be made: {} cannot be read or written", path.display())]
    Backup {
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
        let member = record_in(path, MEMBER_FILE)?;
        Ok(Self { key, network: NetworkFile::read(&path.join(NETWORK_FILE))?, member })
    }
}

fn record_in(directory: &Path, file: &str) -> Result<Option<Signed<Member>>, Error> {
    let path = directory.join(file);
    match fs::read(&path) {
        Ok(bytes) => Signed::from_bytes(&bytes).map(Some).map_err(|source| Error::Member { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path, source }),
    }
}

/// Bytes of the files in `folder` and in the folders in it.
fn size_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for item in fs::read_dir(folder)? {
        let item = item?;
        let metadata = item.metadata()?;
        bytes += if metadata.is_dir() { size_of(&item.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Reads the store below the data directory `path` from end to end, while nobody uses it. Blocks.
///
/// # Errors
/// If it does not open.
pub fn verify(path: &Path) -> Result<Vec<Verified>, Error> {
    Ok(cosmic_store::verify(path.join(STORE), &schema(), &cosmic_store::Config::default())?)
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
        record_in(self.path(), MEMBER_FILE)
    }

    /// What the operator of the directory at `path` had signed before that.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn former_member(path: &Path) -> Result<Option<Signed<Member>>, Error> {
        record_in(path, FORMER_FILE)
    }

    /// Keeps what the operator signed, and what he had signed before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_member(&self, member: &Signed<Member>) -> Result<(), Error> {
        if let Some(before) = self.member()?.filter(|before| before != member) {
            self.directory.write(FORMER_FILE, &before.to_bytes())?;
        }
        Ok(self.directory.write(MEMBER_FILE, &member.to_bytes())?)
    }

    /// Copies the store as it is now and the files beside it into `to`, which must not be there: a data directory that
    /// begins a new life when it is used. The key is in it only `with_key`; the member record belongs to the key.
    /// Blocks; the bytes of the copy, most of which are shared with the store where the file system can.
    ///
    /// # Errors
    /// If it cannot be written. What is there then is no data directory.
    pub fn backup(&self, store: &Store, to: &Path, with_key: bool) -> Result<u64, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Backup { path, source }
        };
        fs::DirBuilder::new().mode(ONLY_US).create(to).map_err(failed(to))?;
        store.checkpoint(to.join(STORE))?;
        let mut files = vec![NETWORK_FILE, STATE_FILE];
        if with_key {
            files.extend([MEMBER_FILE, KEY_FILE]);
        }
        // Without its format a directory is nobody's: the last file makes the copy whole.
        files.push(FORMAT_FILE);
        for name in files {
            let content = match fs::read(self.path().join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                content => content.map_err(failed(&self.path().join(name)))?,
            };
            let place = to.join(name);
            cosmic_runtime::data_dir::replace(&place, |file| file.write_all(&content))
                .map_err(failed(&place))?;
        }
        size_of(to).map_err(failed(to))
    }

    /// The life of the data in `store`: a new one in a new, copied or restored directory and when the store lost the end
    /// of its log, since promises were made for the data that was there before.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub async fn incarnation(&mut self, store: &Store) -> Result<Incarnation, Error> {
        let fact = Fact::Incarnation as u8;
        let known = store.get(&FACTS, &fact)?.and_then(|bytes| Incarnation::try_from(bytes.as_ref()).ok());
        if store.was_cut_short() {
            tracing::error!(
                "the store lost the end of its log, or a part of it; this supernode begins a new life, and what it lost comes from the others"
            );
        } else if let (Life::Same, Some(incarnation)) = (self.directory.life(), known) {
            return Ok(incarnation);
        }
        let incarnation = Incarnation::from_bytes(random::bytes());
        let mut batch = store.batch();
        batch.put_slice(&FACTS, &fact, incarnation.as_bytes());
        store.commit(batch).await?;
        self.directory.begin_life()?;
        if store.was_cut_short() {
            store.begin_anew()?;
        }
        Ok(incarnation)
    }
}
