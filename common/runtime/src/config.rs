//! Settings in layers: flag over environment over file over default, with every mistake told at once.
//!
//! A room's settings are a plain struct; a house composes the structs of its rooms into one. The default
//! value of that struct is the list of keys there are: a key nobody knows is refused with the nearest one
//! that exists. Each given value is tried alone on top of the defaults, so one mistake hides no other.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

mod file;
mod keys;
mod mistake;
#[cfg(test)]
mod tests;

pub use mistake::{Mistake, Mistakes, Origin, Problem};

use keys::Keys;

/// What the names of our environment variables begin with.
const PREFIX: &str = "COSMIC_";
/// Variables with our prefix that are not settings: the command line reads the first two itself, the
/// others belong to builds and tests, whose child processes inherit them.
const NOT_SETTINGS: [&str; 6] =
    ["COSMIC_CONFIG", "COSMIC_DATA_DIR", "COSMIC_COMMIT", "COSMIC_SEEDS", "COSMIC_SEED", "COSMIC_ROUNDS"];

/// A struct of settings, read by [`load`]. Every key needs a default; an absent value is `None`.
pub trait Settings: Default + Serialize + DeserializeOwned {
    /// Refuses values that are well formed but make no sense, alone or together.
    fn check(&self, _mistakes: &mut Mistakes) {}
}

/// Where settings come from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    file_is_required: bool,
    environment: Vec<(String, OsString)>,
    not_settings: Vec<String>,
    flags: Vec<Flag>,
    /// The names of the flags there are, and their keys: who writes `http` may mean `admin.listen`.
    words: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Flag {
    name: String,
    key: String,
    text: String,
}

impl Sources {
    /// Nothing but the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the file at `path`, which must be there.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        (self.file, self.file_is_required) = (Some(path.into()), true);
        self
    }

    /// Reads the file at `path` if there is one.
    #[must_use]
    pub fn file_if_present(mut self, path: impl Into<PathBuf>) -> Self {
        (self.file, self.file_is_required) = (Some(path.into()), false);
        self
    }

    /// Reads the `COSMIC_…` variables of this process.
    #[must_use]
    pub fn process_environment(self) -> Self {
        self.environment(env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text))))
    }

    /// Reads these variables instead; those without our prefix are skipped.
    #[must_use]
    pub fn environment<T: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (String, T)>,
    ) -> Self {
        let ours = variables.into_iter().filter(|(name, _text)| name.starts_with(PREFIX));
        self.environment.extend(ours.map(|(name, text)| (name, text.into())));
        self.environment.sort();
        self
    }

    /// Lets the command line use `variable` for something else than a setting.
    #[must_use]
    pub fn not_a_setting(mut self, variable: impl Into<String>) -> Self {
        self.not_settings.push(variable.into());
        self
    }

    /// Sets `key` to `text`, if the flag `name` was given.
    #[must_use]
    pub fn flag(mut self, name: &str, key: &str, text: Option<String>) -> Self {
        self.words.push((name.trim_start_matches('-').to_owned(), key.to_owned()));
        self.set(name, key, text)
    }

    /// Sets what `--set KEY=VALUE` names; without `=` the value is empty.
    #[must_use]
    pub fn assignment(self, assignment: &str) -> Self {
        let (key, text) = assignment.split_once('=').unwrap_or((assignment, ""));
        self.set(&format!("--set {}", key.trim()), key.trim(), Some(text.trim().to_owned()))
    }

    fn set(mut self, name: &str, key: &str, text: Option<String>) -> Self {
        let flag = |text| Flag { name: name.to_owned(), key: key.to_owned(), text };
        self.flags.extend(text.map(flag));
        self
    }
}

/// One setting, as the manual and the example files list it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its place: `admin.listen`.
    pub path: String,
    /// Its environment variable: `COSMIC_ADMIN_LISTEN`.
    pub variable: String,
    /// Its default, `null` if absent.
    pub default: Value,
}

