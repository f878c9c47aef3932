//! The credentials of the cold store: out of a file that only the service can read, or out of the environment.

use std::{
    env, fmt, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::Error;

/// The three lines it takes, and room for comments.
const FILE_MAX_BYTES: u64 = 64 * 1024;
/// What others may do with the file: nothing.
const OTHERS: u32 = 0o077;

/// Who this supernode is to the store. Its `Debug` form tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Those in `file`, or else those in the environment.
    pub(super) fn find(file: Option<&Path>) -> Result<Self, Error> {
        match file {
            Some(path) => Self::read(path),
            None => {
                let variable =
                    |name: &str| env::var(name.to_uppercase()).ok().filter(|text| !text.is_empty());
                Self::of(variable).ok_or(Error::NoCredentials)
            }
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::CredentialsFile { path: PathBuf::from(path), source };
        let about = fs::metadata(path).map_err(failed)?;
        if about.permissions().mode() & OTHERS != 0 {
            return Err(Error::CredentialsSeen { path: PathBuf::from(path) });
        }
        if about.len() > FILE_MAX_BYTES {
            return Err(Error::CredentialsUnreadable { path: PathBuf::from(path) });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let value = |name: &str| value_in(&text, name).map(str::to_owned);
        Self::of(value).ok_or_else(|| Error::CredentialsUnreadable { path: PathBuf::from(path) })
    }

    fn of(value: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(Self {
            access_key_id: value("aws_access_key_id")?,
            secret_access_key: value("aws_secret_access_key")?,
            session_token: value("aws_session_token"),
        })
    }
}

/// The first value of `name` in the lines of an AWS credentials file.
fn value_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let pairs = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '[']));
    let mut pairs = pairs.filter_map(|line| line.split_once('='));
    let (_name, value) = pairs.find(|(key, _value)| key.trim() == name)?;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &str =
        "# of the shards\n[default]\naws_access_key_id = AKIA\naws_secret_access_key=\"a=b/c\"\n";

    fn file(mode: u32, text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.as_file().set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let found = Credentials::find(Some(file(0o600, TEXT).path())).unwrap();
        assert_eq!((found.access_key_id.as_str(), found.secret_access_key.as_str()), ("AKIA", "a=b/c"));
        assert_eq!(found.session_token, None);
        assert_eq!(format!("{found:?}"), "Credentials { .. }");
        for mode in [0o640, 0o604, 0o660] {
            let refused = Credentials::find(Some(file(mode, TEXT).path())).unwrap_err();
            assert!(matches!(refused, Error::CredentialsSeen { .. }), "{mode:o}");
        }
    }

    #[test]
    fn half_of_them_are_none() {
        let refused = Credentials::find(Some(file(0o600, "aws_access_key_id = AKIA\n").path())).unwrap_err();
        assert!(matches!(refused, Error::CredentialsUnreadable { .. }));
        assert!(matches!(
            Credentials::find(Some(Path::new("/nowhere/at/all"))).unwrap_err(),
            Error::CredentialsFile { .. }
        ));
    }
}
