//! Hostile clients: garbage at the port, frames that are too long, forged session proofs, and connections that are only held.
//!
//! They come from addresses of loopback, 127.0.N.1, each of a subnet of its own: to a supernode whose limits for nearby addresses are
//! those of the internet, they are strangers from far away.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cosmic_common::{
    address::Address,
    id::PeerId,
    protocol::{NETWORK, SPACE},
    record::Record as _,
};
use cosmic_custody::message::space::SpaceFrame;
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_net::{Config, FRAME_MAX_BYTES, Handle, Metrics, Options, RefuseAll, Transport};
use cosmic_space::{
    genesis::{Genesis, Policy},
    session::SessionProof,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    task::JoinSet,
};

use crate::process::Process;

/// What a supernode has to say of loopback for it to stand for the internet.
pub const STRICT: &str = "[guard.nearby]\nconnections_per_address = 32\nconnections_per_subnet = 128\n\
     pending_per_address = 16\narrivals_per_minute = 120\nstrangers_us_per_sec = 50000\nban_score = 160\n";
/// How long a hostile client waits for anything.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often each of them does something: the attack is to cost the supernode its cores, and not this machine.
const PACE: Duration = Duration::from_millis(100);
/// What garbage is made of.
const GARBAGE_BYTES: usize = 512;
/// Failures after which a client takes another key: a key costs it more than a refusal costs the supernode.
const FAILURES_MAX: u32 = 10;

/// Whom to attack.
#[derive(Debug, Clone)]
pub struct Target {
    peer: PeerId,
    quic: Vec<Address>,
    tcp: SocketAddr,
}

/// What was done so far.
#[derive(Debug, Default)]
pub struct Done {
    /// Connections on which garbage was sent.
    pub garbage: AtomicU64,
    /// Those of them that could not be made, or ended before the garbage was read.
    pub garbage_cut: AtomicU64,
    /// Frames sent that are longer than allowed.
    pub oversized: AtomicU64,
    /// Forged proofs sent.
    pub forged: AtomicU64,
    /// Streams that were not to be had.
    pub refused: AtomicU64,
    /// Keys made.
    pub keys: AtomicU64,
}

impl Target {
    /// A supernode that runs; none if it does not say where it listens.
    #[must_use]
    pub fn of(process: &Process) -> Option<Self> {
        let run = process.run();
        let addresses: Vec<Address> = run.addresses.iter().filter_map(|text| text.parse().ok()).collect();
        let over = |wanted| addresses.iter().filter(move |address| Transport::of(address) == Some(wanted));
        let port =
            over(Transport::Tcp).find_map(|address| address.as_str().rsplit('/').next()?.parse().ok())?;
        Some(Self {
            peer: run.peer.parse().ok()?,
            quic: over(Transport::Quic).cloned().collect(),
            tcp: (Ipv4Addr::LOCALHOST, port).into(),
        })
    }
}

impl Target {
    /// Who it is.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Where it listens over QUIC.
    #[must_use]
    pub fn quic(&self) -> &[Address] {
        &self.quic
    }
}

/// The `number`th hostile address.
#[must_use]
pub const fn address(number: u8) -> Ipv4Addr {
    // Not the subnet of honest processes on loopback.
    Ipv4Addr::new(127, 0, number.saturating_add(1), 1)
}

/// Attacks with `clients` from each of so many addresses, until the result is dropped.
#[must_use]
pub fn attack(target: &Target, addresses: u8, clients: u64) -> (Arc<Done>, JoinSet<()>) {
    let (done, mut tasks) = (Arc::new(Done::default()), JoinSet::new());
    for number in 0..addresses {
        let from = address(number);
        tasks.spawn(send_garbage(target.tcp, from, Arc::clone(&done)));
        for client in 0..clients {
            let random = ChaCha20Rng::seed_from_u64(u64::from(number) << 32 | client);
            tasks.spawn(lie(target.clone(), from, random, Arc::clone(&done)));
        }
    }
    (done, tasks)
}

