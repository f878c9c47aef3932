//! `idle`: memory and CPU of each kind of process with nothing to do.

use std::{path::Path, time::Duration};

use super::{Error, Report};
use crate::{network::Network, process::Process};

const SUPERNODES: usize = 3;
/// How long the processes may calm down after their start.
const SETTLE: Duration = Duration::from_secs(5);
/// How long CPU is counted.
const WATCHED: Duration = Duration::from_secs(10);

pub(super) async fn run(directory: &Path) -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("supernodes", SUPERNODES);
    report.parameter("watched_s", WATCHED.as_secs());
    let network = Network::start(directory, SUPERNODES, SUPERNODES).await?;
    let node = network.start_node("device", &[]).await?;
    tokio::time::sleep(SETTLE).await;
    let processes: Vec<(&str, &Process)> = network
        .bootstrap
        .iter()
        .map(|process| ("bootstrap", process))
        .chain(network.supernodes.iter().flatten().take(1).map(|process| ("supernode", process)))
        .chain([("node", &node)])
        .collect();
    let before: Vec<f64> = processes.iter().map(|(_, process)| process.cpu_seconds()).collect();
    tokio::time::sleep(WATCHED).await;
    let mut highest: f64 = 0.0;
    for ((role, process), before) in processes.iter().zip(before) {
        let percent = (process.cpu_seconds() - before) / WATCHED.as_secs_f64() * 100.0;
        highest = highest.max(percent);
        report.bytes(&format!("{role}_rss_bytes"), process.memory().now_bytes);
        report.figure(&format!("{role}_cpu_percent"), percent);
    }
    report.figure("cpu_percent", highest);
    node.stop().await?;
    network.stop().await?;
    Ok(report)
}
