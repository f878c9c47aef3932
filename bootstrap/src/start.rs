//! Starting a bootstrap node: everything in order, and in the reverse order when it ends.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use cosmic_common::{
    address::{Address, ParseAddressError},
    id::PeerId,
};
use cosmic_membership as membership;
use cosmic_ring::Door as NamedDoor;
use cosmic_runtime::{
    admin::Admin,
    clock::Clock,
    exit::sentence,
    health::Health,
    http::{Listener, Token},
    metrics::Registry,
    run_file::{Run, RunFile},
    shutdown::Shutdown,
    tasks::Tasks,
};

use crate::{
    admin::{self, Door},
    change::{self, Change},
    config::Config,
    home::{self, Home},
};

/// How long everything may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Why a bootstrap node does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process around it.
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    /// Its data directory.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The network.
    #[error(transparent)]
    Net(#[from] cosmic_net::Error),
    /// The address to listen on.
    #[error("the address to listen on cannot be used")]
    Address(#[from] ParseAddressError),
    /// Joining the network.
    #[error(transparent)]
    Membership(#[from] membership::Error),
    /// Its own place in the configuration.
    #[error("this bootstrap node cannot be named in the configuration of the network")]
    Change(#[from] change::Error),
}

/// A bootstrap node that runs.
#[derive(Debug)]
pub struct Running {
    tasks: Tasks,
    health: Health,
    run_file: RunFile,
    door: Door,
}

/// Starts a bootstrap node in `data_dir`, and returns when it knows its network's configuration and serves it.
///
/// # Errors
/// [`Error`] with one sentence that says what stands in the way.
pub async fn start(config: Config, data_dir: &Path) -> Result<Running, Error> {
    let home = Arc::new(Home::open(data_dir)?);
    let network = home.network(config.network.as_deref())?;
    let (clock, health, registry) = (Clock::system(), Health::new(), Registry::new());
    let tasks = Tasks::new(clock.clone());
    let http = Listener::bind(config.admin.listen).await?;
    let token = Token::random();
    let mut run_file = run_file(&home, &clock, &http, &token)?;

    let listings = Arc::<membership::Listings>::default();
    let net = start_net(&home, &config, &registry, &tasks, Arc::clone(&listings)).await?;
    let metrics = membership::Metrics::default();
    registry.room("membership", |room| metrics.register(room));
    let advertise = config.advertise.clone();
    let state_file = home.state_file();
    let joining = membership::Config { network, state_file, member: None, serve: true, advertise, listings };
    let membership = membership::start(joining, net.clone(), home.key().clone(), clock, metrics, &tasks)?;
    if let Some(configuration) = home.configuration()? {
        membership.apply_config(configuration)?;
    }
    let door = Door { membership, net, health: health.clone(), home };
    name_own_door(&door, &config.advertise)?;
    let keeping = door.clone();
    tasks.spawn("configuration", |shutdown| keep_configuration(keeping, shutdown));

    let admin = Admin::new(&config.admin, health.clone(), registry);
    http.serve(&tasks, "admin", admin::router(door.clone(), admin, &token, config.admin.host_names));
    tokio::select! {
        _ring = door.membership.joined() => {}
        () = tasks.ending() => {}
    }
    health.set_ready(true);
    run_file.update(|run| {
        run.ready = true;
        run.addresses = door.net.listening();
    })?;
    tracing::info!(network = %door.membership.network(), peer = %door.net.local_peer(), "ready");
    Ok(Running { tasks, health, run_file, door })
}

impl Running {
    /// The bootstrap node.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.door.net.local_peer()
    }

    /// Where others reach it.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.door.net.listening()
    }

    /// Where its admin door is.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.run_file.run().http
    }

    /// What it knows of its network.
    #[must_use]
    pub const fn membership(&self) -> &membership::Handle {
        &self.door.membership
    }

    /// Works until a signal or a failure, then stops.
    ///
    /// # Errors
    /// What ended it, if that was no signal.
    pub async fn run(self) -> Result<(), Error> {
        let Self { tasks, health, mut run_file, door } = self;
        let ended = tasks.run(STOP_PATIENCE);
        let told = async {
            tasks.ending().await;
            health.set_ready(false);
            run_file.update(|run| run.ready = false)
        };
        let (ended, told) = tokio::join!(ended, told);
        drop((run_file, door));
        ended?;
        Ok(told?)
    }

    /// Stops everything in the reverse order.
    ///
    /// # Errors
    /// If something did not end in time.
    pub async fn stop(self) -> Result<(), Error> {
        self.health.set_ready(false);
        Ok(self.tasks.stop(STOP_PATIENCE).await?)
    }
}

fn run_file(home: &Home, clock: &Clock, http: &Listener, token: &Token) -> Result<RunFile, Error> {
    let mut run = Run::new(home::PROGRAM, crate::VERSION, clock.now(), http.address());
    run.peer = Some(home.key().peer_id());
    run.token = Some(token.clone());
    Ok(RunFile::create(home.directory(), run)?)
}

async fn start_net(
    home: &Home,
    config: &Config,
    registry: &Registry,
    tasks: &Tasks,
    validator: Arc<membership::Listings>,
) -> Result<cosmic_net::Handle, Error> {
    let metrics = cosmic_net::Metrics::default();
    registry.room("net", |room| metrics.register(room));
    let (net, actor) = cosmic_net::bind(cosmic_net::Options {
        key: home.key(),
        config: config.net()?,
        protocols: &membership::PROTOCOLS,
        validator,
        metrics,
    })
    .await?;
    tasks.spawn("network", |shutdown| actor.run(async move { shutdown.triggered().await }));
    Ok(net)
}

/// Where the network key lies beside it, a bootstrap node puts its own addresses into the configuration, so that
/// people need to hand on nothing but the network's id and any one door.
fn name_own_door(door: &Door, advertise: &[Address]) -> Result<(), Error> {
    let (Some(key), Some(ring)) = (door.home.network_key()?, door.membership.ring()) else { return Ok(()) };
    let told = if advertise.is_empty() { door.net.listening() } else { advertise.to_vec() };
    let addresses = membership::presentable(told);
    if addresses.is_empty() {
        return Ok(());
    }
    let own = NamedDoor { peer: door.net.local_peer(), addresses };
    if let Some(next) = change::apply(ring.members.config(), Change::Reside(own), &key)? {
        door.home.set_configuration(&next)?;
        door.membership.apply_config(next)?;
    }
    Ok(())
}

/// Keeps a configuration that came from another bootstrap node where the command line looks for it.
async fn keep_configuration(door: Door, shutdown: Shutdown) {
    let mut views = door.membership.view();
    let mut kept = None;
    loop {
        let view = views.borrow_and_update().clone();
        if let Some(view) = view.filter(|view| kept.as_ref() != Some(&view.config)) {
            if let Err(error) = door.home.set_configuration(&view.config) {
                tracing::warn!("{}; a restart may begin with an older one", sentence(&error));
            }
            kept = Some(view.config.clone());
        }
        if !matches!(shutdown.unless(views.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}
