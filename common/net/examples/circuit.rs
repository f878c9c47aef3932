//! Bulk bytes through a relay on loopback: rate and CPU seconds per GB of both ends and the relay together, with our relay
//! and with libp2p's own and nothing around it.
//!
//! `cargo run -p cosmic-net --example circuit -- 1024` moves 1,024 MiB over each.

use std::time::Duration;

use cosmic_common::{
    address::Address,
    id::{OperatorId, PeerId},
    protocol::OBJECT,
};
use cosmic_identity::key::SecretKey;
use cosmic_net::{Config, Error, Handle, Relay, RelayPeer};
use futures::StreamExt as _;
use libp2p::{
    SwarmBuilder, identify, identity, noise, ping, relay,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};

#[path = "carry/pieces.rs"]
mod carry;

use carry::{PIECE_BYTES, clock, cpu_seconds, run_pieces, start};

const SOON: Duration = Duration::from_secs(60);

/// Nothing but what a relay has to be.
#[derive(NetworkBehaviour)]
struct Bare {
    relay: relay::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mebibytes: usize = std::env::args().nth(1).map_or(Ok(256), |text| text.parse())?;
    let pieces = (mebibytes * 1024 * 1024).div_ceil(PIECE_BYTES);
    let transports = [("QUIC", "/ip4/127.0.0.1/udp/0/quic-v1"), ("TCP", "/ip4/127.0.0.1/tcp/0")];
    let mut seed = 0;
    for (legs, listen) in transports {
        let mut per_gb = [0.0; 2];
        for (relay, cpu) in ["ours", "bare"].into_iter().zip(&mut per_gb) {
            seed += 3;
            let (middle, at, _kept) = if relay == "ours" {
                let granting = Relay { enabled: true, circuit_bytes_max: u64::MAX, ..Relay::default() };
                let config = Config {
                    listen: vec![listen.parse()?],
                    relay: granting,
                    circuits: false,
                    ..Config::default()
                };
                let handle = start(seed, config).await?;
                (handle.local_peer(), handle.listening(), Some(handle))
            } else {
                let (peer, at) = bare(seed, listen).await?;
                (peer, vec![at], None)
            };
            let (near, far) =
                (start(seed + 1, Config::default()).await?, start(seed + 2, Config::default()).await?);
            let took = through(middle, &at, (&near, &far), pieces).await?;
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let gigabytes = (pieces * PIECE_BYTES) as f64 / 1e9;
            *cpu = took.cpu / gigabytes;
            println!(
                r#"{{"legs": "{legs}", "relay": "{relay}", "mb_per_s": {:.0}, "cpu_s_per_gb": {cpu:.2}}}"#,
                gigabytes * 1e3 / took.seconds,
            );
        }
        let [ours, bare] = per_gb;
        println!(r#"{{"legs": "{legs}", "ratio": {:.2}}}"#, ours / bare);
    }
    Ok(())
}

struct Took {
    cpu: f64,
    seconds: f64,
}

/// Sends `pieces` from one peer to the other through the relay at `at`.
async fn through(
    relay: PeerId,
    at: &[Address],
    (near, far): (&Handle, &Handle),
    pieces: usize,
) -> Result<Took, Box<dyn std::error::Error>> {
    far.add_addresses(relay, at).await?;
    far.set_relays(vec![RelayPeer { peer: relay, operator: OperatorId::from_bytes([0; 32]) }]).await?;
    let mut listening = far.watch_listening();
    let reachable = listening.wait_for(|addresses| !addresses.is_empty());
    let addresses = tokio::time::timeout(SOON, reachable).await??.clone();
    near.connect(far.local_peer(), &addresses, SOON).await?;
    let mut incoming = far.accept(OBJECT)?;
    let mut took = Took { cpu: 0.0, seconds: 0.0 };
    for pieces in [16, pieces] {
        let sending = near.open(far.local_peer(), OBJECT, SOON).await?;
        let receiving = incoming.next().await.ok_or(Error::Stopped)?;
        let (cpu, began) = (cpu_seconds()?, clock());
        run_pieces(sending, receiving, pieces).await?;
        took = Took { cpu: cpu_seconds()? - cpu, seconds: began.elapsed().as_secs_f64() };
    }
    let is_relayed =
        near.situation().await?.paths.iter().any(|path| path.peer == far.local_peer() && path.relayed);
    if is_relayed { Ok(took) } else { Err("the peers found a way around the relay".into()) }
}

/// Runs libp2p's relay with nothing around it.
async fn bare(seed: u8, listen: &str) -> Result<(PeerId, Address), Box<dyn std::error::Error>> {
    let key = SecretKey::from_seed(&[seed; 32]);
    let pair = identity::Keypair::ed25519_from_bytes([seed; 32])?;
    let config = relay::Config {
        max_circuit_bytes: u64::MAX,
        max_circuit_duration: Duration::from_secs(3600),
        ..relay::Config::default()
    };
    let mut swarm = SwarmBuilder::with_existing_identity(pair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_quic()
        .with_behaviour(|pair| Bare {
            relay: relay::Behaviour::new(pair.public().to_peer_id(), config),
            identify: identify::Behaviour::new(identify::Config::new("/cosmic/1".to_owned(), pair.public())),
            ping: ping::Behaviour::default(),
        })?
        .build();
    swarm.behaviour_mut().relay.set_status(Some(relay::Status::Enable));
    swarm.listen_on(listen.parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    swarm.add_external_address(address.clone());
    run_bare(swarm);
    Ok((key.peer_id(), address.to_string().parse()?))
}

#[expect(clippy::disallowed_methods, reason = "a measuring program has no supervisor; tasks end with it")]
fn run_bare(mut swarm: libp2p::Swarm<Bare>) {
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
}
