//! What the dashboards and alerts ask for, supernodes tell: a metric that is renamed shows as an empty picture to somebody at night.

use std::{collections::BTreeMap, fs, path::PathBuf};

use cosmic_loadtest::network::Network;
use serde_json::Value;

use super::{
    ground::Ground,
    look::{self, WATCHFUL},
};

const WATCHED: [&str; 4] = [
    "grafana/dashboards/overview.json",
    "grafana/dashboards/storage.json",
    "grafana/dashboards/network.json",
    "deploy/prometheus/alerts.yml",
];

/// Names of our metrics in a text.
fn names(text: &str) -> Vec<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !part(c)).filter(|word| word.starts_with("cosmic_")).map(str::to_owned).collect()
}

/// Whether samples of this name come from a metric of `types`.
fn is_told(name: &str, types: &BTreeMap<String, String>) -> bool {
    let of = |suffix: &str, kind: &str| {
        name.strip_suffix(suffix).and_then(|name| types.get(name)).is_some_and(|found| found == kind)
    };
    of("", "gauge")
        || of("_total", "counter")
        || ["_bucket", "_sum", "_count"].iter().any(|part| of(part, "histogram"))
}

/// The types of the metrics a supernode tells, by name.
async fn types(metrics: &str) -> BTreeMap<String, String> {
    let text = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alerts_ask_for_what_supernodes_tell() {
    let directory = Ground::new();
    look::settings(directory.path(), 1, WATCHFUL);
    let network = Network::start(directory.path(), 1, 1).await.unwrap();
    let metrics = format!("http://{}/metrics", network.supernodes[0].as_ref().unwrap().run().http);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for watched in WATCHED {
        let text = fs::read_to_string(root.join(watched)).unwrap();
        if watched.ends_with(".json") {
            let dashboard: Value = serde_json::from_str(&text).unwrap();
            assert!(dashboard["panels"].as_array().is_some_and(|panels| !panels.is_empty()), "{watched}");
        }
        let names = names(&text);
        assert!(!names.is_empty(), "{watched}");
        // Some are told only after the first walk over what is kept.
        look::wait(watched, async || {
            let types = types(&metrics).await;
            let missing: Vec<_> = names.iter().filter(|name| !is_told(name, &types)).collect();
            println!("{watched} asks for what nobody tells yet: {missing:?}");
            missing.is_empty().then_some(())
        })
        .await;
    }
    network.stop().await.unwrap();
}
