//! Objects through six supernodes over TCP on loopback: rate and CPU seconds per GB of all seven ends together.
//!
//! `cargo run -p cosmic-supernode --example objects -- 256` puts 256 MiB in chunks of 4 MiB, gets them back, kills
//! three supernodes and gets them again. Chunks are random bytes: sealing is the device's work and not measured here.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use cosmic_common::{
    hash,
    id::{Incarnation, ObjectId, PeerId, SpaceId},
    limit::{MESSAGE_MAX_BYTES, OBJECT_MAX_BYTES},
    protocol::{MEETING, OBJECT, REPLICA, SHARD, SPACE},
    record::Record as _,
};
use cosmic_custody::message::{
    bulk::BulkLength,
    object::{ObjectAnswer, ObjectRequest},
    space::SessionId,
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_membership::RingView;
use cosmic_net::{Handle, Options, RefuseAll, Stream, Transport};
use cosmic_ring::{Atlas, Consent, Member, Members, NetworkConfig, State};
use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry, random, tasks::Tasks};
use cosmic_space::{
    delegation::{Bearer, Caveats},
    rights::{Channels, Rights},
    session::Session,
};
use cosmic_store::{Setup, Store};
use cosmic_supernode::{
    accounts::Accounts,
    care,
    config::Config,
    context::{Context, Limits},
    holders::Holders,
    metrics::Metrics,
    session,
    start::Services,
    tables,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SUPERNODES: u8 = 6;
/// Chunks a device has under way.
const IN_FLIGHT: usize = 4;
const SOON: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Outcome<()> {
    let mebibytes: usize = std::env::args().nth(1).map_or(Ok(256), |text| text.parse())?;
    let chunks: Vec<(ObjectId, Vec<u8>)> = (0..mebibytes.div_ceil(4)).map(|_| chunk()).collect();
    let folder = std::env::temp_dir().join(format!("cosmic-objects-{}", std::process::id()));
    let world = World::start(&folder).await?;
    let device = Device::start(&world).await?;
    let put = |(object, bytes): &(ObjectId, Vec<u8>)| device.clone().put(*object, bytes.clone());
    measure("put", mebibytes, stream::iter(&chunks).map(put).buffer_unordered(IN_FLIGHT).try_collect())
        .await?;
    let get = |(object, bytes): &(ObjectId, Vec<u8>)| device.clone().get(*object, bytes.clone());
    measure("get", mebibytes, stream::iter(&chunks).map(get).buffer_unordered(IN_FLIGHT).try_collect())
        .await?;
    for (_context, tasks) in world.supernodes.iter().skip(3) {
        tasks.stop(STOP_PATIENCE).await?;
    }
    measure(
        "degraded_get",
        mebibytes,
        stream::iter(&chunks).map(get).buffer_unordered(IN_FLIGHT).try_collect(),
    )
    .await?;
    for (_context, tasks) in world.supernodes.iter().take(3) {
        tasks.stop(STOP_PATIENCE).await?;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn chunk() -> (ObjectId, Vec<u8>) {
    let mut bytes = vec![0; OBJECT_MAX_BYTES];
    random::fill(&mut bytes);
    (ObjectId::from_bytes(*hash::plain(&bytes).as_bytes()), bytes)
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn measure(name: &str, mebibytes: usize, work: impl Future<Output = Outcome<Vec<()>>>) -> Outcome<()> {
    let clock = Clock::system();
    let (cpu, began) = (cpu_seconds()?, clock.monotonic());
    let count = work.await?.len();
    let (cpu, elapsed) = (cpu_seconds()? - cpu, clock.monotonic().since(began).as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let gigabytes = (count * OBJECT_MAX_BYTES) as f64 / 1e9;
    println!(
        r#"{{"name": "{name}", "mebibytes": {mebibytes}, "mb_per_s": {:.0}, "cpu_s_per_gb": {:.2}}}"#,
        gigabytes * 1e3 / elapsed,
        cpu / gigabytes
    );
    Ok(())
}

/// Six supernodes with one ring.
struct World {
    supernodes: Vec<(Arc<Context>, Tasks)>,
    _ring: (watch::Sender<Arc<RingView>>, watch::Sender<Arc<Holders>>),
}

impl World {
    async fn start(folder: &std::path::Path) -> Outcome<Self> {
        let mut hands = Vec::new();
        for seed in 1..=SUPERNODES {
            let key = SecretKey::from_seed(&[seed; 32]);
            let tasks = Tasks::new(Clock::system());
            let net = bind(&key, &tasks, true).await?;
            hands.push((key, net, tasks));
        }
        let view = Arc::new(view(&hands)?);
        let holders = cosmic_custody::Standing::of(&view.members);
        let (holders, latest) = watch::channel(Arc::new(Holders::new(Arc::clone(&view.atlas), holders)));
        let (ring, seen) = watch::channel(view);
        let mut supernodes = Vec::new();
        for (key, net, tasks) in hands {
            let (clock, health, registry) = (Clock::system(), Health::new(), Registry::new());
            let config = cosmic_store::Config::default();
            let setup = Setup {
                schema: tables::schema(),
                config: &config,
                clock: clock.clone(),
                registry: &registry,
                health: health.clone(),
            };
            let store = Store::open(folder.join(key.peer_id().short()), setup)?;
            let context = Arc::new(Context {
                residences: cosmic_supernode::residences::Residences::open(&store)?,
                accounts: Accounts::open(&store)?,
                store,
                net,
                tasks: tasks.clone(),
                clock,
                peer: key.peer_id(),
                incarnation: Incarnation::from_bytes([1; 16]),
                key,
                ring: seen.clone(),
                metrics: Metrics::register(&registry),
                health,
                limits: Limits::default(),
                sessions: session::Sessions::default(),
                suspects: cosmic_supernode::scrub::Suspects::default(),
            });
            Services::start(&context, latest.clone(), &Config::default(), &registry)?;
            supernodes.push((context, tasks));
        }
        Ok(Self { supernodes, _ring: (ring, holders) })
    }
}

fn view(hands: &[(SecretKey, Handle, Tasks)]) -> Outcome<RingView> {
    let (network_key, operator) = (SecretKey::from_seed(&[100; 32]), SecretKey::from_seed(&[101; 32]));
    let mut config = NetworkConfig::new(&network_key);
    config.operators.insert(operator.operator_id());
    let (network, config) = (config.network(), Signed::sign(config, &network_key));
    let mut members = Members::new(config.clone(), network)?;
    let mut endpoints = BTreeMap::new();
    for (number, (key, net, _tasks)) in hands.iter().enumerate() {
        endpoints.insert(key.peer_id(), net.listening());
        let member = Member {
            network,
            operator: operator.operator_id(),
            peer: key.peer_id(),
            consent: Consent::give(key, network, operator.operator_id(), 1),
            sequence: 1,
            state: State::Active,
            weight: 1,
            zone: format!("zone-{}", number % 3).parse()?,
            region: "local".parse()?,
            addresses: Vec::new(),
            incarnation: None,
        };
        members.insert(Signed::sign(member, &operator))?;
    }
    let atlas = Arc::new(Atlas::build(&members));
    Ok(RingView { config, members, atlas, endpoints })
}

async fn bind(key: &SecretKey, tasks: &Tasks, serve: bool) -> Outcome<Handle> {
    let listen = if serve { vec!["/ip4/127.0.0.1/tcp/0".parse()?] } else { Vec::new() };
    let config = cosmic_net::Config { listen, prefer: Transport::Tcp, ..cosmic_net::Config::default() };
    let protocols: &[_] = if serve { &[SPACE, REPLICA, OBJECT, SHARD, MEETING, care::CARE] } else { &[] };
    let (validator, metrics) = (Arc::new(RefuseAll), cosmic_net::Metrics::default());
    let (net, actor) = cosmic_net::bind(Options { key, config, protocols, validator, metrics }).await?;
    tasks.spawn("network", |shutdown| actor.run(async move { shutdown.triggered().await }));
    Ok(net)
}

/// A device with a session at the first supernode.
#[derive(Clone)]
struct Device {
    net: Handle,
    gateway: PeerId,
    session: SessionId,
    _open: Arc<(session::SessionGuard, Tasks)>,
}

impl Device {
    async fn start(world: &World) -> Outcome<Self> {
        let key = SecretKey::from_seed(&[50; 32]);
        let tasks = Tasks::new(Clock::system());
        let net = bind(&key, &tasks, false).await?;
        let (context, _tasks) = world.supernodes.first().ok_or("there are supernodes")?;
        net.add_addresses(context.peer, &context.net.listening()).await?;
        let open = context.sessions.open(
            key.peer_id(),
            Session {
                space: SpaceId::from_bytes([7; 32]),
                key: key.writer_id(),
                delegation: None,
                bearer: Bearer::Member,
                rights: Rights::ALL,
                channels: Channels::All,
                caveats: Caveats::default(),
            },
        );
        Ok(Self { net, gateway: context.peer, session: open.id(), _open: Arc::new((open, tasks)) })
    }

    async fn open(&self) -> Outcome<Stream> {
        Ok(self.net.open(self.gateway, OBJECT, SOON).await?)
    }

    async fn put(self, object: ObjectId, bytes: Vec<u8>) -> Outcome<()> {
        let mut stream = self.open().await?;
        let request =
            ObjectRequest::Put { session: self.session, object, length: BulkLength::new(bytes.len())? };
        stream.send(&request.to_bytes()).await?;
        match answer(&mut stream).await? {
            ObjectAnswer::Send => stream.send_bulk(&bytes).await?,
            other => return Err(format!("{other:?}").into()),
        }
        match answer(&mut stream).await? {
            ObjectAnswer::Stored(stored) if stored.receipts.len() == usize::from(SUPERNODES) => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    async fn get(self, object: ObjectId, wanted: Vec<u8>) -> Outcome<()> {
        let mut stream = self.open().await?;
        stream.send(&ObjectRequest::Get { session: self.session, object }.to_bytes()).await?;
        let ObjectAnswer::Follows { length } = answer(&mut stream).await? else {
            return Err("not found".into());
        };
        let mut bytes = Vec::with_capacity(length.bytes());
        stream.recv_bulk(&mut bytes, length.bytes()).await?;
        if bytes == wanted { Ok(()) } else { Err("other bytes".into()) }
    }
}

async fn answer(stream: &mut Stream) -> Outcome<ObjectAnswer> {
    let frame = stream.recv(MESSAGE_MAX_BYTES).await?.ok_or("the gateway closed the stream")?;
    Ok(ObjectAnswer::from_bytes(&frame)?)
}

/// User and system time of this process so far; Linux counts in hundredths.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).copied().unwrap_or("0").parse::<f64>();
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
