//! The chunk cache: sealed chunks as files named by their object id, written whole or not at all, checked when read.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use cosmic_common::{hash, id::ObjectId};

use crate::error::Error;

/// A directory of sealed chunks.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The cache in `directory`, which is created.
    ///
    /// # Errors
    /// [`Error::Cache`] if it cannot be.
    pub fn open(directory: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&directory).map_err(|source| Error::Cache { path: directory.clone(), source })?;
        Ok(Self { directory })
    }

    fn path(&self, object: &ObjectId) -> PathBuf {
        let name = object.to_string();
        let folder = name.get(..2).unwrap_or("__");
        self.directory.join(folder).join(&name)
    }

    /// Keeps `bytes` as `object`: on disk when this returns.
    ///
    /// # Errors
    /// [`Error::Cache`] if the disk refuses.
    pub fn put(&self, object: &ObjectId, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(object);
        let failed = |source| Error::Cache { path: path.clone(), source };
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(folder).map_err(failed)?;
        let part = path.with_extension("part");
        let written = write_durably(&part, bytes).and_then(|()| fs::rename(&part, &path));
        if let Err(source) = written {
            // The part is worth nothing; that it cannot be removed either is no second error.
            drop(fs::remove_file(&part));
            return Err(failed(source));
        }
        Ok(())
    }

    /// The bytes of `object`, if they are here and whole; damaged ones are removed.
    ///
    /// # Errors
    /// [`Error::Cache`] if the disk refuses.
    pub fn get(&self, object: &ObjectId) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(object);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Cache { path, source }),
        };
        if hash::plain(&bytes).as_bytes() == object.as_bytes() {
            return Ok(Some(bytes));
        }
        tracing::warn!(object = %object.short(), "a cached chunk is damaged and was removed");
        self.remove(object)?;
        Ok(None)
    }

    /// Removes `object`, and says how many bytes that freed.
    ///
    /// # Errors
    /// [`Error::Cache`] if the disk refuses.
    pub fn remove(&self, object: &ObjectId) -> Result<u64, Error> {
        let path = self.path(object);
        let bytes = fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or_default();
        match fs::remove_file(&path) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(Error::Cache { path, source }),
        }
    }

    /// Where the cache lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cosmic_common::{hash, id::ObjectId};

    use super::Cache;

    #[test]
    fn what_is_damaged_is_never_returned() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("chunks")).unwrap();
        let object = ObjectId::from_bytes(*hash::plain(b"sealed").as_bytes());
        assert_eq!(cache.get(&object).unwrap(), None);
        cache.put(&object, b"sealed").unwrap();
        assert_eq!(cache.get(&object).unwrap().as_deref(), Some(b"sealed".as_slice()));
        fs::write(cache.path(&object), b"sealeD").unwrap();
        assert_eq!(cache.get(&object).unwrap(), None);
        assert_eq!(cache.remove(&object).unwrap(), 0, "it was removed when the damage was seen");
    }
}
