//! What a command prints: lines, tables and sentences for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde::Serialize;
use serde_json::{Value, json};

use crate::Error;

#[cfg(test)]
mod tests;

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// `answer`, told to people in the words of `tell`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn show(self, answer: &Value, tell: impl FnOnce(&Value) -> String) -> Result<(), Error> {
        let text = if self.json { answer.to_string() } else { tell(answer) };
        write(format!("{text}\n").as_bytes())
    }

    /// One thing that was asked for, named for programs.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn pair(self, name: &str, value: &(impl Display + Serialize)) -> Result<(), Error> {
        self.show(&json!({ name: value }), |_answer| value.to_string())
    }

    /// An object, a line for each field.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn fields(self, answer: &Value) -> Result<(), Error> {
        self.show(answer, |answer| lines(answer, "").trim_end().to_owned())
    }

    /// What people are told about `file`, which programs get whole, as it is kept.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn file(self, file: &impl Serialize, told: &Value) -> Result<(), Error> {
        if !self.json {
            return self.fields(told);
        }
        let text = serde_json::to_string_pretty(file).map_err(|error| Error::Output(error.into()))?;
        write(format!("{text}\n").as_bytes())
    }

    /// The list at `place` of `answer` (a JSON pointer; empty for the whole), a line for each item.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn table(self, answer: &Value, place: &str, columns: &[&str]) -> Result<(), Error> {
        self.tables(answer, &[(place, columns)])
    }

    /// Several lists of one answer, each with its columns; programs get the answer once.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn tables(self, answer: &Value, lists: &[(&str, &[&str])]) -> Result<(), Error> {
        let list = |place: &str| answer.pointer(place).unwrap_or(&Value::Null);
        let told = || lists.iter().map(|(place, columns)| table(list(place), columns)).collect::<Vec<_>>();
        self.show(answer, |_answer| told().join("\n\n"))
    }
}

/// Writes `bytes` to standard output, now.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).map_err(Error::Output)
}

/// A value in a table or a sentence, without quotes.
#[must_use]
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

fn lines(value: &Value, prefix: &str) -> String {
    let fields = value.as_object().into_iter().flatten();
    let line = |(name, value): (&String, &Value)| match value {
        Value::Object(inner) if !inner.is_empty() => lines(value, &format!("{prefix}{name}.")),
        _ => format!("{prefix}{name}: {}\n", cell(Some(value))),
    };
    fields.map(line).collect()
}

/// A list as lines with these columns.
#[must_use]
pub fn table(list: &Value, columns: &[&str]) -> String {
    let titles = columns.iter().map(|column| column.replace('_', " ").to_uppercase()).collect();
    let mut rows: Vec<Vec<String>> = vec![titles];
    for item in list.as_array().into_iter().flatten() {
        rows.push(columns.iter().map(|column| cell(item.get(*column))).collect());
    }
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
