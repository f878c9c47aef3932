//! `relay`: thousands of devices that are reachable through one supernode and do nothing; what one hostile address gets of it,
//! and what a thousand hostile clients change.

use std::{fs, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use cosmic_common::id::OperatorId;
use cosmic_identity::key::SecretKey;
use cosmic_net::{Config, Handle, Metrics, Options, RefuseAll, RelayPeer};
use futures::{StreamExt as _, stream};
use tokio::task::JoinSet;

use super::{Error, Report, percentile};
use crate::{
    hostile::{self, Target},
    network::Network,
    process::Process,
};

/// Devices that connect at once.
const AT_ONCE: usize = 64;
/// How long one may take until it has a reservation.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(100);
/// Clients of the one address that takes what it can: twice its part.
const GREEDY: usize = 200;
/// How long each of them tries.
const GREED: Duration = Duration::from_secs(10);
/// How long CPU is counted.
const WATCHED: Duration = Duration::from_secs(20);
/// Addresses of the attack.
const HOSTILE_ADDRESSES: u8 = 8;
/// Room for everybody; the guard takes loopback for a company's network as it is.
const SETTINGS: &str = "connections_in_max = 20000\n";

/// A device that runs in this process.
struct Device {
    net: Handle,
    /// Milliseconds until it had a reservation; none if it got none.
    waited: Option<f64>,
}

pub(super) async fn run(directory: &Path, devices: usize, hostile: u64) -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("devices", devices);
    report.parameter("hostile_clients", hostile);
    let data = directory.join("supernode-0");
    fs::create_dir(&data)
        .and_then(|()| fs::write(data.join("supernode.toml"), SETTINGS))
        .map_err(|source| Error::Io("the settings of a supernode", source))?;
    let network = Network::start(directory, 1, 1).await?;
    let supernode = network.supernodes.first().and_then(Option::as_ref);
    let supernode = supernode.ok_or_else(|| Error::NoEvent("a supernode".to_owned()))?;
    let target = Target::of(supernode).ok_or_else(|| Error::NoEvent("its addresses".to_owned()))?;

    let (before, cpu) = (supernode.memory().now_bytes, supernode.cpu_seconds());
    let mut tasks = JoinSet::new();
    let idle = reserve(&target, (0..devices).map(|n| (n, far(n))), PATIENCE, &mut tasks).await;
    let joined = supernode.cpu_seconds() - cpu;
    let mut waited: Vec<f64> = idle.iter().filter_map(|device| device.waited).collect();
    waited.sort_unstable_by(f64::total_cmp);
    let reserved = waited.len();
    report.bytes("reservations", reserved as u64);
    report.figure("reservation_p50_ms", percentile(&waited, 0.5));
    report.figure("reservation_p99_ms", percentile(&waited, 0.99));
    let after = supernode.memory().now_bytes;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    {
        report.figure("join_cpu_ms_each", joined * 1e3 / reserved.max(1) as f64);
        report.figure("kib_each", after.saturating_sub(before) as f64 / 1024.0 / reserved.max(1) as f64);
    }
    report.figure("idle_cpu_percent", watched(supernode).await);

    let greedy = (0..GREEDY).map(|n| (devices + n, hostile::address(100)));
    let greedy = reserve(&target, greedy, GREED, &mut tasks).await;
    report.bytes(
        "one_address_reservations",
        greedy.iter().filter(|device| device.waited.is_some()).count() as u64,
    );

    let (_done, attack) = hostile::attack(&target, HOSTILE_ADDRESSES, hostile / u64::from(HOSTILE_ADDRESSES));
    report.figure("attacked_cpu_percent", watched(supernode).await);
    drop(attack);
    let mut standing = 0;
    for device in &idle {
        let situation = device.net.situation().await;
        standing += u64::from(situation.is_ok_and(|situation| !situation.reservations.is_empty()));
    }
    report.bytes("reservations_after_attack", standing);
    report.bytes("supernode_rss_bytes_before", before);
    report.bytes("supernode_rss_bytes", supernode.memory().peak_bytes);
    tasks.shutdown().await;
    network.stop().await?;
    Ok(report)
}

/// CPU of the supernode in percent of a core.
async fn watched(supernode: &Process) -> f64 {
    let before = supernode.cpu_seconds();
    tokio::time::sleep(WATCHED).await;
    (supernode.cpu_seconds() - before) / WATCHED.as_secs_f64() * 100.0
}

/// The address of the `n`th device: a subnet of its own for each hundred.
fn far(n: usize) -> Ipv4Addr {
    let [.., high, low] = (n / 100).to_be_bytes();
    Ipv4Addr::new(
        127,
        high.saturating_add(1),
        low,
        u8::try_from(n % 100).unwrap_or_default().saturating_add(1),
    )
}

/// Starts devices at these addresses and waits until each has a reservation, or has waited for long enough.
async fn reserve(
    target: &Target,
    devices: impl Iterator<Item = (usize, Ipv4Addr)>,
    patience: Duration,
    tasks: &mut JoinSet<()>,
) -> Vec<Device> {
    let mut started = Vec::new();
    let bound = stream::iter(devices.map(|(number, from)| device(number, from))).buffered(AT_ONCE);
    for (net, actor) in bound.filter_map(|bound| async { bound.ok() }).collect::<Vec<_>>().await {
        tasks.spawn(actor.run(std::future::pending()));
        started.push(net);
    }
    let reserving = started.into_iter().map(|net| async move {
        let begun = super::now();
        let reserved = tokio::time::timeout(patience, reserved(&net, target)).await;
        let waited = reserved.is_ok_and(|reserved| reserved.is_ok());
        Device { net, waited: waited.then(|| begun.elapsed().as_secs_f64() * 1e3) }
    });
    stream::iter(reserving).buffer_unordered(AT_ONCE).collect().await
}

async fn device(number: usize, from: Ipv4Addr) -> Result<(Handle, cosmic_net::Actor), cosmic_net::Error> {
    let mut seed = [0; 32];
    for (byte, of_number) in seed.iter_mut().zip(number.to_be_bytes()) {
        *byte = of_number;
    }
    let config = Config {
        listen: format!("/ip4/{from}/udp/0/quic-v1").parse().into_iter().collect(),
        bulk: false,
        ..Config::default()
    };
    let (key, validator) = (SecretKey::from_seed(&seed), Arc::new(RefuseAll));
    let options = Options { key: &key, config, protocols: &[], validator, metrics: Metrics::default() };
    cosmic_net::bind(options).await
}

/// Waits until the supernode has granted a reservation.
async fn reserved(net: &Handle, target: &Target) -> Result<(), cosmic_net::Error> {
    net.add_addresses(target.peer(), target.quic()).await?;
    net.set_relays(vec![RelayPeer { peer: target.peer(), operator: OperatorId::from_bytes([0; 32]) }])
        .await?;
    while net.situation().await?.reservations.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
