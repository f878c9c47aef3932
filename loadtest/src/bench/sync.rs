//! `sync`: documents written offline on one device, replicated when it comes online, caught up by a device that joins.

use std::path::Path;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::{Error, Lap, Report, wait_until};
use crate::{api::App, network::Network};

const SUPERNODES: usize = 3;
const BATCH: usize = 500;
const SEED: u64 = 7;
/// Everything the device sends on its streams: to its gateway, as it knows no other device.
const SENT_BYTES: &str = "cosmic_net_stream_bytes_total{direction=\"Sent\"";
const FIRST: [&str; 8] = ["Ada", "Bela", "Chen", "Dagny", "Emre", "Fatou", "Goran", "Hana"];
const TAGS: [&str; 6] = ["kitchen", "garden", "urgent", "someday", "errand", "reading"];
const WORDS: [&str; 12] = [
    "buy", "call", "about", "bread", "the", "window", "before", "evening", "paint", "letter", "train",
    "station",
];

pub(super) async fn run(directory: &Path, documents: usize) -> Result<Report, Error> {
    let mut report = Report::default();
    let corpus = corpus(documents);
    let json_bytes: usize =
        corpus.iter().filter_map(|item| item.get("value")).map(|value| value.to_string().len()).sum();
    report.parameter("documents", documents);
    report.parameter("mean_json_bytes", json_bytes / documents.max(1));
    report.parameter("supernodes", SUPERNODES);
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let count = documents as f64;

    let network = Network::start(directory, SUPERNODES, SUPERNODES).await?;
    let a = network.start_node("device-a", &["--offline"]).await?;
    let b = network.start_node("device-b", &[]).await?;
    let (app_a, app_b) = (App::new(&a), App::new(&b));
    let space = app_a.create_space("Bench").await?;
    let lap = Lap::begin(&network, &[&a]);
    for batch in corpus.chunks(BATCH) {
        app_a.post(&format!("spaces/{space}/collections/tasks/documents:batch"), &json!(batch)).await?;
    }
    let wrote = lap.end();
    report.figure("offline_write_documents_per_s", count / wrote.seconds);
    report.figure("offline_write_cpu_ms_per_document", wrote.cpu_seconds * 1e3 / count);

    let sent_bytes = app_a.metric(SENT_BYTES).await?;
    let lap = Lap::begin(&network, &[&a]);
    app_a.put("network", &json!({"online": true})).await?;
    wait_until(&app_a, &format!("spaces/{space}/durability"), "documents.replicated", |answer| {
        let replicated = answer.get("documents").and_then(|counts| counts.get("replicated"));
        replicated.and_then(Value::as_u64) == Some(documents as u64)
    })
    .await?;
    let up = lap.end();
    report.figure("replicated_documents_per_s", count / up.seconds);
    report.figure("replicated_cpu_ms_per_document", up.cpu_seconds * 1e3 / count);
    #[expect(clippy::cast_precision_loss, reason = "a size")]
    let sent_bytes = (app_a.metric(SENT_BYTES).await? - sent_bytes) as f64;
    report.figure("wire_bytes_per_document", sent_bytes / count);

    let ticket = app_a.invite(&space, "editor").await?;
    a.stop().await?;
    let lap = Lap::begin(&network, &[&b]);
    app_b.join(&ticket).await?;
    wait_until(&app_b, &format!("spaces/{space}"), "documents", |answer| {
        answer.get("documents").and_then(Value::as_u64) == Some(documents as u64)
    })
    .await?;
    let down = lap.end();
    report.figure("documents_per_s", count / down.seconds);
    report.figure("catch_up_cpu_ms_per_document", down.cpu_seconds * 1e3 / count);
    report.figure("cpu_ms_per_document", (up.cpu_seconds + down.cpu_seconds) * 1e3 / count);
    b.stop().await?;
    network.stop().await?;
    Ok(report)
}

/// A to-do list as an app would keep it: about 200 bytes of JSON each, always the same ones.
fn corpus(documents: usize) -> Vec<Value> {
    let mut random = ChaCha20Rng::seed_from_u64(SEED);
    let mut pick = |words: &[&'static str]| {
        let index = random.random_range(0..words.len());
        words.get(index).copied().unwrap_or_default()
    };
    (0..documents)
        .map(|number| {
            let title: Vec<&str> = (0..5).map(|_| pick(&WORDS)).collect();
            let note: Vec<&str> = (0..8).map(|_| pick(&WORDS)).collect();
            json!({"id": format!("task-{number:06}"), "value": {
                "title": title.join(" "), "note": note.join(" "), "assignee": pick(&FIRST), "tags": [pick(&TAGS)],
                "done": number % 3 == 0, "priority": number % 5, "created_ms": 1_760_000_000_000_u64 + number as u64 * 61_017,
            }})
        })
        .collect()
}