/// One connection after the other, with what is no handshake.
async fn send_garbage(to: SocketAddr, from: Ipv4Addr, done: Arc<Done>) {
    loop {
        let sent = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            let mut stream = socket.connect(to).await?;
            stream.write_all(&[0xa5; GARBAGE_BYTES]).await?;
            let mut answer = [0; 64];
            while stream.read(&mut answer).await? > 0 {}
            Ok::<(), std::io::Error>(())
        };
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        done.garbage.fetch_add(1, Ordering::Relaxed);
        if !matches!(sent, Ok(Ok(()))) {
            done.garbage_cut.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// One key after the other, each as long as it is listened to.
async fn lie(target: Target, from: Ipv4Addr, mut random: ChaCha20Rng, done: Arc<Done>) {
    loop {
        let key = SecretKey::from_seed(&random.random());
        done.keys.fetch_add(1, Ordering::Relaxed);
        let config = Config {
            listen: format!("/ip4/{from}/udp/0/quic-v1").parse().into_iter().collect(),
            bulk: false,
            ..Config::default()
        };
        let options = Options {
            key: &key,
            config,
            protocols: &[],
            validator: Arc::new(RefuseAll),
            metrics: Metrics::default(),
        };
        let Ok((net, actor)) = cosmic_net::bind(options).await else { return };
        let lying = async {
            let mut failures = 0;
            while failures < FAILURES_MAX {
                let outcome = if random.random() {
                    oversize(&net, &target, &done).await
                } else {
                    forge(&net, &target, &key, &done).await
                };
                failures = if outcome.is_some() { 0 } else { failures + 1 };
                tokio::time::sleep(PACE).await;
            }
        };
        tokio::select! {
            () = actor.run(std::future::pending()) => {}
            () = lying => {}
        }
    }
}

/// Asks for the network with a megabyte where 64 bytes are allowed.
async fn oversize(net: &Handle, target: &Target, done: &Done) -> Option<()> {
    net.add_addresses(target.peer, &target.quic).await.ok()?;
    let Ok(mut stream) = net.open(target.peer, NETWORK, PATIENCE).await else {
        done.refused.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    stream.set_patience(PATIENCE);
    stream.send(&vec![0; FRAME_MAX_BYTES]).await.ok()?;
    stream.flush().await.ok()?;
    done.oversized.fetch_add(1, Ordering::Relaxed);
    Some(())
}

/// Opens a space that is somebody else's, with a proof signed by the wrong key.
async fn forge(net: &Handle, target: &Target, key: &SecretKey, done: &Done) -> Option<()> {
    net.add_addresses(target.peer, &target.quic).await.ok()?;
    let Ok(mut stream) = net.open(target.peer, SPACE, PATIENCE).await else {
        done.refused.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    let challenge = tokio::time::timeout(PATIENCE, stream.recv(FRAME_MAX_BYTES)).await.ok()?.ok()??;
    let SpaceFrame::Challenge { nonce, .. } = SpaceFrame::from_bytes(&challenge).ok()? else { return None };
    let owner = SecretKey::from_seed(&nonce);
    let genesis = Genesis { root: owner.writer_id(), nonce: [7; 16], policy: Policy::default() };
    let space = genesis.space_id();
    let proof = SessionProof {
        space,
        delegation: None,
        key: owner.writer_id(),
        client: key.peer_id(),
        server: target.peer,
        nonce,
        protocol: SPACE.as_str().to_owned(),
        genesis: Some(genesis),
    };
    let proof = Signed::sign(proof, key).to_bytes();
    let open = SpaceFrame::Open { space, proof, credentials: Vec::new(), answer: None };
    stream.send(&open.to_bytes()).await.ok()?;
    done.forged.fetch_add(1, Ordering::Relaxed);
    tokio::time::timeout(PATIENCE, stream.recv(FRAME_MAX_BYTES)).await.ok()?.ok()??;
    Some(())
}
