//! `joins`: a rush of newcomers at one bootstrap node, each with a key, a handshake and a question of its own.

use std::{path::Path, sync::Arc, time::Duration};

use cosmic_common::{
    address::Address,
    id::{NetworkId, PeerId},
    protocol::NETWORK,
    record::Record as _,
};
use cosmic_identity::key::SecretKey;
use cosmic_net::{Config, Handle, Metrics, Options, RefuseAll};
use cosmic_ring::{NetworkAnswer, NetworkRequest};
use serde_json::Value;
use tokio::{sync::Barrier, task::JoinSet};

use super::{Error, Lap, PATIENCE, Report, now, percentile};
use crate::{network::Network, process::Process};

const SUPERNODES: usize = 3;
/// How long one attempt may take before a newcomer tries again.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long a newcomer that was refused waits, as the driver of the ring does.
const PAUSE: Duration = Duration::from_millis(500);

/// The door everybody runs to.
struct Door {
    network: NetworkId,
    peer: PeerId,
    addresses: Vec<Address>,
}

pub(super) async fn run(directory: &Path, newcomers: usize) -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("newcomers", newcomers);
    report.parameter("supernodes", SUPERNODES);
    let network = Network::start(directory, SUPERNODES, SUPERNODES).await?;
    let bootstrap =
        network.bootstrap.as_ref().ok_or_else(|| Error::NoEvent("a bootstrap node".to_owned()))?;
    let door = Arc::new(door(&network, bootstrap)?);
    // One by one first: what a join takes when nobody else comes.
    let alone = rush(&door, 1, 0).await?;
    let before = bootstrap.memory().now_bytes;
    let lap = Lap::over([bootstrap.run().pid]);
    let (mut took, retries) = rush(&door, newcomers, 1).await?;
    let lap = lap.end();
    took.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a count of newcomers")]
    let count = took.len().max(1) as f64;
    let last = percentile(&took, 1.0).max(1e-9);
    report.figure("alone_ms", alone.0.first().copied().unwrap_or_default());
    report.figure("joins_per_s", count / last * 1e3);
    report.figure("p50_ms", percentile(&took, 0.5));
    report.figure("p99_ms", percentile(&took, 0.99));
    report.figure("cpu_ms_per_join", lap.cpu_seconds / count * 1e3);
    report.figure("client_cpu_ms_per_join", lap.client_cpu_seconds / count * 1e3);
    report.bytes("retries", retries);
    report.bytes("bootstrap_rss_bytes_before", before);
    report.bytes("bootstrap_rss_bytes", bootstrap.memory().peak_bytes);
    network.stop().await?;
    Ok(report)
}

fn door(network: &Network, bootstrap: &Process) -> Result<Door, Error> {
    let run = bootstrap.run();
    let missing = || Error::NoEvent("the network, and where its bootstrap node is".to_owned());
    let text = std::fs::read_to_string(network.network_file());
    let shown: Value = text.ok().and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(missing)?;
    let network = shown.get("network").and_then(Value::as_str).and_then(|text| text.parse().ok());
    Ok(Door {
        network: network.ok_or_else(missing)?,
        peer: run.peer.parse().map_err(|_error| missing())?,
        addresses: run.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
    })
}

/// So many newcomers begin in the same moment; the milliseconds until each knew the network, and attempts that failed.
async fn rush(door: &Arc<Door>, newcomers: usize, wave: u8) -> Result<(Vec<f64>, u64), Error> {
    let (start, mut tasks) = (Arc::new(Barrier::new(newcomers)), JoinSet::new());
    for number in 0..newcomers {
        let (door, start) = (Arc::clone(door), Arc::clone(&start));
        tasks.spawn(async move { newcomer(&door, &start, (wave, number)).await });
    }
    let (mut took, mut retries) = (Vec::with_capacity(newcomers), 0);
    let all = async {
        while let Some(joined) = tasks.join_next().await {
            if let Ok(Some((milliseconds, failed))) = joined {
                took.push(milliseconds);
                retries += failed;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, all).await.is_ok();
    if in_time && took.len() == newcomers {
        return Ok((took, retries));
    }
    Err(Error::NoEvent(format!("all of {newcomers} newcomers in the network; {} are", took.len())))
}

/// Makes a process of the network of its own, and asks until it knows the network.
async fn newcomer(door: &Door, start: &Barrier, (wave, number): (u8, usize)) -> Option<(f64, u64)> {
    let mut seed = [wave; 32];
    seed.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, part)| *byte = part);
    let key = SecretKey::from_seed(&seed);
    let config = Config { bulk: false, circuits: false, ..Config::default() };
    let (validator, metrics) = (Arc::new(RefuseAll), Metrics::default());
    let options = Options { key: &key, config, protocols: &[], validator, metrics };
    let Ok((net, actor)) = cosmic_net::bind(options).await else {
        start.wait().await;
        return None;
    };
    let joining = async {
        start.wait().await;
        let begun = now();
        let mut failed = 0;
        while tokio::time::timeout(ATTEMPT, join(&net, door)).await.ok().flatten().is_none() {
            failed += 1;
            tokio::time::sleep(PAUSE).await;
        }
        (begun.elapsed().as_secs_f64() * 1e3, failed)
    };
    tokio::select! {
        () = actor.run(std::future::pending()) => None,
        joined = joining => Some(joined),
    }
}

/// The question a process asks that knows the id of its network and a door; everything in the answer is verified.
async fn join(net: &Handle, door: &Door) -> Option<()> {
    net.connect(door.peer, &door.addresses, ATTEMPT).await.ok()?;
    let mut stream = net.open(door.peer, NETWORK, ATTEMPT).await.ok()?;
    stream.send(&NetworkRequest { network: door.network, region: None }.to_bytes()).await.ok()?;
    let answer = stream.recv(NetworkAnswer::LIMIT).await.ok()??;
    let told = NetworkAnswer::from_bytes(&answer).ok()?.open(door.network).ok()?;
    (told.active().count() >= SUPERNODES).then_some(())
}
