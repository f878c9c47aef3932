//! `status --network`: the world, its regions and their zones.

use cosmic_cli::{Client, Output, cell, table};
use serde_json::{Value, json};

use super::Error;

/// What is shown of each place.
const COLUMNS: [&str; 15] = [
    "place",
    "members",
    "well",
    "troubled",
    "leaving",
    "untold",
    "away",
    "devices",
    "spaces",
    "kept_bytes",
    "free_bytes",
    "p50_ms",
    "p99_ms",
    "age_secs",
    "told_by",
];

pub(super) fn show(client: &Client, output: Output) -> Result<(), Error> {
    let status: Value = client.get("network")?;
    Ok(output.show(&status, tell)?)
}

/// A line for the world, for each region, and for each of its zones below it.
fn tell(status: &Value) -> String {
    let list = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
    let placed = |place: String, line: &Value| {
        let mut line = line.clone();
        if let Some(line) = line.as_object_mut() {
            line.insert("place".to_owned(), json!(place));
        }
        line
    };
    let mut lines = vec![placed("world".to_owned(), status.get("world").unwrap_or(&Value::Null))];
    for region in list("regions") {
        let name = cell(region.get("region"));
        let told_by = region.get("aggregators").and_then(Value::as_array).map_or(0, Vec::len);
        let mut line = placed(name, region);
        if let Some(line) = line.as_object_mut() {
            line.insert("told_by".to_owned(), json!(told_by));
        }
        lines.push(line);
        let zones = list("zones").filter(|zone| zone.get("region") == region.get("region"));
        lines.extend(zones.map(|zone| placed(format!("  {}", cell(zone.get("zone"))), zone)));
    }
    let mut told = table(&Value::Array(lines), &COLUMNS);
    for region in list("silent_regions") {
        told.push_str(&format!("\nof {} nobody was heard", cell(Some(region))));
    }
    told
}
