//! The ports that browsers were given: each a socket, read by a task of its own until it is closed.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use cosmic_runtime::{shutdown::Shutdown, tasks::Group};
use tokio::{net::UdpSocket, sync::mpsc};

use super::server::Arrival;

/// The longest datagram that is relayed. Those of browsers have 1,500 bytes at most; a longer one is dropped, since the rest of
/// it is lost.
const DATAGRAM_MAX_BYTES: usize = 4096;

/// All that are open.
#[derive(Debug)]
pub(super) struct Ports {
    /// The address they are opened at.
    ip: IpAddr,
    open: BTreeMap<u16, Port>,
    readers: Group,
    arrivals: mpsc::Sender<Arrival>,
}

#[derive(Debug)]
struct Port {
    socket: Arc<UdpSocket>,
    closed: Shutdown,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.closed.trigger();
    }
}

impl Ports {
    pub(super) const fn new(ip: IpAddr, readers: Group, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self { ip, open: BTreeMap::new(), readers, arrivals }
    }

    /// Opens `port`.
    pub(super) async fn open(&mut self, port: u16) -> io::Result<()> {
        let socket = Arc::new(UdpSocket::bind((self.ip, port)).await?);
        let (closed, reads, arrivals) = (Shutdown::new(), Arc::clone(&socket), self.arrivals.clone());
        let ended = closed.child();
        let started = self.readers.spawn(move |shutdown| async move {
            shutdown.unless(ended.unless(read(port, reads, arrivals))).await;
        });
        started.map_err(io::Error::other)?;
        self.open.insert(port, Port { socket, closed });
        Ok(())
    }

    /// Closes it.
    pub(super) fn close(&mut self, port: u16) {
        self.open.remove(&port);
    }

    /// Sends from it.
    pub(super) async fn send(&self, port: u16, peer: SocketAddr, bytes: &[u8]) {
        let Some(Port { socket, .. }) = self.open.get(&port) else { return };
        if let Err(error) = socket.send_to(bytes, peer).await {
            tracing::debug!(%error, "a datagram of a browser could not be sent");
        }
    }
}

/// Hands on what comes, and drops it while too much is waiting, as networks do.
async fn read(port: u16, socket: Arc<UdpSocket>, arrivals: mpsc::Sender<Arrival>) {
    // A byte more, which tells that a datagram was longer.
    let mut buffer = vec![0; DATAGRAM_MAX_BYTES + 1];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "a port of a browser cannot be read");
                return;
            }
        };
        let Some(bytes) = buffer.get(..length).filter(|bytes| bytes.len() <= DATAGRAM_MAX_BYTES) else {
            continue;
        };
        let arrival = Arrival::Datagram { port, peer, bytes: bytes.to_vec() };
        if let Err(mpsc::error::TrySendError::Closed(_)) = arrivals.try_send(arrival) {
            return;
        }
    }
}