/// All settings of `T`.
#[must_use]
pub fn keys<T: Settings>() -> Vec<Key> {
    Keys::of::<T>(&[]).list()
}

/// The settings of `sources` on top of the defaults.
///
/// # Errors
/// All [`Mistakes`] of all sources.
pub fn load<T: Settings>(sources: &Sources) -> Result<T, Mistakes> {
    let mut loading = Loading::<T>::new(&sources.words);
    if let Some(path) = &sources.file {
        loading.file(path, sources.file_is_required);
    }
    for (variable, text) in &sources.environment {
        let known = NOT_SETTINGS.contains(&variable.as_str()) || sources.not_settings.contains(variable);
        if !known && !text.is_empty() {
            loading.variable(variable, text);
        }
    }
    for flag in &sources.flags {
        loading.text(&Origin::Flag(flag.name.clone()), &flag.key, &flag.text);
    }
    loading.finish()
}

struct Loading<T> {
    keys: Keys,
    /// The defaults and all good values so far.
    settings: Value,
    origins: BTreeMap<String, Origin>,
    mistakes: Mistakes,
    kind: std::marker::PhantomData<T>,
}

impl<T: Settings> Loading<T> {
    fn new(words: &[(String, String)]) -> Self {
        let keys = Keys::of::<T>(words);
        Self {
            settings: keys.defaults().clone(),
            keys,
            origins: BTreeMap::new(),
            mistakes: Mistakes::default(),
            kind: std::marker::PhantomData,
        }
    }

    fn file(&mut self, path: &Path, required: bool) {
        let found = file::read(path, required, &self.keys, &mut self.mistakes);
        for file::Setting { origin, key, value } in found {
            self.first_accepted(&origin, &key, vec![value]);
        }
    }

    fn variable(&mut self, variable: &str, text: &OsString) {
        let origin = Origin::Environment(variable.to_owned());
        match (self.keys.of_variable(variable), text.to_str()) {
            (Some(key), Some(text)) => self.text(&origin, &key, text),
            (Some(key), None) => self.mistakes.add(origin, &key, Problem::NotText),
            (None, _) => {
                let nearest = self.keys.nearest_variable(variable);
                self.mistakes.add(origin, variable, Problem::Unknown { nearest });
            }
        }
    }

    /// Takes `text` as the first kind of value that fits `key`.
    fn text(&mut self, origin: &Origin, key: &str, text: &str) {
        if self.keys.is_known(key) {
            self.first_accepted(origin, key, file::values_of_text(text));
        } else if self.keys.is_table(key) {
            self.mistakes.add(origin.clone(), key, Problem::NotATable);
        } else {
            let nearest = self.keys.nearest(key);
            self.mistakes.add(origin.clone(), key, Problem::Unknown { nearest });
        }
    }

    fn first_accepted(&mut self, origin: &Origin, key: &str, candidates: Vec<Value>) {
        let mut first_reason = None;
        for candidate in candidates {
            let mut alone = self.keys.defaults().clone();
            keys::set(&mut alone, key, candidate.clone());
            match serde_json::from_value::<T>(alone) {
                Ok(_accepted) => {
                    keys::set(&mut self.settings, key, candidate);
                    self.origins.insert(key.to_owned(), origin.clone());
                    return;
                }
                Err(reason) => {
                    first_reason.get_or_insert(reason);
                }
            }
        }
        if let Some(reason) = first_reason {
            self.mistakes.add(origin.clone(), key, Problem::Value(reason.to_string()));
        }
    }

    fn finish(mut self) -> Result<T, Mistakes> {
        match serde_json::from_value::<T>(self.settings) {
            Ok(settings) => {
                let mut refused = Mistakes::default();
                settings.check(&mut refused);
                self.mistakes.append_with_origins(refused, &self.origins);
                if self.mistakes.is_empty() { Ok(settings) } else { Err(self.mistakes) }
            }
            Err(reason) => {
                self.mistakes.add(Origin::Together, "", Problem::Value(reason.to_string()));
                Err(self.mistakes)
            }
        }
    }
}
