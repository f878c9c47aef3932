//! The data directory: private, used by one process at a time, of a known format, and aware of being a copy.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::Error;

#[cfg(test)]
mod tests;

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
const LIFE_FILE: &str = "life";
/// Ends the name of a file that is being written and does not count yet.
const UNFINISHED: &str = ".new";
/// What [`DataDir::read`] takes at most: keys, markers and small records, never data.
const SMALL_FILE_MAX_BYTES: u64 = 1024 * 1024;
const ONLY_US: u32 = 0o700;
const ONLY_US_FILE: u32 = 0o600;

/// Whose data lies where by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// `/var/lib/<program>` when root runs it, as [`Home::User`] otherwise.
    Service,
    /// `$XDG_DATA_HOME/<program>`.
    User,
}

/// Where `program` keeps its data unless told otherwise.
///
/// # Errors
/// [`Error::NoHome`] if the environment names no home.
pub fn default_path(program: &str, home: Home) -> Result<PathBuf, Error> {
    if home == Home::Service && rustix::process::geteuid().is_root() {
        return Ok(Path::new("/var/lib").join(program));
    }
    let given = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = given("XDG_DATA_HOME").or_else(|| given("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join(program)).ok_or(Error::NoHome)
}

/// Whether data in the directory went on living here, or came here as a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// The directory was empty.
    First,
    /// The same data in the same place.
    Same,
    /// The files were copied, moved to another file system or restored: the same data may be alive elsewhere,
    /// or may have been further already. Whoever signs sequence numbers takes a new incarnation.
    Copied,
}

/// Who may use a directory, and up to which format.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The binary, as it calls itself.
    pub program: &'static str,
    /// The format this build writes; it reads this and every earlier one.
    pub format: u32,
}

/// A data directory in use by this process alone, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    format_found: u32,
    life: Life,
    /// Held for its lock.
    _lock: File,
}

impl DataDir {
    /// Opens `path`, and makes it first if it is not there.
    ///
    /// # Errors
    /// One sentence each for: not writable, in use, not ours, written by a newer version.
    pub fn open(path: impl Into<PathBuf>, owner: Owner) -> Result<Self, Error> {
        let path = path.into();
        DirBuilder::new()
            .recursive(true)
            .mode(ONLY_US)
            .create(&path)
            .map_err(|source| failed("create the data directory", &path, source))?;
        let lock = lock(&path, owner.program)?;
        let found = read_small(&path.join(FORMAT_FILE))?;
        let format_found = match &found {
            Some(marker) => parse_marker(marker, &path, owner)?,
            None => {
                refuse_foreign(&path, owner.program)?;
                owner.format
            }
        };
        let life = if found.is_none() { Life::First } else { read_life(&path)? };
        let directory = Self { path, format_found, life, _lock: lock };
        if found.is_none() {
            directory.write(FORMAT_FILE, marker(owner).as_bytes())?;
        }
        Ok(directory)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format its data has; lower than the owner's, it must be migrated.
    #[must_use]
    pub const fn format(&self) -> u32 {
        self.format_found
    }

    /// Says that everything was migrated to the owner's format.
    ///
    /// # Errors
    /// If the marker cannot be written.
    pub fn migrated(&mut self, owner: Owner) -> Result<(), Error> {
        self.write(FORMAT_FILE, marker(owner).as_bytes())?;
        self.format_found = owner.format;
        Ok(())
    }

    /// Whether this is the same life as when [`begin_life`](Self::begin_life) was called last.
    #[must_use]
    pub const fn life(&self) -> Life {
        self.life
    }

    /// Says that the life of the data goes on from here: call it once the new incarnation is on disk.
    ///
    /// # Errors
    /// If the marker cannot be written.
    pub fn begin_life(&mut self) -> Result<(), Error> {
        self.replace(LIFE_FILE, |file| {
            let place = Place::of(file)?;
            writeln!(file, "{} {}", place.inode, place.born_ns)
        })?;
        self.life = Life::Same;
        Ok(())
    }

    /// Replaces the file `name` at once or not at all; only this user may read it.
    ///
    /// # Errors
    /// If it cannot be written; the old content stays then.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        self.replace(name, |file| file.write_all(content))
    }

