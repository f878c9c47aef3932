//! Secret keys in files of one line that only their owner may read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use cosmic_common::id::base32;
use cosmic_identity::key::SecretKey;
use cosmic_runtime::random;

/// Nobody but the owner.
const ONLY_US_FILE: u32 = 0o600;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("cannot {act} the key file {}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} holds no key; a key file is one line of 52 letters and digits", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
}

/// Makes a new key in a new file; an existing file is never touched.
///
/// # Errors
/// [`Error::Io`], also if the file is there.
pub fn create(path: &Path) -> Result<SecretKey, Error> {
    let key = SecretKey::from_seed(&random::seed());
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(ONLY_US_FILE).open(path)?;
        writeln!(file, "{}", base32().encode(&*key.seed()))?;
        file.sync_all()
    };
    write().map_err(|source| Error::Io { act: "create", path: path.to_owned(), source })?;
    Ok(key)
}

/// The key in the file.
///
/// # Errors
/// [`Error`] if it cannot be read or holds no key.
pub fn read(path: &Path) -> Result<SecretKey, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io {
        act: "read",
        path: path.to_owned(),
        source,
    })?;
    let seed =
        base32().decode(text.trim().as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let seed = seed.ok_or_else(|| Error::NoKey { path: path.to_owned() })?;
    Ok(SecretKey::from_seed(&seed))
}

/// The key in the file, made now if there is none.
///
/// # Errors
/// As [`read`] and [`create`].
pub fn read_or_create(path: &Path) -> Result<SecretKey, Error> {
    match read(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => create(path),
        result => result,
    }
}
