//! The benchmarks: real processes on loopback, one JSON object each, CPU seconds beside every rate.

use std::{fs, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    api::{self, App},
    demo,
    network::Network,
    process::{self, Process},
};

mod abuse;
mod cold;
mod erasure;
mod files;
mod garage;
mod idle;
mod joins;
mod latency;
mod relay;
mod repair;
mod start;
mod sync;

/// Bytes of a GB, as disks and networks count.
const GB: f64 = 1e9;
/// How long anything may take before a benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often progress is looked at: rarely, because each look costs the node a count.
const POLL: Duration = Duration::from_millis(50);

/// Which benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// A device that writes while hostile clients attack its supernode
    Abuse,
    /// The coder alone, in this process
    Erasure,
    /// A file through a node to six supernodes and back
    Files,
    /// Documents written offline, caught up by a second device
    Sync,
    /// From a write on one device to the event on another
    Latency,
    /// Memory and CPU with nothing to do
    Idle,
    /// From exec to ready
    Start,
    /// From the first exec of a device to a document of the space it was invited to
    Cold,
    /// A rush of newcomers at one bootstrap node
    Joins,
    /// A supernode gone for good: its shards made again, and writers meanwhile
    Repair,
    /// Devices that are reachable through one supernode and do nothing, and hostile clients beside them
    Relay,
}

/// What a benchmark is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Size of the file of `files` and `repair`, and of what is stored for `start`.
    pub mib: u64,
    /// Smallest shards that a supernode of `start` keeps in the last round; none skips it.
    pub shards: u64,
    /// Documents of `sync`.
    pub documents: usize,
    /// Samples of `latency` and `abuse`, newcomers of `joins`, rounds of `cold`.
    pub samples: usize,
    /// Devices of `relay`.
    pub devices: usize,
    /// Hostile clients of `relay`.
    pub hostile: u64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process or command.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A request.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The file to store could not be made.
    #[error(transparent)]
    File(#[from] demo::Error),
    /// The coder refused.
    #[error(transparent)]
    Erasure(#[from] cosmic_erasure::Error),
    /// A file or directory of the benchmark itself.
    #[error("cannot use {0}")]
    Io(&'static str, #[source] std::io::Error),
    /// A file came back shorter or longer.
    #[error("{found} bytes came back instead of {wanted}")]
    Length {
        /// What was stored.
        wanted: u64,
        /// What came.
        found: u64,
    },
    /// Garage, which is measured beside us, did not do its part.
    #[error("garage: {0}")]
    Garage(String),
    /// The events ended.
    #[error("the stream of events ended before the change to {0} was seen")]
    NoEvent(String),
}

/// What was measured, and with what.
#[derive(Debug, Default)]
struct Report {
    parameters: Map<String, Value>,
    figures: Map<String, Value>,
}

impl Report {
    fn parameter(&mut self, name: &str, value: impl Into<Value>) {
        self.parameters.insert(name.to_owned(), value.into());
    }

    /// A figure to four decimals; its unit stands in its name.
    fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), json!((value * 1e4).round() / 1e4));
    }

    fn bytes(&mut self, name: &str, value: u64) {
        self.figures.insert(name.to_owned(), json!(value));
    }
}

/// Runs a benchmark and returns `{"name", "commit", "machine", "parameters", "figures"}`.
///
/// # Errors
/// [`Error`] if something did not work at all; a bad figure is no error.
pub async fn run(name: Name, options: &Options) -> Result<Value, Error> {
    let directory = tempfile::Builder::new()
        .prefix("cosmic-bench-")
        .tempdir()
        .map_err(|source| Error::Io("a temporary directory", source))?;
    let place = directory.path();
    let (word, report) = match name {
        Name::Abuse => ("abuse", abuse::run(place, options.samples).await?),
        Name::Erasure => ("erasure", erasure::run()?),
        Name::Files => ("files", files::run(place, options.mib).await?),
        Name::Sync => ("sync", sync::run(place, options.documents).await?),
        Name::Latency => ("latency", latency::run(place, options.samples).await?),
        Name::Idle => ("idle", idle::run(place).await?),
        Name::Start => ("start", start::run(place, options.mib, options.shards).await?),
        Name::Cold => ("cold", cold::run(place, options.samples).await?),
        Name::Joins => ("joins", joins::run(place, options.samples).await?),
        Name::Repair => ("repair", repair::run(place, options.mib).await?),
        Name::Relay => ("relay", relay::run(place, options.devices, options.hostile).await?),
    };
    Ok(json!({
        "name": word, "commit": commit().await,
        "machine": {"cores": std::thread::available_parallelism().map_or(0, usize::from), "memory_bytes": memory_bytes()},
        "parameters": report.parameters, "figures": report.figures,
    }))
}

/// The commit the node was built from, as it says itself.
async fn commit() -> Option<String> {
    let version = process::command("cosmic-node", &["--version"], None).await.ok()?;
    let (_name, rest) = version.split_once('(')?;
    rest.split_once(')').map(|(commit, _rest)| commit.to_owned())
}

fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// A stretch of work: its time on the wall and the CPU of all processes that take part, this one apart.
#[derive(Debug)]
struct Lap {
    pids: Vec<u32>,
    begun: std::time::Instant,
    cpu: f64,
    own_cpu: f64,
}

/// What a [`Lap`] took.
#[derive(Debug, Clone, Copy)]
struct Took {
    seconds: f64,
    cpu_seconds: f64,
    /// CPU of the benchmark itself, which plays the app.
    client_cpu_seconds: f64,
}

impl Lap {
    fn begin(network: &Network, nodes: &[&Process]) -> Self {
        Self::over(network.processes().chain(nodes.iter().copied()).map(|process| process.run().pid))
    }

    fn over(pids: impl IntoIterator<Item = u32>) -> Self {
        let pids: Vec<u32> = pids.into_iter().collect();
        Self { begun: now(), cpu: cpu(&pids), own_cpu: process::cpu_seconds(std::process::id()), pids }
    }

    /// Ends it; the same processes must still run.
    fn end(&self) -> Took {
        Took {
            seconds: self.begun.elapsed().as_secs_f64(),
            cpu_seconds: cpu(&self.pids) - self.cpu,
            client_cpu_seconds: process::cpu_seconds(std::process::id()) - self.own_cpu,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn cpu(pids: &[u32]) -> f64 {
    pids.iter().copied().map(process::cpu_seconds).sum()
}

/// The highest resident memory any of these processes had so far.
fn peak_bytes<'a>(processes: impl Iterator<Item = &'a Process>) -> u64 {
    processes.map(|process| process.memory().peak_bytes).max().unwrap_or_default()
}

/// As [`App::wait_until`], looking less often.
async fn wait_until(
    app: &App,
    path: &str,
    what: &'static str,
    enough: impl Fn(&Value) -> bool,
) -> Result<(), Error> {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if app.get(path).await.is_ok_and(|answer| enough(&answer)) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    });
    if waited.await.is_ok() {
        return Ok(());
    }
    let body = app.get(path).await?.to_string();
    Err(api::Error::Field { path: path.to_owned(), field: what, body }.into())
}

/// The value that `share` (0 to 1) of the sorted `samples` do not exceed.
fn percentile(samples: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (samples.len() as f64 * share).ceil() as usize;
    samples.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
