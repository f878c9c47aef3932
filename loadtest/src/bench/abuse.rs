//! `abuse`: what a device feels while hostile clients do all they can to its only supernode.

use std::{fs, path::Path, sync::atomic::Ordering, time::Duration};

use serde_json::json;

use super::{Error, Lap, Report, now, percentile};
use crate::{
    api::App,
    hostile::{self, Target},
    network::Network,
    process::Process,
};

/// Addresses the attack comes from.
const ADDRESSES: u8 = 8;
/// Clients with keys at each of them; one more sends garbage.
const CLIENTS: u64 = 12;
/// Writes nobody counts.
const WARM_UP: usize = 20;
/// The attack goes on for so long before writes are counted.
const SETTLE: Duration = Duration::from_secs(2);
/// The time between two writes, as of somebody who types.
const PAUSE: Duration = Duration::from_millis(25);

pub(super) async fn run(directory: &Path, samples: usize) -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("samples", samples);
    report.parameter("addresses", ADDRESSES);
    report.parameter("clients", u64::from(ADDRESSES) * (CLIENTS + 1));
    let data = directory.join("supernode-0");
    fs::create_dir(&data)
        .and_then(|()| fs::write(data.join("supernode.toml"), hostile::STRICT))
        .map_err(|source| Error::Io("the settings of a supernode", source))?;
    let network = Network::start(directory, 1, 1).await?;
    let node = network.start_node("device", &[]).await?;
    let app = App::new(&node);
    let space = app.create_space("Bench").await?;
    let supernode = network.supernodes.first().and_then(Option::as_ref);
    let supernode = supernode.ok_or_else(|| Error::NoEvent("a supernode".to_owned()))?;
    let target = Target::of(supernode).ok_or_else(|| Error::NoEvent("its addresses".to_owned()))?;

    writes(&app, &space, WARM_UP).await?;
    let before = supernode.memory().now_bytes;
    let lap = Lap::begin(&network, &[]);
    let quiet = writes(&app, &space, samples).await?;
    let quiet_took = lap.end();
    let (done, attack) = hostile::attack(&target, ADDRESSES, CLIENTS);
    tokio::time::sleep(SETTLE).await;
    let lap = Lap::begin(&network, &[]);
    let attacked = writes(&app, &space, samples).await?;
    let attacked_took = lap.end();
    drop(attack);

    for (when, samples, took) in [("quiet", &quiet, quiet_took), ("attacked", &attacked, attacked_took)] {
        report.figure(&format!("{when}_p50_ms"), percentile(samples, 0.5));
        report.figure(&format!("{when}_p99_ms"), percentile(samples, 0.99));
        report.figure(&format!("{when}_cpu_percent"), took.cpu_seconds / took.seconds * 100.0);
        report.figure(&format!("{when}_client_cpu_percent"), took.client_cpu_seconds / took.seconds * 100.0);
    }
    report.figure("p99_ratio", percentile(&attacked, 0.99) / percentile(&quiet, 0.99).max(1e-9));
    report.bytes("supernode_rss_bytes_before", before);
    report.bytes("supernode_rss_bytes", supernode.memory().peak_bytes);
    for (name, count) in [
        ("attempts_garbage", &done.garbage),
        ("attempts_oversized", &done.oversized),
        ("attempts_forged", &done.forged),
        ("attempts_refused", &done.refused),
        ("keys", &done.keys),
    ] {
        report.bytes(name, count.load(Ordering::Relaxed));
    }
    for (name, count) in counters(supernode).await {
        report.figure(&name, count);
    }
    node.stop().await?;
    network.stop().await?;
    Ok(report)
}

/// Writes a document until its gateway signed for it, again and again; the milliseconds each took, sorted.
async fn writes(app: &App, space: &str, count: usize) -> Result<Vec<f64>, Error> {
    let mut took = Vec::with_capacity(count);
    for number in 0..count {
        let path = format!("spaces/{space}/collections/notes/documents/{number}?wait=accepted");
        let begun = now();
        app.put(&path, &json!({ "text": "a short note, written while others attack", "number": number }))
            .await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(PAUSE).await;
    }
    took.sort_unstable_by(f64::total_cmp);
    Ok(took)
}

/// What the guard counted.
async fn counters(supernode: &Process) -> Vec<(String, f64)> {
    let asked = reqwest::get(format!("http://{}/metrics", supernode.run().http)).await;
    let text = match asked {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(_gone) => String::new(),
    };
    let wanted = ["refused_total", "offences_total", "bans_total", "shed_total", "throttled_total"];
    let counted = |line: &str| {
        let (name, count) = line.strip_prefix("cosmic_net_")?.rsplit_once(' ')?;
        if !wanted.iter().any(|wanted| name.starts_with(wanted)) {
            return None;
        }
        let label = name.split('"').nth(1).map(|label| format!("_{}", label.to_lowercase()));
        let what = name.split("_total").next().unwrap_or(name);
        Some((format!("{what}{}", label.unwrap_or_default()), count.parse().ok()?))
    };
    text.lines().filter_map(counted).collect()
}
