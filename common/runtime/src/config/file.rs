//! The file layer: TOML with the line of each value kept, and text that becomes a value.

use std::{fs, io, path::Path, sync::Arc};

use serde_json::{Map, Value};
use toml::de::{DeInteger, DeTable, DeValue};

use super::{
    keys::{self, Keys},
    mistake::{Mistakes, Origin, Problem},
};

/// A configuration is written by hand; a larger file is some other file.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// One value of a file whose key is known.
pub(super) struct Setting {
    pub(super) origin: Origin,
    pub(super) key: String,
    pub(super) value: Value,
}

/// The values of the file at `path`; whatever is wrong with it goes to `mistakes`.
pub(super) fn read(path: &Path, required: bool, keys: &Keys, mistakes: &mut Mistakes) -> Vec<Setting> {
    let whole = Origin::File { path: path.to_owned(), line: 0 };
    let text = match read_bounded(path) {
        Ok(text) => text,
        // Whoever opens the data directory says better why nothing can be seen in it.
        Err(_error) if !required && fs::symlink_metadata(path).is_err() => return Vec::new(),
        Err(error) => {
            mistakes.add(whole, "", Problem::Unreadable(Arc::new(error)));
            return Vec::new();
        }
    };
    let (document, errors) = DeTable::parse_recoverable(&text);
    let mut reading = Reading { path, text: &text, keys, mistakes, found: Vec::new() };
    for error in errors {
        let origin = reading.origin(error.span().map_or(0, |span| span.start));
        reading.mistakes.add(origin, "", Problem::Syntax(error.message().to_owned()));
    }
    reading.table("", document.get_ref());
    reading.found
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_MAX_BYTES {
        return Err(io::Error::other("larger than a configuration can be"));
    }
    fs::read_to_string(path)
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    keys: &'a Keys,
    mistakes: &'a mut Mistakes,
    found: Vec<Setting>,
}

impl Reading<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = keys::join(path, name.get_ref());
            let origin = self.origin(name.span().start);
            if self.keys.is_table(&key) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(&key, inner),
                    _ => self.mistakes.add(origin, &key, Problem::NotATable),
                }
            } else if self.keys.is_known(&key) {
                self.found.push(Setting { origin, key, value: to_json(value.get_ref()) });
            } else {
                let nearest = self.keys.nearest(&key);
                self.mistakes.add(origin, &key, Problem::Unknown { nearest });
            }
        }
    }

    fn origin(&self, position: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(position);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { path: self.path.to_owned(), line }
    }
}

/// What `text` of a flag or a variable may mean, likeliest first: a TOML value, itself, a list with commas.
pub(super) fn values_of_text(text: &str) -> Vec<Value> {
    let mut candidates = Vec::new();
    if let Ok(value) = DeValue::parse(text) {
        candidates.push(to_json(value.get_ref()));
    }
    candidates.push(Value::String(text.to_owned()));
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    candidates.push(parts.map(|part| Value::String(part.to_owned())).collect());
    candidates
}

fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => {
            number.as_str().parse::<f64>().map_or_else(|_error| text_of(number), Value::from)
        }
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(time) => text_of(time),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let pair = |(name, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
                (ToString::to_string(name.get_ref() as &std::borrow::Cow<'_, str>), to_json(value.get_ref()))
            };
            Value::Object(table.iter().map(pair).collect::<Map<_, _>>())
        }
    }
}

/// The number, or its text if it is none we can hold, which then fits no number.
fn integer(number: &DeInteger<'_>) -> Value {
    i64::from_str_radix(number.as_str(), number.radix()).map_or_else(|_error| text_of(number), Value::from)
}

fn text_of(value: &impl ToString) -> Value {
    Value::String(value.to_string())
}
