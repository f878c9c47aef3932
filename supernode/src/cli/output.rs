//! What a command prints: lines and tables for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde::Serialize;
use serde_json::{Value, json};

use super::Error;

/// Where answers go.
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// One thing that was asked for.
    pub(super) fn pair(&self, name: &str, value: &(impl Display + Serialize)) -> Result<(), Error> {
        if self.json { self.value(&json!({ name: value })) } else { print(&format!("{value}\n")) }
    }

    /// An object, a line for each field.
    pub(super) fn fields(&self, value: &Value) -> Result<(), Error> {
        if self.json { self.value(value) } else { print(&lines(value, "")) }
    }

    /// The list below `field` of `value`, a line for each item.
    pub(super) fn table(&self, value: &Value, field: &str, columns: &[&str]) -> Result<(), Error> {
        if self.json {
            self.value(value)
        } else {
            print(&table(value.get(field).unwrap_or(&Value::Null), columns))
        }
    }

    /// A list, a line for each item.
    pub(super) fn list(&self, value: &Value, columns: &[&str]) -> Result<(), Error> {
        if self.json { self.value(value) } else { print(&table(value, columns)) }
    }

    fn value(&self, value: &Value) -> Result<(), Error> {
        print(&format!("{value}\n"))
    }
}

fn print(text: &str) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // Whoever read enough of it closes the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::Output),
    }
}

fn lines(value: &Value, prefix: &str) -> String {
    let Some(fields) = value.as_object() else { return format!("{}\n", cell(value)) };
    let line = |(name, value): (&String, &Value)| match value {
        Value::Object(inner) if !inner.is_empty() => lines(value, &format!("{prefix}{name}.")),
        _ => format!("{prefix}{name}: {}\n", cell(value)),
    };
    fields.iter().map(line).collect()
}

fn table(list: &Value, columns: &[&str]) -> String {
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|title| (*title).to_owned()).collect()];
    for item in list.as_array().into_iter().flatten() {
        rows.push(columns.iter().map(|column| cell(item.get(*column).unwrap_or(&Value::Null))).collect());
    }
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{lines, table};

    #[test]
    fn people_read_columns_and_lines() {
        let list = json!([{ "peer": "abc", "zone": "z1", "addresses": ["/a", "/b"] }, { "peer": "d" }]);
        assert_eq!(
            table(&list, &["peer", "zone", "addresses"]),
            "peer  zone  addresses\nabc   z1    /a /b\nd     -     -\n"
        );
        assert_eq!(
            lines(&json!({ "ready": true, "ring": { "members": 6 } }), ""),
            "ready: true\nring.members: 6\n"
        );
    }
}
