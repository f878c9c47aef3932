//! `cold`: from exec of a device that has never run to a document of the first space it was invited to.
//!
//! It knows the id of the network and one bootstrap node; the device that invited it is gone, so that supernodes give it all.

use std::path::Path;

use serde_json::json;

use super::{Error, PATIENCE, Report, now, percentile};
use crate::{api::App, network::Network};

const SUPERNODES: usize = 3;
const DOCUMENT: &str = "first";
/// Fewer do not tell how long the slowest takes.
const ROUNDS_MIN: usize = 10;
const ROUNDS_MAX: usize = 40;

pub(super) async fn run(directory: &Path, samples: usize) -> Result<Report, Error> {
    let rounds = samples.clamp(ROUNDS_MIN, ROUNDS_MAX);
    let mut report = Report::default();
    report.parameter("rounds", rounds);
    report.parameter("supernodes", SUPERNODES);
    let network = Network::start(directory, SUPERNODES, SUPERNODES).await?;
    let host = network.start_node("host", &[]).await?;
    let app = App::new(&host);
    let space = app.create_space("Cold").await?;
    let path = format!("spaces/{space}/collections/notes/documents/{DOCUMENT}");
    app.put(&format!("{path}?wait=replicated"), &json!({ "text": "somebody wrote this before" })).await?;
    let ticket = app.invite(&space, "editor").await?;
    host.stop().await?;
    let (mut ready, mut synced) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let begun = now();
        let device = network.start_node(&format!("device-{round}"), &[]).await?;
        ready.push(begun.elapsed().as_secs_f64());
        let app = App::new(&device);
        app.join(&ticket).await?;
        app.wait_until(&path, "the first document", PATIENCE, |_answer| true).await?;
        synced.push(begun.elapsed().as_secs_f64());
        device.stop().await?;
    }
    for (name, samples) in [("ready", &mut ready), ("synced", &mut synced)] {
        samples.sort_unstable_by(f64::total_cmp);
        report.figure(&format!("{name}_p50_s"), percentile(samples, 0.5));
        report.figure(&format!("{name}_p95_s"), percentile(samples, 0.95));
    }
    network.stop().await?;
    Ok(report)
}
