//! `files`: a file through a node to six supernodes in three zones, back on another device, and back with half of them dead.

use std::path::Path;

use serde_json::{Value, json};

use super::{Error, GB, Lap, Report, Took, garage, peak_bytes, wait_until};
use crate::{
    api::{self, App},
    demo::random_file,
    network::Network,
};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;
const KILLED: usize = 3;
const WARM_UP_MIB: u64 = 8;
const MIB: u64 = 1024 * 1024;
const FILE: &str = "bench.bin";
const WARM_UP_FILE: &str = "warm-up.bin";

pub(super) async fn run(directory: &Path, mib: u64) -> Result<Report, Error> {
    let mut report = Report::default();
    let bytes = mib * MIB;
    for (name, value) in [("file_bytes", bytes), ("supernodes", SUPERNODES as u64), ("zones", ZONES as u64)] {
        report.parameter(name, value);
    }
    random_file(&directory.join(WARM_UP_FILE), WARM_UP_MIB * MIB, 1)?;
    random_file(&directory.join(FILE), bytes, 2)?;
    let mut network = Network::start(directory, SUPERNODES, ZONES).await?;
    let a = network.start_node("device-a", &[]).await?;
    let app_a = App::new(&a);
    let space = app_a.create_space("Bench").await?;
    put(&app_a, &space, directory, WARM_UP_FILE).await?;

    let lap = Lap::begin(&network, &[&a]);
    put(&app_a, &space, directory, FILE).await?;
    rates(&mut report, "put", bytes, lap.end());
    let ticket = app_a.invite(&space, "editor").await?;
    let mut peak = peak_bytes(network.processes().chain([&a]));
    a.stop().await?;

    let b = network.start_node("device-b", &[]).await?;
    let app_b = App::new(&b);
    app_b.join(&ticket).await?;
    let path = format!("spaces/{space}/files");
    wait_until(&app_b, &path, "both files", |answer| {
        let text = answer.to_string();
        text.contains(FILE) && text.contains(WARM_UP_FILE)
    })
    .await?;
    get(&app_b, &space, WARM_UP_FILE, WARM_UP_MIB * MIB).await?;

    let lap = Lap::begin(&network, &[&b]);
    get(&app_b, &space, FILE, bytes).await?;
    rates(&mut report, "get", bytes, lap.end());
    app_b.post("cache/clear", &json!({})).await?;
    peak = peak.max(peak_bytes(network.processes().chain([&b])));
    for number in 0..KILLED {
        network.kill_supernode(number).await?;
    }
    let lap = Lap::begin(&network, &[&b]);
    match get(&app_b, &space, FILE, bytes).await {
        Ok(()) => rates(&mut report, "degraded_get", bytes, lap.end()),
        // The figures before it are worth telling all the same.
        Err(error) => report.parameter("degraded_get_failed", error.to_string()),
    }
    report.bytes("max_rss_bytes", peak.max(peak_bytes(network.processes().chain([&b]))));
    b.stop().await?;
    network.stop().await?;
    garage::run(&mut report, directory, &directory.join(FILE), bytes).await?;
    Ok(report)
}

pub(super) fn rates(report: &mut Report, name: &str, bytes: u64, took: Took) {
    #[expect(clippy::cast_precision_loss, reason = "a size")]
    let bytes = bytes as f64;
    report.figure(&format!("{name}_mb_per_s"), bytes / 1e6 / took.seconds);
    report.figure(&format!("{name}_cpu_s_per_gb"), took.cpu_seconds / (bytes / GB));
    report.figure(&format!("{name}_client_cpu_s_per_gb"), took.client_cpu_seconds / (bytes / GB));
}

/// Stores a file and waits until it survives any three supernodes.
async fn put(app: &App, space: &str, directory: &Path, name: &str) -> Result<(), Error> {
    store(app, space, directory, name, "level durable, survives 3", |answer| {
        answer.get("level").and_then(Value::as_str) == Some("durable")
            && answer.get("survives").and_then(Value::as_u64) >= Some(KILLED as u64)
    })
    .await
}

/// Stores a file and waits until it is as safe as it should be.
pub(super) async fn store(
    app: &App,
    space: &str,
    directory: &Path,
    name: &str,
    what: &'static str,
    enough: impl Fn(&Value) -> bool,
) -> Result<(), Error> {
    let file = tokio::fs::File::open(directory.join(name))
        .await
        .map_err(|source| Error::Io("the file to store", source))?;
    app.upload(space, name, file).await?;
    wait_until(app, &format!("spaces/{space}/files/{name}/durability"), what, enough).await
}

/// Reads a whole file; the node has checked every byte against its hash before it passes it on.
async fn get(app: &App, space: &str, name: &str, wanted: u64) -> Result<(), Error> {
    let mut answer = app.download(space, name).await?;
    let mut found = 0;
    let lost = |source| api::Error::Http { method: reqwest::Method::GET, path: name.to_owned(), source };
    while let Some(piece) = answer.chunk().await.map_err(lost)? {
        found += piece.len() as u64;
    }
    if found == wanted { Ok(()) } else { Err(Error::Length { wanted, found }) }
}
