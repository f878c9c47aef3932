//! `repair`: one of seven supernodes gone for good; how fast what it kept is made again, and what writers feel of it.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use super::{Error, GB, Lap, PATIENCE, Report, files, now, percentile};
use crate::{
    api::{self, App},
    demo::random_file,
    network::Network,
};

/// One more than an object has shards.
const SUPERNODES: usize = 7;
const LOST: usize = 0;
const MIB: u64 = 1024 * 1024;
const FILE: &str = "bench.bin";
/// Writes before the loss that those during the repair are held against.
const QUIET_SAMPLES: usize = 100;
/// How often is looked whether everything is made again.
const LOOK: Duration = Duration::from_millis(50);
/// Hours become seconds, so that the loss is soon believed.
const SOON: &str =
    "[care]\naway_after_secs = 3\noffline_after_secs = 4\nwide_after_secs = 4\nping_every_secs = 1\n";
/// Repairs may take all they can.
const LIFTED: &str =
    "share_permille = 1000\npanic_share_permille = 1000\nuplink_bytes_per_sec = 10000000000\n";

pub(super) async fn run(directory: &Path, mib: u64) -> Result<Report, Error> {
    let mut report = Report::default();
    let bytes = mib * MIB;
    report.parameter("file_bytes", bytes);
    report.parameter("supernodes", SUPERNODES as u64);
    random_file(&directory.join(FILE), bytes, 2)?;
    for (name, settings) in [("lifted", format!("{SOON}{LIFTED}")), ("default_budget", SOON.to_owned())] {
        let place = directory.join(name);
        fs::create_dir(&place).map_err(|source| Error::Io("the network's directory", source))?;
        lose_one(&mut report, name, directory, &place, &settings).await?;
    }
    Ok(report)
}

async fn lose_one(
    report: &mut Report,
    name: &str,
    directory: &Path,
    place: &Path,
    settings: &str,
) -> Result<(), Error> {
    for number in 0..SUPERNODES {
        let data = place.join(format!("supernode-{number}"));
        let written = fs::create_dir(&data).and_then(|()| fs::write(data.join("supernode.toml"), settings));
        written.map_err(|source| Error::Io("the settings of a supernode", source))?;
    }
    let mut network = Network::start(place, SUPERNODES, SUPERNODES).await?;
    let node = network.start_node("device", &[]).await?;
    let app = App::new(&node);
    let space = app.create_space("Bench").await?;
    files::store(&app, &space, directory, FILE, "level durable, survives 3", |answer| {
        answer.get("survives").and_then(Value::as_u64) >= Some(3)
    })
    .await?;
    let mut quiet = Vec::new();
    for sample in 0..QUIET_SAMPLES {
        quiet.push(write(&app, &space, sample).await?);
    }
    let lost = match network.supernodes.get(LOST).and_then(Option::as_ref) {
        Some(supernode) => number(&App::new(supernode).get("usage").await?, "/total/shard_bytes"),
        None => 0,
    };
    network.kill_supernode(LOST).await?;
    let (mut begun, mut busy) = (None, Vec::new());
    let deadline = now() + PATIENCE;
    loop {
        busy.push(write(&app, &space, busy.len()).await?);
        let (queued, rebuilt) = repairs(&network).await?;
        if begun.is_none() && (queued > 0 || rebuilt > 0) {
            begun = Some(Lap::begin(&network, &[&node]));
            busy.clear();
        }
        if begun.is_some() && queued == 0 && rebuilt >= lost {
            break;
        }
        if now() > deadline {
            let body = format!("{rebuilt} of {lost} bytes were made again");
            return Err(api::Error::Field {
                path: "care/repair".to_owned(),
                field: "everything rebuilt",
                body,
            }
            .into());
        }
        tokio::time::sleep(LOOK).await;
    }
    if let Some(lap) = begun {
        #[expect(clippy::cast_precision_loss, reason = "sizes")]
        let (bytes, read) = (lost as f64, sum(&network, "/bytes_read").await? as f64);
        let took = lap.end();
        report.figure(&format!("{name}_rebuilt_mb_per_s"), bytes / 1e6 / took.seconds);
        report.figure(&format!("{name}_cpu_s_per_gb"), took.cpu_seconds / (bytes / GB));
        report.figure(&format!("{name}_bytes_read_per_lost"), read / bytes);
        quiet.sort_unstable_by(f64::total_cmp);
        busy.sort_unstable_by(f64::total_cmp);
        for (when, samples) in [("quiet", &quiet), ("repairing", &busy)] {
            report.figure(&format!("{name}_{when}_write_p50_ms"), percentile(samples, 0.5) * 1e3);
            report.figure(&format!("{name}_{when}_write_p99_ms"), percentile(samples, 0.99) * 1e3);
        }
        report.bytes(&format!("{name}_lost_bytes"), lost);
    }
    node.stop().await?;
    network.stop().await?;
    Ok(())
}

/// Writes a document until two replicas signed for it; the seconds it took.
async fn write(app: &App, space: &str, sample: usize) -> Result<f64, Error> {
    let path = format!("spaces/{space}/collections/notes/documents/{sample}?wait=replicated");
    let begun = now();
    app.put(&path, &json!({ "text": "as long as a short note would be, written while others work" })).await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Objects in danger, and bytes made again so far.
async fn repairs(network: &Network) -> Result<(u64, u64), Error> {
    Ok((sum(network, "/queued").await?, sum(network, "/bytes_rebuilt").await?))
}

async fn sum(network: &Network, field: &str) -> Result<u64, Error> {
    let mut sum = 0;
    for supernode in network.supernodes.iter().flatten() {
        sum += number(&App::new(supernode).get("care/repair").await?, field);
    }
    Ok(sum)
}

fn number(answer: &Value, pointer: &str) -> u64 {
    answer.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}
