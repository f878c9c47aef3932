//! Browsers that come over TCP, because nothing else gets out of their network.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use cosmic_runtime::{
    clock::{Clock, Monotonic},
    shutdown::Shutdown,
    tasks::Group,
};
use cosmic_turn::frame::frame_bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::mpsc,
};

use super::server::Arrival;

/// Frames that wait for a browser; what comes meanwhile is dropped, as on every slow way.
const WAITING_MAX: usize = 256;
/// How long one frame may take on its way to a browser.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may stand without a port of its own.
const STRANGER_PATIENCE: Duration = Duration::from_secs(30);
/// Connections of one address: of several browsers behind one router.
const PER_ADDRESS_MAX: usize = 64;
/// How long nothing is accepted after it failed: mostly all descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All that stand.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<SocketAddr, Connection>,
}

#[derive(Debug)]
struct Connection {
    frames: mpsc::Sender<Vec<u8>>,
    since: Monotonic,
}

impl Connections {
    /// Takes a new one in, unless its address has as many as it may: it ends then.
    pub(super) fn join(&mut self, address: SocketAddr, frames: mpsc::Sender<Vec<u8>>, now: Monotonic) {
        let of = |ip: IpAddr| self.open.keys().filter(|other| other.ip() == ip).count();
        if of(address.ip()) < PER_ADDRESS_MAX {
            self.open.insert(address, Connection { frames, since: now });
        }
    }

    pub(super) fn part(&mut self, address: SocketAddr) {
        self.open.remove(&address);
    }

    /// Ends those that have no port for too long.
    pub(super) fn tidy(&mut self, now: Monotonic, has_port: impl Fn(SocketAddr) -> bool) {
        let stays = |address: &SocketAddr, connection: &mut Connection| {
            now.since(connection.since) < STRANGER_PATIENCE || has_port(*address)
        };
        self.open.retain(stays);
    }

    pub(super) fn send(&self, address: SocketAddr, frame: Vec<u8>) {
        if let Some(Connection { frames, .. }) = self.open.get(&address)
            && frames.try_send(frame).is_err()
        {
            tracing::debug!("a browser is slow or gone");
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

/// Accepts until the shutdown.
pub(super) async fn accept(
    listener: TcpListener,
    members: Group,
    arrivals: mpsc::Sender<Arrival>,
    clock: Clock,
    shutdown: Shutdown,
) {
    while let Some(accepted) = shutdown.unless(listener.accept()).await {
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection of a browser could not be accepted");
                clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (arrivals, clock) = (arrivals.clone(), clock.clone());
        let started = members.spawn(move |shutdown| async move {
            if let Some(Err(error)) = shutdown.unless(one(stream, address, &arrivals, &clock)).await {
                tracing::debug!(%error, "a connection of a browser ended");
            }
            drop(arrivals.send(Arrival::Parted(address)).await);
        });
        if started.is_err() {
            tracing::debug!("too many browsers are connected");
        }
    }
}

async fn one(
    stream: TcpStream,
    address: SocketAddr,
    arrivals: &mpsc::Sender<Arrival>,
    clock: &Clock,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reads, writes) = stream.into_split();
    let (frames, waiting) = mpsc::channel(WAITING_MAX);
    if arrivals.send(Arrival::Joined { address, frames }).await.is_err() {
        return Ok(());
    }
    tokio::select! {
        ended = read(reads, address, arrivals) => ended,
        ended = write(writes, waiting, clock) => ended,
    }
}

/// Hands on each frame, until one is none or the relay ends.
async fn read(
    mut reads: OwnedReadHalf,
    address: SocketAddr,
    arrivals: &mpsc::Sender<Arrival>,
) -> io::Result<()> {
    loop {
        let mut first = [0; 4];
        reads.read_exact(&mut first).await?;
        let Some(length) = frame_bytes(first) else { return Err(io::ErrorKind::InvalidData.into()) };
        let mut bytes = first.to_vec();
        let rest = u64::try_from(length.saturating_sub(first.len())).unwrap_or_default();
        let read = (&mut reads).take(rest).read_to_end(&mut bytes).await?;
        if u64::try_from(read).is_ok_and(|read| read < rest) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if arrivals.send(Arrival::Frame { address, bytes }).await.is_err() {
            return Ok(());
        }
    }
}

/// Writes what waits, until nobody keeps the connection any more.
async fn write(
    mut writes: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    clock: &Clock,
) -> io::Result<()> {
    while let Some(frame) = waiting.recv().await {
        let written = clock.timeout(WRITE_PATIENCE, writes.write_all(&frame)).await;
        written.ok_or(io::ErrorKind::TimedOut)??;
    }
    Ok(())
}
