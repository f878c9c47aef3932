//! Starting and stopping a supernode: each part upon those before it, and down again in the reverse order.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use cosmic_common::{
    address::{Address, ParseAddressError},
    id::PeerId,
    protocol::{GATEWAY, MEETING, OBJECT, Protocol, REPLICA, SHARD, SPACE, TURN},
};
use cosmic_custody::Standing;
use cosmic_identity::signed::Signed;
use cosmic_membership::{self as membership, RingView};
use cosmic_ring::State;
use cosmic_runtime::{
    admin::Admin,
    clock::Clock,
    health::Health,
    http::{Listener, Token},
    metrics::Registry,
    run_file::{Run, RunFile},
    shutdown::Shutdown,
    tasks::Tasks,
};
use cosmic_store::{Setup, Store};
use tokio::sync::watch;

use crate::{
    accounts::Accounts,
    admin::{self, Door},
    audit::{self, Audits},
    care::{self, CARE, Care},
    cold::{self, Cold},
    config::Config,
    context::Context,
    covers::Covers,
    deletion::{self, Deletion},
    easing, entries,
    holders::{Holders, Latest},
    home::{self, Home},
    meeting::Meeting,
    metrics::Metrics,
    moves::{self, Moves},
    objects::{self, Objects},
    packs::{self, Packs},
    quota::Quotas,
    residences::Residences,
    retire::{self, Leaving},
    scrub::{self, Scrub, Suspects},
    session::Sessions,
    shards::{self, Shards},
    spaces::Spaces,
    summary::{self, SUMMARY, Summaries},
    tables,
    turn::{self, Turn},
};

/// How long everything may take to end before it is dropped.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// What others may open streams of.
const PROTOCOLS: [Protocol; 9] = [SPACE, GATEWAY, REPLICA, OBJECT, SHARD, CARE, SUMMARY, MEETING, TURN];

