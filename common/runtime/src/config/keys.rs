//! The keys that exist, taken from the defaults, and the nearest of them to a misspelt one.

use serde_json::{Map, Value};

use super::{Key, PREFIX, Settings};

/// A key this many edits away, or a third of its length, is taken for a misspelling.
const NEAR_EDITS: usize = 2;
const NEAR_FRACTION: usize = 3;

/// All keys of one struct of settings.
pub(super) struct Keys {
    defaults: Value,
    leaves: Vec<String>,
    /// What else a key may be called by mistake, and the key.
    words: Vec<(String, String)>,
}

impl Keys {
    pub(super) fn of<T: Settings>(words: &[(String, String)]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "settings are plain structs; a test of each house loads its own"
        )]
        let defaults =
            serde_json::to_value(T::default()).expect("the default settings can be written as JSON");
        let mut leaves = Vec::new();
        collect(&defaults, "", &mut leaves);
        Self { defaults, leaves, words: words.to_vec() }
    }

    pub(super) const fn defaults(&self) -> &Value {
        &self.defaults
    }

    pub(super) fn list(&self) -> Vec<Key> {
        let key = |path: &String| Key {
            path: path.clone(),
            variable: variable(path),
            default: find(&self.defaults, path).cloned().unwrap_or_default(),
        };
        self.leaves.iter().map(key).collect()
    }

    /// Whether `path` can be set.
    pub(super) fn is_known(&self, path: &str) -> bool {
        self.leaves.iter().any(|leaf| leaf == path)
    }

    /// Whether `path` holds keys of its own.
    pub(super) fn is_table(&self, path: &str) -> bool {
        path.is_empty()
            || matches!(find(&self.defaults, path), Some(Value::Object(_))) && !self.is_known(path)
    }

    /// The key that `variable` sets.
    pub(super) fn of_variable(&self, name: &str) -> Option<String> {
        self.leaves.iter().find(|leaf| variable(leaf) == name).cloned()
    }

    pub(super) fn nearest(&self, path: &str) -> Option<String> {
        let last = last_of(path);
        let distance_to = |leaf: &str| {
            let misplaced = if last_of(leaf) == last { 1 } else { usize::MAX };
            distance(leaf, path).min(misplaced)
        };
        self.nearest_by(path.len(), |leaf| leaf.to_owned(), distance_to)
    }

    pub(super) fn nearest_variable(&self, name: &str) -> Option<String> {
        self.nearest_by(name.len().saturating_sub(PREFIX.len()), variable, |leaf| {
            edits(&variable(leaf), name)
        })
    }

    fn nearest_by(
        &self,
        length: usize,
        show: impl Fn(&str) -> String,
        distance: impl Fn(&str) -> usize,
    ) -> Option<String> {
        let leaves = self.leaves.iter().map(|leaf| (distance(leaf), leaf));
        let words = self.words.iter().map(|(word, leaf)| (distance(word), leaf));
        let (distance, leaf) = leaves.chain(words).min_by_key(|(distance, _leaf)| *distance)?;
        (distance <= NEAR_EDITS.max(length / NEAR_FRACTION)).then(|| show(leaf))
    }
}

/// Puts `value` at `path`, where a leaf is.
pub(super) fn set(settings: &mut Value, path: &str, value: Value) {
    let mut place = settings;
    for name in path.split('.') {
        let Value::Object(table) = place else { return };
        place = table.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

fn find<'a>(settings: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(settings, |place, name| place.get(name))
}

fn collect(value: &Value, path: &str, leaves: &mut Vec<String>) {
    match value {
        Value::Object(table) if !table.is_empty() || path.is_empty() => collect_table(table, path, leaves),
        _ => leaves.push(path.to_owned()),
    }
}

fn collect_table(table: &Map<String, Value>, path: &str, leaves: &mut Vec<String>) {
    for (name, value) in table {
        collect(value, &join(path, name), leaves);
    }
}

/// `name` inside the table `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace(['.', '-'], "_").to_uppercase())
}

fn last_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// How far `given` is from `known`; the mere beginning of a key, such as one without its unit, is near.
fn distance(known: &str, given: &str) -> usize {
    let cut_off = given.len() * 2 >= known.len() && known.starts_with(given);
    if cut_off { NEAR_EDITS } else { edits(known, given) }
}

/// How many letters must be put in, taken out or changed (Levenshtein).
pub(super) fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        let mut next = vec![before];
        for (above, to) in row.iter().skip(1).zip(&right) {
            before = (before + 1).min(above + 1).min(diagonal + usize::from(from != *to));
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
