//! What a command prints: a table or a sentence for people, JSON for programs.

use serde_json::Value;

/// Where results go.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// `value` as JSON, or the sentence made of it.
    #[expect(clippy::print_stdout, reason = "a command line prints results on standard output")]
    pub(crate) fn show(&self, value: &Value, sentence: impl FnOnce(&Value) -> String) {
        if self.json {
            println!("{value}");
        } else {
            println!("{}", sentence(value));
        }
    }

    /// A list below `field` of `value`, one line each with the given columns.
    #[expect(clippy::print_stdout, reason = "a command line prints results on standard output")]
    pub(crate) fn table(&self, value: &Value, field: &str, columns: &[(&str, &str)]) {
        if self.json {
            println!("{value}");
            return;
        }
        let rows: Vec<Vec<String>> = value
            .get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|row| columns.iter().map(|(_title, key)| cell(row.get(*key))).collect())
            .collect();
        let titles: Vec<String> = columns.iter().map(|(title, _key)| (*title).to_owned()).collect();
        let widths: Vec<usize> = (0..columns.len())
            .map(|column| {
                let cells = rows.iter().chain([&titles]).filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
            })
            .collect();
        for row in [&titles].into_iter().chain(&rows) {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            println!("{}", line.join("  ").trim_end());
        }
    }
}

/// A value in a table or a sentence, without quotes.
pub(crate) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
