//! Starting a node: everything in order, and in the reverse order when it ends.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cosmic_common::{
    id::Incarnation,
    protocol::{OBJECT, SPACE},
};
use cosmic_custody::standing::Standing;
use cosmic_identity::key::SecretKey;
use cosmic_membership::{Listings, NetworkFile, RingView};
use cosmic_net::{Actor, Handle, Options, RelayPeer};
use cosmic_runtime::{
    admin::{self, Admin},
    clock::Clock,
    data_dir::{DataDir, Owner},
    health::Health,
    http::{Listener, Token},
    metrics::Registry,
    random,
    run_file::{Run, RunFile},
    shutdown::Shutdown,
    tasks::Tasks,
};
use tokio::sync::{broadcast, watch};
use zeroize::Zeroizing;

use crate::{
    api,
    config::{Config, PROGRAM},
    core::{Context, Core},
    database::{self, Database},
    device::Device,
    event::BACKLOG,
    files::cache::Cache,
    metrics::Metrics,
    network::{
        gateways::{Gateway, Gateways},
        meeting::{self, Meetings},
        review, serve, sessions, sharing, upload,
    },
    node::{Node, Rooms, Sessions},
    safety::Safety,
    uplinks::Uplinks,
};

/// The data format of this build.
pub const OWNER: Owner = Owner { program: PROGRAM, format: 1 };
/// Sessions this node serves to other devices at once.
const SERVED_MAX: usize = 64;
/// Sessions this node keeps.
const KEPT_MAX: usize = 512;
/// How long everything may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process around it.
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    /// The network.
    #[error(transparent)]
    Net(#[from] cosmic_net::Error),
    /// Joining the network.
    #[error(transparent)]
    Membership(#[from] cosmic_membership::Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The node's own rooms.
    #[error(transparent)]
    Node(#[from] crate::error::Error),
    /// The device key cannot be used.
    #[error("{0} is not a device key of 32 bytes; restore it from a backup")]
    Key(PathBuf),
}

/// The name of the key file in the data directory.
const KEY_FILE: &str = "device.key";

/// The device's key, made when it is not there.
///
/// # Errors
/// [`Error`] if it cannot be read, written or used.
pub fn device_key(directory: &DataDir) -> Result<SecretKey, Error> {
    if let Some(bytes) = directory.read(KEY_FILE)?.map(Zeroizing::new) {
        let seed = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new);
        return seed
            .map(|seed| SecretKey::from_seed(&seed))
            .map_err(|_error| Error::Key(directory.path().join(KEY_FILE)));
    }
    let seed = Zeroizing::new(random::seed());
    directory.write(KEY_FILE, &*seed)?;
    Ok(SecretKey::from_seed(&seed))
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// [`Error`] if it cannot start, or had to end.
pub async fn run(config: Config, path: PathBuf) -> Result<(), Error> {
    let directory = DataDir::open(path, OWNER)?;
    let key = device_key(&directory)?;
    let (clock, registry, health) = (Clock::system(), Registry::new(), Health::new());
    let tasks = Tasks::new(clock.clone());
    let listener = Listener::bind(config.http).await?;
    let token = Token::random();
    let mut run = Run::new(PROGRAM, crate::VERSION, clock.now(), listener.address());
    run.peer = Some(key.peer_id());
    run.token = Some(token.clone());
    let mut run_file = RunFile::create(&directory, run)?;

    let listings = Arc::<Listings>::default();
    let (net, actor) = bind_network(&config, &key, &registry, Arc::clone(&listings)).await?;
    run_file.update(|run| run.addresses = net.listening())?;

    let (events, _) = broadcast::channel(BACKLOG);
    let context = Arc::new(Context {
        device: Device::new(key.clone(), Incarnation::from_bytes(random::bytes())),
        clock,
        uplinks: Uplinks::default(),
        events,
    });
    let (database, writer) =
        Database::open(&directory.path().join("node.db"), Core::new(Arc::clone(&context))?)?;
    let metrics = Metrics::default();
    registry.room("node", |room| metrics.register(room));
    let node = Node::from(Rooms {
        database,
        context,
        safety: Safety::default(),
        cache: Cache::open(directory.path().join("chunks"))?,
        net,
        gateways: Gateways::default(),
        meetings: Meetings::default(),
        metrics,
        online: watch::Sender::new(!config.offline),
        sessions: Sessions::default(),
    });

    tasks.spawn("net", move |shutdown| actor.run(async move { shutdown.triggered().await }));
    spawn_rooms(&node, &tasks)?;
    if let Some(file) = &config.network {
        join(&node, (NetworkFile::read(file)?, listings), &directory, key, (&registry, &tasks))?;
    }
    let admin_config =
        admin::Config { listen: config.http, metrics_token: None, host_names: config.host_names.clone() };
    let admin = Admin::new(&admin_config, health.clone(), registry);
    listener.serve(&tasks, "api", api::router(node, admin, &token, config.host_names));
    health.set_ready(true);
    run_file.update(|run| run.ready = true)?;
    tracing::info!(data = %directory.path().display(), "ready");

    let ended = tasks.run(STOP_PATIENCE).await;
    // Every task is gone, and with them every handle of the database: what was queued is written now.
    if let Err(error) = tokio::task::spawn_blocking(move || writer.join()).await {
        tracing::error!(%error, "the database was not closed in order");
    }
    Ok(ended?)
}

async fn bind_network(
    config: &Config,
    key: &SecretKey,
    registry: &Registry,
    validator: Arc<Listings>,
) -> Result<(Handle, Actor), Error> {
    let metrics = cosmic_net::Metrics::default();
    registry.room("net", |room| metrics.register(room));
    // Within one machine there is no local network, and no router.
    let is_outside = !config.listen.ip().is_loopback();
    let config = cosmic_net::Config {
        listen: config.addresses(),
        bulk: config.bulk,
        circuits: config.relays,
        mdns: config.mdns && is_outside,
        upnp: config.upnp && is_outside,
        websocket: config.websocket.clone(),
        ..cosmic_net::Config::default()
    };
    let protocols = &[SPACE, OBJECT];
    Ok(cosmic_net::bind(Options { key, config, protocols, validator, metrics }).await?)
}

/// Joins the network of `file` and follows its ring.
fn join(
    node: &Node,
    (file, listings): (NetworkFile, Arc<Listings>),
    directory: &DataDir,
    key: SecretKey,
    (registry, tasks): (&Registry, &Tasks),
) -> Result<(), Error> {
    let config = cosmic_membership::Config {
        network: file,
        state_file: directory.path().join("network.state"),
        member: None,
        serve: false,
        advertise: Vec::new(),
        listings,
    };
    let metrics = cosmic_membership::Metrics::default();
    registry.room("membership", |room| metrics.register(room));
    let clock = node.clock().clone();
    let handle = cosmic_membership::start(config, node.net.clone(), key, clock, metrics, tasks)?;
    let (view, watching) = (handle.view(), node.clone());
    tasks.spawn("ring", move |shutdown| follow_ring(watching, view, shutdown));
    Ok(())
}

fn spawn_rooms(node: &Node, tasks: &Tasks) -> Result<(), Error> {
    let (incoming, chunks) = (node.net.accept(SPACE)?, node.net.accept(OBJECT)?);
    let (sharing, shared) = (node.clone(), tasks.group("chunks for others", sharing::STREAMS_MAX));
    tasks.spawn("share", move |shutdown| sharing::serve(sharing, chunks, shared, shutdown));
    let (inward, outward) =
        (tasks.group("sessions of others", SERVED_MAX), tasks.group("sessions", KEPT_MAX));
    let (serving, keeping, uploading) = (node.clone(), node.clone(), node.clone());
    tasks.spawn("serve", move |shutdown| serve::serve(serving, incoming, inward, shutdown));
    tasks.spawn("keep", move |shutdown| sessions::keep_all(keeping, outward, shutdown));
    tasks.spawn("upload", move |shutdown| upload::run(uploading, shutdown));
    let (reviewing, meeting) = (node.clone(), node.clone());
    tasks.spawn("review", move |shutdown| review::run(reviewing, shutdown));
    tasks.spawn("meeting", move |shutdown| meeting::run(meeting, shutdown));
    Ok(())
}

/// Tells the rooms of this node what changes in the ring.
async fn follow_ring(node: Node, mut view: watch::Receiver<Option<Arc<RingView>>>, shutdown: Shutdown) {
    loop {
        let ring = view.borrow_and_update().clone();
        if let Some(ring) = ring {
            adopt_ring(&node, ring).await;
        }
        if !matches!(shutdown.unless(view.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

async fn adopt_ring(node: &Node, ring: Arc<RingView>) {
    let gateways = ring.members.active().map(|member| Gateway {
        peer: member.peer,
        weight: member.weight,
        zone: member.zone.to_string(),
        region: member.region.clone(),
    });
    node.gateways.set(gateways.collect());
    for (peer, addresses) in &ring.endpoints {
        if let Err(error) = node.net.add_addresses(*peer, addresses).await {
            tracing::debug!(%error, "an address of the ring is not used");
        }
    }
    let relays =
        ring.members.active().map(|member| RelayPeer { peer: member.peer, operator: member.operator });
    if let Err(error) = node.net.set_relays(relays.collect()).await {
        tracing::debug!(%error, "the network ends");
    }
    let counted = node.count_in_ring(Standing::of(&ring.members), Arc::clone(&ring.atlas)).await;
    if let Err(error) = counted {
        tracing::error!(%error, "kept receipts cannot be read");
    }
}
