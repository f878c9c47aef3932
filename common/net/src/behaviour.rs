//! What the swarm does beside carrying streams: limits, liveness, introductions, the directory.

use std::{sync::Arc, time::Duration};

use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, connection_limits, dcutr, identify,
    identity::Keypair,
    kad, mdns, noise, ping, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    upnp,
};

use crate::{
    config::Config,
    directory::{
        KEY_MAX_BYTES, VALUE_MAX_BYTES, Validator,
        store::{KEPT_FOR, Store},
    },
    error::Error,
    guard::gate::Gate,
    incoming::Inlets,
    metrics::Metrics,
    streams, transports,
};

/// The private directory; public libp2p networks speak `/ipfs/kad/1.0.0` and are never joined.
pub(crate) const DIRECTORY: StreamProtocol = StreamProtocol::new("/cosmic/kad/1");
/// What identify calls the family of protocols.
const FAMILY: &str = "/cosmic/1";
/// A directory message: a record and the addresses of the twenty nearest peers.
const DIRECTORY_MESSAGE_MAX_BYTES: usize = KEY_MAX_BYTES + VALUE_MAX_BYTES + 48 * 1024;
/// Queries of the directory end after this time, whatever their callers wait for.
const DIRECTORY_QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection is pinged so often, and a ping may take so long; the second that fails ends it. Over TCP nothing else tells that
/// the other process stands still, and whatever was asked of it waits for half a minute at most.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// Streams of one connection whose protocol is being negotiated.
const NEGOTIATING_MAX: usize = 64;

/// All behaviours; their order is the order in which they may refuse a connection.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gate: Gate,
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) streams: streams::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) directory: kad::Behaviour<Store>,
    /// Reservations at relays, and circuits through them.
    pub(crate) circuits: relay::client::Behaviour,
    /// Circuits of others.
    pub(crate) relay: Toggle<relay::Behaviour>,
    pub(crate) punching: Toggle<dcutr::Behaviour>,
    pub(crate) neighbours: Toggle<mdns::tokio::Behaviour>,
    pub(crate) router: Toggle<upnp::tokio::Behaviour>,
}

/// The swarm over all transports, and circuits through relays.
pub(crate) fn swarm(
    keypair: Keypair,
    config: &Config,
    guards: (Inlets, Arc<dyn Validator>),
    metrics: Metrics,
) -> Result<Swarm<Behaviour>, Error> {
    let unusable = |transport: &'static str, source| Error::Transport { transport, source };
    let transport = transports::transport(&keypair, config)?;
    let built = SwarmBuilder::with_existing_identity(keypair).with_tokio();
    let Ok(built) = built.with_other_transport(|_key| transport);
    let built = built
        .with_relay_client(noise::Config::new, transports::muxer)
        .map_err(|cause| unusable("relay", Error::shared(cause)))?
        .with_behaviour(|key, circuits| behaviour(key, config, guards, metrics, circuits));
    let Ok(built) = built;
    let built = built.with_swarm_config(|swarm| {
        swarm
            .with_idle_connection_timeout(config.idle_timeout())
            .with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
    });
    Ok(built.build())
}

fn behaviour(
    key: &Keypair,
    config: &Config,
    (inlets, validator): (Inlets, Arc<dyn Validator>),
    metrics: Metrics,
    circuits: relay::client::Behaviour,
) -> Behaviour {
    let local = key.public().to_peer_id();
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(config.pending_in_max))
        .with_max_pending_outgoing(Some(config.pending_out_max))
        .with_max_established_incoming(Some(config.connections_in_max))
        .with_max_established_outgoing(Some(config.connections_out_max))
        .with_max_established_per_peer(Some(config.connections_per_peer_max));
    let introduction = identify::Config::new(FAMILY.to_owned(), key.public())
        .with_agent_version(concat!("cosmicsync/", env!("CARGO_PKG_VERSION")).to_owned())
        // A device tells nobody the addresses of its home network.
        .with_hide_listen_addrs(!config.directory_server)
        .with_push_listen_addr_updates(config.directory_server)
        .with_cache_size(0);
    Behaviour {
        gate: Gate::new(inlets.clone(), config.connections_in_max, config.pending_in_max),
        limits: connection_limits::Behaviour::new(limits),
        streams: streams::Behaviour::new(inlets, metrics),
        identify: identify::Behaviour::new(introduction),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_PATIENCE)),
        directory: directory(local, config, validator),
        circuits,
        relay: config.relay.enabled.then(|| config.relay.behaviour(local)).into(),
        punching: config.circuits.then(|| dcutr::Behaviour::new(local)).into(),
        neighbours: neighbours(config, local).into(),
        router: config.upnp.then(upnp::tokio::Behaviour::default).into(),
    }
}

/// Without a local network there are no neighbours, which is no reason not to start.
fn neighbours(config: &Config, local: libp2p::PeerId) -> Option<mdns::tokio::Behaviour> {
    let begun = config.mdns.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), local))?;
    begun.inspect_err(|error| tracing::warn!(%error, "peers of the local network are not looked for")).ok()
}

/// The directory: Kademlia keeps the table, to which servers are added by whoever knows how they answered. Records that come by
/// its own protocol are dropped.
pub(crate) fn directory(
    local: libp2p::PeerId,
    config: &Config,
    validator: Arc<dyn Validator>,
) -> kad::Behaviour<Store> {
    let store = Store::new(local, validator, config.directory_records_max);
    let mut settings = kad::Config::new(DIRECTORY);
    settings
        .set_query_timeout(DIRECTORY_QUERY_TIMEOUT)
        .set_max_packet_size(DIRECTORY_MESSAGE_MAX_BYTES)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_ttl(Some(KEPT_FOR))
        // Records travel by the protocol of our own; who is listed says so again by itself, with a new time.
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_caching(kad::Caching::Disabled);
    if !config.directory_server {
        // Who only asks looks for servers when there is something to ask.
        settings.set_periodic_bootstrap_interval(None);
    }
    let mut directory = kad::Behaviour::with_config(local, store, settings);
    let mode = if config.directory_server { kad::Mode::Server } else { kad::Mode::Client };
    directory.set_mode(Some(mode));
    directory
}
