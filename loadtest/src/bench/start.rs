//! `start`: from exec to ready, with nothing stored.

use std::path::Path;

use super::{Error, Report, now, percentile};
use crate::network::Network;

const ROUNDS: usize = 7;

pub(super) async fn run(directory: &Path) -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("rounds", ROUNDS);
    let mut network = Network::start(directory, 1, 1).await?;
    let (mut new, mut node, mut supernode) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for samples in [&mut new, &mut node] {
            let begun = now();
            let device = network.start_node(&format!("device-{round}"), &[]).await?;
            samples.push(begun.elapsed().as_secs_f64());
            device.stop().await?;
        }
        if let Some(process) = network.supernodes.first_mut().and_then(Option::take) {
            process.stop().await?;
        }
        let begun = now();
        network.start_supernode(0).await?;
        supernode.push(begun.elapsed().as_secs_f64());
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
    network.stop().await?;
    Ok(report)
}
