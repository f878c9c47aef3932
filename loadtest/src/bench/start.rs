//! `start`: from exec to ready, with nothing stored, for a supernode with a file stored, and with as many shards as asked for.

use std::path::Path;

use serde_json::Value;

use super::{Error, Report, files, now, percentile};
use crate::{
    api::App,
    demo::random_file,
    network::Network,
    process::{self, Process},
};

const ROUNDS: usize = 7;
const FILE: &str = "start.bin";
/// The example of cosmic-supernode that fills a store.
const FILL: &str = "examples/shards";

pub(super) async fn run(directory: &Path, mib: u64, shards: u64) -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("rounds", ROUNDS);
    report.parameter("filled_bytes", mib << 20);
    let mut network = Network::start(directory, 1, 1).await?;
    let (mut new, mut node, mut supernode) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for samples in [&mut new, &mut node] {
            let begun = now();
            let device = network.start_node(&format!("device-{round}"), &[]).await?;
            samples.push(begun.elapsed().as_secs_f64());
            device.stop().await?;
        }
        supernode.push(restart(&mut network).await?);
    }
    let mut slowest: f64 = 0.0;
    for (name, samples) in [("new_node_s", &mut new), ("node_s", &mut node), ("supernode_s", &mut supernode)]
    {
        samples.sort_by(f64::total_cmp);
        let median = percentile(samples, 0.5);
        slowest = slowest.max(median);
        report.figure(name, median);
    }
    report.figure("empty_s", slowest);

    random_file(&directory.join(FILE), mib << 20, 3)?;
    let device = network.start_node("device", &[]).await?;
    let app = App::new(&device);
    let space = app.create_space("Bench").await?;
    let is_there = |answer: &Value| answer.get("level").and_then(Value::as_str) != Some("local");
    files::store(&app, &space, directory, FILE, "a level beyond local", is_there).await?;
    device.stop().await?;
    let mut filled = Vec::new();
    for _ in 0..ROUNDS {
        filled.push(restart(&mut network).await?);
    }
    filled.sort_by(f64::total_cmp);
    report.figure("filled_s", percentile(&filled, 0.5));
    if shards > 0 {
        report.parameter("shards", shards);
        many(&mut report, &mut network, shards).await?;
    }
    network.stop().await?;
    Ok(report)
}

/// Adds `shards` of the smallest size to what the supernode keeps, and starts it.
async fn many(report: &mut Report, network: &mut Network, shards: u64) -> Result<(), Error> {
    if let Some(process) = network.supernodes.first_mut().and_then(Option::take) {
        process.stop().await?;
    }
    let store = network.supernode_directory(0);
    process::command(FILL, &[&store.to_string_lossy(), &shards.to_string()], None).await?;
    network.start_supernode(0).await?;
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        samples.push(restart(network).await?);
    }
    samples.sort_by(f64::total_cmp);
    report.figure("shards_s", percentile(&samples, 0.5));
    let memory = network.supernodes.iter().flatten().map(Process::memory).next();
    report.bytes("shards_rss_bytes", memory.map_or(0, |memory| memory.now_bytes));
    Ok(())
}

/// Stops the supernode in order and starts it again; seconds until it is ready.
async fn restart(network: &mut Network) -> Result<f64, Error> {
    if let Some(process) = network.supernodes.first_mut().and_then(Option::take) {
        process.stop().await?;
    }
    let begun = now();
    network.start_supernode(0).await?;
    Ok(begun.elapsed().as_secs_f64())
}
