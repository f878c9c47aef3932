//! The data directory of a bootstrap node: its key, its network's configuration, and mostly the network key.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cosmic_common::{
    id::{NetworkId, base32},
    record::{Record as _, RecordError},
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_membership::{BootstrapPeer, NetworkFile};
use cosmic_ring::{Admission, NetworkConfig};
use cosmic_runtime::{
    data_dir::{DataDir, Owner},
    random,
};

/// The name of the binary, and of its data directory.
pub const PROGRAM: &str = "cosmic-bootstrap";
/// The format of the data directory.
const OWNER: Owner = Owner { program: PROGRAM, format: 1 };
/// The key of the process.
const PEER_KEY: &str = "peer.key";
/// The key that signs configurations; whoever keeps it elsewhere names it with `--key`.
const NETWORK_KEY: &str = "network.key";
/// The signed configuration.
const CONFIGURATION: &str = "network.record";
/// The network of a further bootstrap node.
const NETWORK_FILE: &str = "network.json";
/// What is known of the network.
const STATE_FILE: &str = "network.state";

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] cosmic_runtime::Error),
    /// The network file.
    #[error(transparent)]
    Network(#[from] cosmic_membership::Error),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A key file holds something else.
    #[error("{} holds no key; a key file is one line of 52 letters and digits", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// The configuration is damaged.
    #[error("{} is no network configuration; restore it from a backup, or remove it to fetch it from another bootstrap node", path.display())]
    Configuration {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordError,
    },
    /// There is no network yet.
    #[error("{0} has no network yet; make one with: cosmic-bootstrap network create --data-dir {0}, or name one with --network FILE", path.display())]
    NoNetwork {
        /// The directory.
        path: PathBuf,
    },
    /// There is a network already.
    #[error("{} has a network already ({network}); choose another --data-dir for another network", path.display())]
    NetworkExists {
        /// The directory.
        path: PathBuf,
        /// Its network.
        network: NetworkId,
    },
    /// The network key is not here.
    #[error("the network key is not in {}; name its file with --key", path.display())]
    NoNetworkKey {
        /// The directory.
        path: PathBuf,
    },
    /// The directory belongs to another network.
    #[error("{} belongs to the network {here}, the file names {named}; choose another --data-dir", path.display())]
    OtherNetwork {
        /// The directory.
        path: PathBuf,
        /// Its network.
        here: NetworkId,
        /// The network of the file.
        named: NetworkId,
    },
    /// The network file cannot be written.
    #[error("the network file cannot be written")]
    Encoding(#[from] serde_json::Error),
}

/// The configuration in the directory at `path`, which may be in use: files are replaced whole.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn configuration(path: &Path) -> Result<Signed<NetworkConfig>, Error> {
    let file = path.join(CONFIGURATION);
    let bytes = read(&file)?.ok_or_else(|| Error::NoNetwork { path: path.to_owned() })?;
    Signed::from_bytes(&bytes).map_err(|source| Error::Configuration { path: file, source })
}

/// The network key in `file`, or else in the directory at `path`.
///
/// # Errors
/// If it is not there or no key.
pub fn network_key(path: &Path, file: Option<&Path>) -> Result<SecretKey, Error> {
    let found = match file {
        Some(file) => read_key(file)?,
        None => read_key(&path.join(NETWORK_KEY))?,
    };
    found.ok_or_else(|| Error::NoNetworkKey { path: path.to_owned() })
}

/// The data directory of a bootstrap node, in use by this process.
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
        let key = match read_key(&path.join(PEER_KEY))? {
            Some(key) => key,
            None => create_key(&directory, PEER_KEY)?,
        };
        Ok(Self { directory, key })
    }

    /// The directory itself.
    #[must_use]
    pub const fn directory(&self) -> &DataDir {
        &self.directory
    }

    /// The key of the process.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Where what is known of the network lies.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.path().join(STATE_FILE)
    }

    /// Makes a network: its key, and the first version of its configuration.
    ///
    /// # Errors
    /// [`Error::NetworkExists`], or that a file cannot be written.
    pub fn create_network(&self, admission: Admission) -> Result<NetworkId, Error> {
        if let Some(network) = self.remembered()? {
            return Err(Error::NetworkExists { path: self.path().to_owned(), network: network.network });
        }
        // A key without a configuration is left by a crash between the two files: it signs one now.
        let key = match read_key(&self.path().join(NETWORK_KEY))? {
            Some(key) => key,
            None => create_key(&self.directory, NETWORK_KEY)?,
        };
        let config = NetworkConfig { admission, ..NetworkConfig::new(&key) };
        let network = config.network();
        self.set_configuration(&Signed::sign(config, &key))?;
        Ok(network)
    }

    /// The configuration, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn configuration(&self) -> Result<Option<Signed<NetworkConfig>>, Error> {
        match configuration(self.path()) {
            Ok(config) => Ok(Some(config)),
            Err(Error::NoNetwork { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps `config`, which was verified.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_configuration(&self, config: &Signed<NetworkConfig>) -> Result<(), Error> {
        Ok(self.directory.write(CONFIGURATION, &config.to_bytes())?)
    }

    /// The network key, if it is kept here.
    ///
    /// # Errors
    /// If the file is no key.
    pub fn network_key(&self) -> Result<Option<SecretKey>, Error> {
        read_key(&self.path().join(NETWORK_KEY))
    }

    /// The network this bootstrap node serves, with the other ones: of `file` if it is given, which is remembered, or
    /// else the one made or remembered here.
    ///
    /// # Errors
    /// [`Error::NoNetwork`], [`Error::OtherNetwork`], or that a file cannot be read or written.
    pub fn network(&self, file: Option<&Path>) -> Result<NetworkFile, Error> {
        let remembered = self.remembered()?;
        let Some(file) = file else {
            return remembered.ok_or_else(|| Error::NoNetwork { path: self.path().to_owned() });
        };
        let named = NetworkFile::read(file)?;
        if let Some(here) = remembered.map(|here| here.network).filter(|here| *here != named.network) {
            return Err(Error::OtherNetwork { path: self.path().to_owned(), here, named: named.network });
        }
        self.directory.write(NETWORK_FILE, &serde_json::to_vec_pretty(&named)?)?;
        Ok(named)
    }

    fn remembered(&self) -> Result<Option<NetworkFile>, Error> {
        if let Some(config) = self.configuration()? {
            let doors = config.unverified().doors.iter();
            let others = doors.filter(|door| door.peer != self.key.peer_id());
            let bootstrap =
                others.map(|door| BootstrapPeer { peer: door.peer, addresses: door.addresses.clone() });
            let network = config.unverified().network();
            return Ok(Some(NetworkFile { network, bootstrap: bootstrap.collect() }));
        }
        let path = self.path().join(NETWORK_FILE);
        match NetworkFile::read(&path) {
            Ok(network) => Ok(Some(network)),
            Err(cosmic_membership::Error::NetworkFile { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn create_key(directory: &DataDir, name: &str) -> Result<SecretKey, Error> {
    let key = SecretKey::from_seed(&random::seed());
    directory.write(name, format!("{}\n", base32().encode(&*key.seed())).as_bytes())?;
    Ok(key)
}

fn read_key(path: &Path) -> Result<Option<SecretKey>, Error> {
    let Some(text) = read(path)? else { return Ok(None) };
    let seed = base32().decode(text.trim_ascii()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let seed = seed.ok_or_else(|| Error::NoKey { path: path.to_owned() })?;
    Ok(Some(SecretKey::from_seed(&seed)))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}
