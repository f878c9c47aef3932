//! The directory file: what the directory knew, so that a process that comes back to nobody still has somebody to ask.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use cosmic_common::record::Record as _;
use cosmic_net::{Handle as Net, Snapshot};
use cosmic_ring::{
    Door,
    remembered::{Kept, Remembered},
};
use cosmic_runtime::{clock::Clock, data_dir::replace, shutdown::Shutdown};
use tracing::{debug, warn};

/// The time after the start at which the file is written first: by then whoever was met is in it.
const FIRST: Duration = Duration::from_secs(5);
/// With fewer servers the directory is asked for more before they are written down: those of the ring are known anyhow.
const SERVERS_FEW: usize = 20;
/// How long that may take.
const WALK_PATIENCE: Duration = Duration::from_secs(40);
/// The time between two writes. What is lost with the last five minutes is found again, or was there before.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// Gives the directory what `path` keeps, and keeps it there until the shutdown. A file that cannot be read is as good as none.
pub(crate) async fn run(net: Net, path: PathBuf, clock: Clock, shutdown: Shutdown) {
    let kept = read(&path);
    if net.remember(to_snapshot(&kept, clock.now().unix_ms())).await.is_err() {
        return;
    }
    let mut written = kept;
    let mut pause = FIRST;
    while shutdown.unless(clock.sleep(pause)).await.is_some() {
        pause = EVERY;
        let Ok(mut snapshot) = net.directory().await else { return };
        if snapshot.servers.len() < SERVERS_FEW
            && matches!(shutdown.unless(net.bootstrap(WALK_PATIENCE)).await, Some(Ok(())))
        {
            let Ok(after) = net.directory().await else { return };
            snapshot = after;
        }
        let now = from_snapshot(snapshot, clock.now().unix_ms());
        // A network that is away for a while is no reason to forget everybody.
        if now.servers.is_empty() || now == written {
            continue;
        }
        written = now.clone();
        let path = path.clone();
        match tokio::task::spawn_blocking(move || write(&path, &now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "what the directory knows cannot be kept over a restart"),
            Err(_panicked) => return,
        }
    }
}

pub(crate) fn read(path: &Path) -> Remembered {
    let found = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Remembered::default(),
        Err(error) => Err(error.to_string()),
        Ok(bytes) => Remembered::from_bytes(&bytes).map_err(|error| error.to_string()),
    };
    found.unwrap_or_else(|error| {
        warn!(error, path = %path.display(), "begins without what the directory knew");
        Remembered::default()
    })
}

pub(crate) fn write(path: &Path, remembered: &Remembered) -> io::Result<()> {
    let bytes = remembered.to_bytes();
    debug!(servers = remembered.servers.len(), records = remembered.records.len(), "kept the directory");
    replace(path, |file| file.write_all(&bytes))
}

pub(crate) fn to_snapshot(remembered: &Remembered, now_ms: u64) -> Snapshot {
    let records = remembered.records.iter().map(|kept| cosmic_net::Kept {
        key: kept.key.to_vec(),
        value: kept.value.to_vec(),
        left: Duration::from_millis(kept.until_ms.saturating_sub(now_ms)),
    });
    let servers = remembered.servers.iter().map(|server| (server.peer, server.addresses.clone()));
    Snapshot { records: records.collect(), servers: servers.collect() }
}

pub(crate) fn from_snapshot(snapshot: Snapshot, now_ms: u64) -> Remembered {
    let records = snapshot.records.into_iter().map(|kept| {
        let left = u64::try_from(kept.left.as_millis()).unwrap_or(u64::MAX);
        Kept { key: kept.key.into(), value: kept.value.into(), until_ms: now_ms.saturating_add(left) }
    });
    let servers = snapshot.servers.into_iter().map(|(peer, addresses)| Door { peer, addresses });
    Remembered { records: records.collect(), servers: servers.collect() }
}
