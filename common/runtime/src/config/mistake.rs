//! What is wrong with a configuration, where, and what was probably meant.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, sync::Arc};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// A line of a file, 0 for the whole of it.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
    /// Several values together.
    Together,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
            Self::Together => f.write_str("all settings together"),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone)]
pub enum Problem {
    /// There is no such key.
    Unknown {
        /// The key or variable that was probably meant.
        nearest: Option<String>,
    },
    /// The value does not fit, or makes no sense.
    Value(String),
    /// A table was expected.
    NotATable,
    /// The text is not Unicode.
    NotText,
    /// The file is not TOML.
    Syntax(String),
    /// The file cannot be read.
    Unreadable(Arc<io::Error>),
}

/// One mistake.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// Where the value came from.
    pub origin: Origin,
    /// The key, if it is about one.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, problem } = self;
        write!(f, "{origin}: ")?;
        match problem {
            Problem::Unknown { nearest: Some(nearest) } => {
                write!(f, "there is no setting {key}; did you mean {nearest}?")
            }
            Problem::Unknown { nearest: None } => write!(f, "there is no setting {key}"),
            Problem::Value(reason) if key.is_empty() => f.write_str(reason),
            Problem::Value(reason) => write!(f, "{key}: {reason}"),
            Problem::NotATable => write!(f, "{key} is a table of settings, not a value"),
            Problem::NotText => write!(f, "{key} must be UTF-8 text"),
            Problem::Syntax(reason) => write!(f, "not TOML: {reason}"),
            Problem::Unreadable(reason) => write!(f, "cannot be read: {reason}"),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, Default)]
pub struct Mistakes {
    found: Vec<Mistake>,
    /// The table that is being checked.
    table: String,
}

impl Mistakes {
    /// Refuses the value of `key` in the table being checked, for `reason`.
    pub fn refuse(&mut self, key: &str, reason: impl Into<String>) {
        let key = super::keys::join(&self.table, key);
        self.found.push(Mistake { origin: Origin::Default, key, problem: Problem::Value(reason.into()) });
    }

    /// Checks the settings of a room, which lie in the table `name`.
    pub fn within(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        let inner = super::keys::join(&self.table, name);
        let outer = std::mem::replace(&mut self.table, inner);
        check(self);
        self.table = outer;
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Each mistake, in the order of the layers.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.found.iter()
    }

    pub(super) fn add(&mut self, origin: Origin, key: &str, problem: Problem) {
        self.found.push(Mistake { origin, key: key.to_owned(), problem });
    }

    /// Takes over what a check refused, and adds where each value came from.
    pub(super) fn append_with_origins(&mut self, refused: Self, origins: &BTreeMap<String, Origin>) {
        for mut mistake in refused.found {
            if let Some(origin) = origins.get(&mistake.key) {
                mistake.origin = origin.clone();
            }
            self.found.push(mistake);
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found.as_slice() {
            [only] => write!(f, "the configuration has a mistake: {only}"),
            all => {
                write!(f, "the configuration has {} mistakes:", all.len())?;
                all.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}
