//! A wire that lies: bits flipped, bytes cut off, repeated and held back between a device and its supernode.

use std::{
    fs, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cosmic_loadtest::{api::App, network::Network};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

use super::{
    ground::Ground,
    notes::{self, PATIENCE},
};

/// What is done to the bytes of a device once, at a certain place of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Flip,
    Cut,
    Repeat,
    Hold,
}

/// Where the bytes of one connection after the other are tampered with: in the handshake of the transport, in the
/// introductions, in a session. Connections after these are left alone.
const PLACES: [usize; 6] = [10, 100, 400, 900, 2000, 4000];
/// How long bytes are held back: longer than anybody waits for the other transport.
const HELD: Duration = Duration::from_millis(400);
/// Documents that each device writes.
const DOCUMENTS: usize = 30;

/// A listener whose connections lead to `target`, once that is known.
struct Wire {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    lie: watch::Sender<Lie>,
    /// Connections since the lie was chosen.
    connections: Arc<AtomicUsize>,
    /// Lies told, and connections that ended after one.
    told: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Wire {
    async fn lay() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            target: watch::Sender::new(None),
            lie: watch::Sender::new(Lie::Flip),
            connections: Arc::default(),
            told: Arc::default(),
            ended: Arc::default(),
        });
        let serving = Arc::clone(&wire);
        spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let wire = Arc::clone(&serving);
                spawn(async move { wire.carry(near).await.unwrap_or(()) });
            }
        });
        wire
    }

    fn begin(&self, lie: Lie) {
        self.lie.send_replace(lie);
        for counter in [&self.connections, &self.told, &self.ended] {
            counter.store(0, Ordering::SeqCst);
        }
    }

    /// Waits until every connection that was tampered with has ended.
    async fn wait_for_ends(&self) {
        let waiting = async {
            while self.ended.load(Ordering::SeqCst) < self.told.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    async fn carry(&self, near: TcpStream) -> io::Result<()> {
        let Some(target) = *self.target.borrow() else { return Ok(()) };
        let far = TcpStream::connect(target).await?;
        let place = PLACES.get(self.connections.fetch_add(1, Ordering::SeqCst)).copied();
        let lie = *self.lie.borrow();
        let (from_near, to_near) = near.into_split();
        let (from_far, to_far) = far.into_split();
        let mut lie = place.map(|place| (place, lie));
        let lies = lie.is_some();
        // When one side ends, so does the other.
        let ended = tokio::select! {
            up = self.tamper(from_near, to_far, &mut lie) => up,
            down = copy(from_far, to_near) => down,
        };
        if lies && lie.is_none() {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
        ended
    }

    async fn tamper(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        lie: &mut Option<(usize, Lie)>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        let mut passed = 0;
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let piece = &mut buffer[..count];
            match lie.take_if(|(place, _)| *place < passed + count) {
                None => to.write_all(piece).await?,
                Some((place, lie)) => {
                    self.told.fetch_add(1, Ordering::SeqCst);
                    let place = place - passed;
                    match lie {
                        Lie::Flip => piece[place] ^= 0x10,
                        Lie::Cut => return to.write_all(&piece[..place]).await,
                        Lie::Repeat => to.write_all(piece).await?,
                        Lie::Hold => tokio::time::sleep(HELD).await,
                    }
                    to.write_all(piece).await?;
                }
            }
            passed += count;
        }
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await.map(drop)
}

#[expect(clippy::disallowed_methods, reason = "a test has no supervisor; the wire ends with the runtime")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wire_does_to_bytes_stores_nothing_wrong_and_sync_goes_on() {
    let directory = Ground::new();
    let mut network = Network::start(directory.path(), 1, 1).await.unwrap();
    network.supernodes[0].take().unwrap().stop().await.unwrap();
    let wire = Wire::lay().await;
    let settings = format!("advertise = [\"/ip4/127.0.0.1/tcp/{}\"]\n", wire.address.port());
    fs::write(network.supernode_directory(0).join("supernode.toml"), settings).unwrap();
    network.start_supernode(0).await.unwrap();
    wire.target.send_replace(Some(tcp_address(&network)));

    let mut written = Vec::new();
    for lie in [Lie::Flip, Lie::Cut, Lie::Repeat, Lie::Hold] {
        wire.begin(lie);
        // A device that has never met the supernode knows it under the address of the wire alone.
        let node = network.start_node(&format!("{lie:?}"), &[]).await.unwrap();
        let app = App::new(&node);
        let space = app.create_space("Wire").await.unwrap();
        let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("{lie:?}-{number}")).collect();
        for id in &ids {
            notes::write(&app, &space, id).await.unwrap();
        }
        let replicated = |answer: &Value| {
            answer.get("documents").and_then(|counts| counts.get("replicated")) == Some(&json!(DOCUMENTS))
        };
        let path = format!("spaces/{space}/durability");
        app.wait_until(&path, "all documents replicated", PATIENCE, replicated).await.unwrap();
        let told = wire.told.load(Ordering::SeqCst);
        println!("{lie:?}: {told} times");
        assert!(told > 0, "{lie:?}");
        // Bytes that were only late are as good as any; no connection survives the other lies.
        if lie != Lie::Hold {
            wire.wait_for_ends().await;
        }
        written.push((app.invite(&space, "viewer").await.unwrap(), space, ids));
        node.stop().await.unwrap();
    }
    let reader = network.start_node("reader", &[]).await.unwrap();
    let app = App::new(&reader);
    for (ticket, space, ids) in &written {
        app.join(ticket).await.unwrap();
        notes::wait_for(&app, space, ids).await;
    }
    reader.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// Where the supernode listens over TCP.
fn tcp_address(network: &Network) -> SocketAddr {
    let run = network.supernodes[0].as_ref().unwrap().run();
    let port = run.addresses.iter().find_map(|address| {
        let (_, port) = address.split_once("/tcp/")?;
        port.split('/').next()?.parse().ok()
    });
    SocketAddr::from(([127, 0, 0, 1], port.unwrap()))
}