    /// The content of the file `name`, if it is there.
    ///
    /// # Errors
    /// If it cannot be read, or is larger than a small file.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        read_small(&self.path.join(name))
    }

    fn replace(&self, name: &str, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
        let path = self.path.join(name);
        replace(&path, write).map_err(|source| failed("write", &path, source))
    }
}

/// Replaces the file at `path` by what `write` writes, durably, at once or not at all; only this user may read it.
///
/// # Errors
/// If it cannot be written; the old content stays then.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(ONLY_US_FILE).open(&unfinished)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn lock(path: &Path, program: &'static str) -> Result<File, Error> {
    let lock_path = path.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(ONLY_US_FILE)
        .open(&lock_path)
        .map_err(|source| failed("open", &lock_path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DataDirInUse { path: path.to_owned(), program }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &lock_path, source)),
    }
}

fn marker(owner: Owner) -> String {
    format!("{} {}\n", owner.program, owner.format)
}

fn parse_marker(content: &[u8], path: &Path, owner: Owner) -> Result<u32, Error> {
    let Owner { program, format: supported } = owner;
    let text = String::from_utf8_lossy(content);
    let foreign = || Error::DataDirForeign {
        path: path.to_owned(),
        program,
        found: format!("its format file says {:?}", text.trim_end().chars().take(64).collect::<String>()),
    };
    let (who, format) = text.trim_end().split_once(' ').ok_or_else(foreign)?;
    let found: u32 = format.parse().map_err(|_error| foreign())?;
    if who != program {
        return Err(foreign());
    }
    if found > supported {
        return Err(Error::DataDirFormat { path: path.to_owned(), program, found, supported });
    }
    Ok(found)
}

/// A directory without a marker must be new: nobody's files get mixed with ours.
fn refuse_foreign(path: &Path, program: &'static str) -> Result<(), Error> {
    let failed = |source| failed("list", path, source);
    for item in fs::read_dir(path).map_err(failed)? {
        let name = item.map_err(failed)?.file_name();
        let ours = name == LOCK_FILE || name.to_string_lossy().ends_with(UNFINISHED) || name == "lost+found";
        let config = Path::new(&name).extension().is_some_and(|extension| extension == "toml");
        if !ours && !config {
            let found = format!("it holds {} and no format file", name.to_string_lossy());
            return Err(Error::DataDirForeign { path: path.to_owned(), program, found });
        }
    }
    Ok(())
}

/// What a copy of a file never shares with it.
struct Place {
    inode: u64,
    /// When the file was made here, 0 where the file system does not tell.
    born_ns: u128,
}

impl Place {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self { inode: metadata.ino(), born_ns: born.map_or(0, |since| since.as_nanos()) })
    }

    fn written_in(content: &str) -> Option<Self> {
        let (inode, born_ns) = content.trim_end().split_once(' ')?;
        Some(Self { inode: inode.parse().ok()?, born_ns: born_ns.parse().ok()? })
    }

    const fn is(&self, other: &Self) -> bool {
        let untold = self.born_ns == 0 || other.born_ns == 0;
        self.inode == other.inode && (untold || self.born_ns == other.born_ns)
    }
}

/// The life file names its own place; in a copy it names another.
fn read_life(path: &Path) -> Result<Life, Error> {
    let path = path.join(LIFE_FILE);
    let read = || -> io::Result<bool> {
        let file = File::open(&path)?;
        let here = Place::of(&file)?;
        let mut content = String::new();
        file.take(SMALL_FILE_MAX_BYTES).read_to_string(&mut content)?;
        Ok(Place::written_in(&content).is_some_and(|written| written.is(&here)))
    };
    match read() {
        Ok(true) => Ok(Life::Same),
        // A crash before the first life began, or a file that says nothing: rather one incarnation too many.
        Ok(false) => Ok(Life::Copied),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(Life::Copied)
        }
        Err(source) => Err(failed("read", &path, source)),
    }
}

fn read_small(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let read = || -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(path)?.take(SMALL_FILE_MAX_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > SMALL_FILE_MAX_BYTES {
            return Err(io::Error::other("it is larger than it can be"));
        }
        Ok(content)
    };
    match read() {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path, source)),
    }
}

fn failed(act: &'static str, path: &Path, source: io::Error) -> Error {
    Error::DataDir { act, path: path.to_owned(), source }
}