/// Why a supernode cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process itself: directory, ports, tasks.
    #[error(transparent)]
    Runtime(#[from] cosmic_runtime::Error),
    /// The data directory.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] cosmic_store::Error),
    /// The network.
    #[error(transparent)]
    Net(#[from] cosmic_net::Error),
    /// The address to listen on.
    #[error("the address to listen on cannot be used")]
    Address(#[from] ParseAddressError),
    /// Joining the network.
    #[error(transparent)]
    Membership(#[from] membership::Error),
    /// The cold tier.
    #[error(transparent)]
    Cold(#[from] cold::Error),
    /// The relay for browsers.
    #[error(transparent)]
    Turn(#[from] turn::Error),
    /// A thread of the store could not be waited for.
    #[error("the store could not be opened")]
    Thread(#[source] io::Error),
}

/// A supernode that runs.
#[derive(Debug)]
pub struct Running {
    tasks: Tasks,
    health: Health,
    run_file: RunFile,
    store: Store,
    home: Arc<Home>,
}

/// The parts that serve others, over the hands in a [`Context`].
#[derive(Debug)]
pub struct Services {
    /// Room for shards, and what is used.
    pub quotas: Quotas,
    /// Shards, here and elsewhere.
    pub shards: Shards,
    /// Objects.
    pub objects: Objects,
    /// Spaces.
    pub spaces: Spaces,
    /// Care for what is kept.
    pub care: Care,
    /// Packs of entries.
    pub packs: Packs,
    /// What belongs elsewhere.
    pub moves: Moves,
    /// The way out of the ring.
    pub leaving: Leaving,
    /// The bytes of old shards.
    pub cold: Cold,
    /// What the network says of itself.
    pub summaries: Summaries,
}

impl Services {
    /// Starts to serve.
    ///
    /// # Errors
    /// [`Error::Net`] if a protocol is served already, [`Error::Cold`] if the cold tier cannot be set up.
    pub fn start(
        context: &Arc<Context>,
        holders: Latest,
        config: &Config,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let cold = Cold::open(context, &config.cold, cold::Metrics::register(registry))?;
        Self::start_over(cold, context, holders, config, registry)
    }

    /// The same, with this cold tier.
    ///
    /// # Errors
    /// [`Error::Net`] if a protocol is served already.
    pub(crate) fn start_over(
        cold: Cold,
        context: &Arc<Context>,
        holders: Latest,
        config: &Config,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let tasks = &context.tasks;
        let quotas = Quotas::new(context.store.clone(), context.accounts.clone(), context.limits.quota);
        let shards =
            Shards::new(context, holders, quotas.clone(), cold.clone(), shards::Metrics::register(registry));
        shards::serve(&shards, context)?;
        let objects = Objects::new(context, shards.clone(), &config.objects);
        let packs_metrics = packs::Metrics::register(registry);
        let (spaces, packs) = entries::start(Arc::clone(context), &objects, &config.packs, packs_metrics)?;
        let deletion_metrics = deletion::Metrics::register(registry);
        let deletion =
            Deletion::new(context, shards.clone(), spaces.clone(), &config.deletion, deletion_metrics);
        objects::serve(&objects, &deletion, context)?;
        Meeting::start(context)?;
        easing::start(context);
        let care_metrics = care::Metrics::register(registry);
        let audit_metrics = audit::Metrics::register(registry);
        let audits = Audits::new(context, shards.clone(), config.care.audit_every(), audit_metrics);
        let looks = (audits, deletion.clone());
        let care = Care::start(context, shards.clone(), objects.clone(), looks, &config.care, care_metrics)?;
        packs.start(care.clone());
        deletion.start();
        Covers::new(context, spaces.clone(), &config.deletion).start();
        cold.start(shards.clone());
        let keeping = (shards.clone(), spaces.clone());
        let moves_metrics = moves::Metrics::register(registry);
        let moves = Moves::start(keeping, care.clone(), packs.clone(), &config.moves, moves_metrics, tasks);
        let retire_metrics = retire::Metrics::register(registry);
        let leaving = Leaving::start(context, quotas.clone(), moves.clone(), retire_metrics);
        let of = (care.clone(), leaving.clone());
        let summary_metrics = summary::Metrics::register(registry);
        let summaries = Summaries::start(context, of, &config.summary, summary_metrics)?;
        Ok(Self { quotas, shards, objects, spaces, care, packs, moves, leaving, cold, summaries })
    }

    /// The door through which they are seen and told what to do.
    fn door(
        self,
        context: Arc<Context>,
        membership: membership::Handle,
        home: Arc<Home>,
        scrub: Scrub,
        turn: Option<Turn>,
    ) -> Door {
        let Self { quotas, care, packs, leaving, cold, summaries, .. } = self;
        Door { context, quotas, care, packs, leaving, membership, home, scrub, cold, summaries, turn }
    }
}

/// Starts a supernode on the data in `data_dir`, and returns when it has joined its network and serves.
///
/// # Errors
/// [`Error`] with one sentence that says what stands in the way.
pub async fn start(config: Config, data_dir: &Path) -> Result<Running, Error> {
    let mut home = Home::open(data_dir)?;
    let network = home.network(config.network.as_deref())?;
    let member = home.member()?;
    let (clock, health, registry) = (Clock::system(), Health::new(), Registry::new());
    let tasks = Tasks::new(clock.clone());
    let http = Listener::bind(config.admin.listen).await?;
    let store = open_store(&home, &config, &clock, &registry, &health).await?;
    let incarnation = home.incarnation(&store).await?;
    let home = Arc::new(home);
    let token = Token::random();
    let mut run_file = run_file(&home, &clock, &http, &token)?;

    let listings = Arc::<membership::Listings>::default();
    let net = start_net(&home, &config, &registry, &tasks, Arc::clone(&listings)).await?;
    if member.is_none() {
        tracing::warn!(
            "no operator has signed for this supernode; it keeps nothing until: cosmic-supernode operator sign"
        );
    }
    let membership_metrics = membership::Metrics::default();
    registry.room("membership", |room| membership_metrics.register(room));
    let joining = membership::Config {
        network,
        state_file: home.state_file(),
        member,
        serve: true,
        advertise: config.advertise.clone(),
        listings,
    };
    let key = home.key().clone();
    let membership =
        membership::start(joining, net.clone(), key.clone(), clock.clone(), membership_metrics, &tasks)?;
    let (ring, holders) = follow(&membership, &tasks).await;

    let context = Arc::new(Context {
        store: store.clone(),
        net: net.clone(),
        clock,
        tasks: tasks.clone(),
        peer: key.peer_id(),
        key,
        incarnation,
        ring: ring.clone(),
        residences: Residences::open(&store)?,
        accounts: Accounts::open(&store)?,
        metrics: Metrics::register(&registry),
        health: health.clone(),
        limits: config.limits(),
        sessions: Sessions::default(),
        suspects: Suspects::default(),
    });
    let services = Services::start(&context, holders, &config, &registry)?;
    let scrub = start_scrub(&context, &services, &config, &registry)?;
    let turn = turn::start(&context, &config.turn, &registry).await?;
    let turn_address = turn.as_ref().map(|turn| turn.address);
    let door = services.door(context, membership, Arc::clone(&home), scrub, turn);
    let admin = Admin::new(&config.admin, health.clone(), registry);
    http.serve(&tasks, "admin", admin::router(door, admin, &token, config.admin.host_names.clone()));
    health.set_ready(true);
    run_file.update(|run| {
        run.ready = true;
        run.addresses = net.listening();
        run.bulk = net.bulk_address();
        run.turn = turn_address;
    })?;
    tracing::info!(peer = %net.local_peer(), admin = %run_file.run().http, "ready");
    Ok(Running { tasks, health, run_file, store, home })
}

impl Running {
    /// The supernode.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.home.key().peer_id()
    }

    /// Where others reach it.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.run_file.run().addresses
    }

    /// Where its admin door is.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.run_file.run().http
    }

    /// Works until a signal or a failure, then stops.
    ///
    /// # Errors
    /// What ended it, if that was no signal.
    pub async fn run(self) -> Result<(), Error> {
        let Self { tasks, health, mut run_file, store, home } = self;
        let ended = tasks.run(STOP_PATIENCE);
        let told = async {
            tasks.ending().await;
            health.set_ready(false);
            run_file.update(|run| run.ready = false)
        };
        let (ended, told) = tokio::join!(ended, told);
        drop((store, run_file, home));
        ended?;
        Ok(told?)
    }

    /// Stops everything in the reverse order.
    ///
    /// # Errors
    /// If something did not end in time.
    pub async fn stop(self) -> Result<(), Error> {
        self.health.set_ready(false);
        self.tasks.stop(STOP_PATIENCE).await?;
        Ok(())
    }
}

async fn open_store(
    home: &Home,
    config: &Config,
    clock: &Clock,
    registry: &Registry,
    health: &Health,
) -> Result<Store, Error> {
    let (path, config) = (home.store_path(), config.store.clone());
    let (clock, registry, health) = (clock.clone(), registry.clone(), health.clone());
    let opening = move || {
        Store::open(
            path,
            Setup { schema: tables::schema(), config: &config, clock, registry: &registry, health },
        )
    };
    let opened = tokio::task::spawn_blocking(opening).await;
    Ok(opened.map_err(|error| Error::Thread(io::Error::other(error)))??)
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
    let protocols = [&membership::PROTOCOLS[..], &PROTOCOLS].concat();
    let (net, actor) = cosmic_net::bind(cosmic_net::Options {
        key: home.key(),
        config: config.net()?,
        protocols: &protocols,
        validator,
        metrics,
    })
    .await?;
    tasks.spawn("network", |shutdown| actor.run(async move { shutdown.triggered().await }));
    Ok(net)
}

fn start_scrub(
    context: &Arc<Context>,
    services: &Services,
    config: &Config,
    registry: &Registry,
) -> Result<Scrub, cosmic_store::Error> {
    let (objects, replicas) = (services.objects.clone(), services.spaces.replicas().clone());
    Scrub::start(context, objects, replicas, config.scrub.clone(), scrub::Metrics::register(registry))
}

/// The ring as it changes, for both halves; returns once it is known.
async fn follow(membership: &membership::Handle, tasks: &Tasks) -> (watch::Receiver<Arc<RingView>>, Latest) {
    let mut views = membership.view();
    let first = membership.joined().await;
    let (ring, ring_now) = watch::channel(Arc::clone(&first));
    let (holders, holders_now) = watch::channel(Arc::new(holders_of(&first)));
    let follow = move |shutdown: Shutdown| async move {
        while let Some(Ok(())) = shutdown.unless(views.changed()).await {
            let Some(view) = views.borrow_and_update().clone() else { continue };
            let before = Arc::clone(&holders.borrow());
            holders.send_replace(Arc::new(holders_of(&view).after(&before)));
            ring.send_replace(view);
        }
    };
    tasks.spawn("ring", follow);
    (ring_now, holders_now)
}

pub(crate) fn holders_of(view: &RingView) -> Holders {
    let retired = view.members.records().map(Signed::unverified);
    let retired = retired.filter(|member| member.state == State::Retired).map(|member| member.peer);
    Holders::new(Arc::clone(&view.atlas), Standing::of(&view.members)).with_leaving(retired)
}
