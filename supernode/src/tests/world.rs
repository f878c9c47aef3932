//! Supernodes that are all the members of one network.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use cosmic_common::{
    id::{Incarnation, NetworkId, PeerId, SpaceId},
    protocol,
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_membership::RingView;
use cosmic_net::{MemoryNetwork, RefuseAll};
use cosmic_ring::{Atlas, Consent, Member, Members, NetworkConfig, State};
use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry, tasks::Tasks};
use cosmic_store::{Setup, Store};
use object_store::ObjectStore;
use prometheus_client::metrics::gauge::Gauge;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{
    accounts::Accounts,
    care::CARE,
    cold::{self, Cold, Place},
    config::Config,
    context::Context,
    duty,
    holders::Holders,
    metrics::Metrics,
    residences::Residences,
    scrub::Suspects,
    session::Sessions,
    spaces::Spaces,
    start::{Services, holders_of},
    summary::SUMMARY,
    tables,
};

pub(super) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

/// One supernode.
pub(super) struct Supernode {
    pub(super) spaces: Spaces,
    pub(super) services: Services,
    pub(super) context: Arc<Context>,
    _directory: TempDir,
}

impl Supernode {
    pub(super) fn peer(&self) -> PeerId {
        self.context.peer
    }
}

/// A network of supernodes.
pub(super) struct World {
    pub(super) network: MemoryNetwork,
    pub(super) supernodes: Vec<Supernode>,
    /// In which region each of them stands.
    regions: Mutex<Vec<&'static str>>,
    ring: watch::Sender<Arc<RingView>>,
    pub(super) holders: watch::Sender<Arc<Holders>>,
}

impl World {
    /// As many supernodes as asked for, each in a zone of its own.
    pub(super) fn new(count: u8) -> Self {
        Self::with_clock(count, &Clock::system(), &Config::default())
    }

    /// The same, by this clock and with these settings.
    pub(super) fn with_clock(count: u8, clock: &Clock, settings: &Config) -> Self {
        Self::over(count, clock, settings, None)
    }

    /// Supernodes in these regions, in the order of their numbers.
    pub(super) fn in_regions(regions: &[&'static str], settings: &Config) -> Self {
        let count = u8::try_from(regions.len()).unwrap();
        let world = Self::over(count, &Clock::system(), settings, None);
        *world.regions.lock().unwrap() = regions.to_vec();
        let all = (1..=count).map(|number| (number, State::Active));
        world.change_ring(all);
        world
    }

    /// The operator of a supernode moves it to another region.
    pub(super) fn move_to(&self, number: u8, region: &'static str) {
        self.regions.lock().unwrap()[usize::from(number) - 1] = region;
        self.change_ring((1..).take(self.supernodes.len()).map(|number| (number, State::Active)));
    }

    /// The same, whose old shards go to `bucket`.
    pub(super) fn over(
        count: u8,
        clock: &Clock,
        settings: &Config,
        bucket: Option<Arc<dyn ObjectStore>>,
    ) -> Self {
        let network = MemoryNetwork::new();
        let joined: Vec<_> = (1..=count)
            .map(|n| {
                let protocols = [
                    protocol::SPACE,
                    protocol::GATEWAY,
                    protocol::REPLICA,
                    protocol::OBJECT,
                    protocol::SHARD,
                    protocol::MEETING,
                    CARE,
                    SUMMARY,
                ];
                (key(n), network.join(key(n).peer_id(), &protocols, Arc::new(RefuseAll)))
            })
            .collect();
        let endpoints: BTreeMap<_, _> =
            joined.iter().map(|(key, net)| (key.peer_id(), net.listening())).collect();
        let (ring, seen) = watch::channel(Arc::new(view(
            (1..=count).map(|number| (number, "here", State::Active)),
            endpoints,
        )));
        let (holders, latest) = watch::channel(Arc::new(holders_of(&ring.borrow())));
        let start = |(key, net): (SecretKey, cosmic_net::Handle)| {
            net.set_ring((1..=count).map(|number| self::key(number).peer_id()).collect());
            let directory = tempfile::tempdir().unwrap();
            let (clock, health, registry) = (clock.clone(), Health::new(), Registry::new());
            let config = cosmic_store::Config { reserve_bytes: 0, ..cosmic_store::Config::default() };
            let setup = Setup {
                schema: tables::schema(),
                config: &config,
                clock: clock.clone(),
                registry: &registry,
                health: health.clone(),
            };
            let store = Store::open(directory.path(), setup).unwrap();
            let context = Arc::new(Context {
                residences: Residences::open(&store).unwrap(),
                accounts: Accounts::open(&store).unwrap(),
                store,
                net,
                tasks: Tasks::new(clock.clone()),
                clock,
                peer: key.peer_id(),
                incarnation: Incarnation::from_bytes([key.public()[0]; 16]),
                key,
                ring: seen.clone(),
                metrics: Metrics::register(&registry),
                health,
                limits: settings.limits(),
                sessions: Sessions::default(),
                suspects: Suspects::default(),
            });
            let place = bucket.clone().map(|bucket| place(&context, bucket));
            let metrics = cold::Metrics::default();
            let cold = Cold::over(&context, &settings.cold, place, metrics).unwrap();
            let services = Services::start_over(cold, &context, latest.clone(), settings, &registry).unwrap();
            Supernode { spaces: services.spaces.clone(), services, context, _directory: directory }
        };
        let supernodes = joined.into_iter().map(start).collect();
        let regions = Mutex::new(vec!["here"; usize::from(count)]);
        Self { network, supernodes, regions, ring, holders }
    }

    /// Makes these supernodes, by their numbers, all the members there are.
    pub(super) fn set_members(&self, numbers: &[u8]) {
        self.change_ring(numbers.iter().map(|number| (*number, State::Active)));
    }

    /// One of the supernodes, by its number, leaves the ring.
    pub(super) fn retire(&self, leaving: u8) {
        let all = (1..).take(self.supernodes.len());
        let state = |number| if number == leaving { State::Retired } else { State::Active };
        self.change_ring(all.map(|number| (number, state(number))));
    }

    fn change_ring(&self, members: impl Iterator<Item = (u8, State)>) {
        let regions = self.regions.lock().unwrap().clone();
        let members = members.map(|(number, state)| (number, regions[usize::from(number) - 1], state));
        let view = view(members, self.ring.borrow().endpoints.clone());
        let before = Arc::clone(&self.holders.borrow());
        self.holders.send_replace(Arc::new(holders_of(&view).after(&before)));
        self.ring.send_replace(Arc::new(view));
    }

    /// The replicas of a space, in the order of the table.
    pub(super) fn replicas(&self, space: &SpaceId) -> Vec<&Supernode> {
        let replicas = self.peers(space);
        replicas.iter().filter_map(|peer| self.supernodes.iter().find(|node| node.peer() == *peer)).collect()
    }

    /// The replicas, by what any of them knows of its regions.
    fn peers(&self, space: &SpaceId) -> Vec<PeerId> {
        let knows = |node: &&Supernode| node.context.residences.genesis(space).is_some();
        let node = self.supernodes.iter().find(knows).unwrap_or(&self.supernodes[0]);
        duty::replicas(&node.context, space)
    }

    /// A supernode that is no replica of a space.
    pub(super) fn stranger(&self, space: &SpaceId) -> &Supernode {
        let replicas = self.peers(space);
        self.supernodes.iter().find(|node| !replicas.contains(&node.peer())).unwrap()
    }
}

/// The part of `bucket` that is the supernode's.
pub(super) fn place(context: &Context, bucket: Arc<dyn ObjectStore>) -> Place {
    Place::new(bucket, "cosmic", context.peer, context.clock.clone(), Gauge::default())
}

fn view(
    numbers: impl Iterator<Item = (u8, &'static str, State)>,
    endpoints: BTreeMap<PeerId, Vec<cosmic_common::address::Address>>,
) -> RingView {
    let (network_key, operator) = (key(200), key(201));
    let mut config = NetworkConfig::new(&network_key);
    config.operators.insert(operator.operator_id());
    let network: NetworkId = config.network();
    let config = Signed::sign(config, &network_key);
    let mut members = Members::new(config.clone(), network).unwrap();
    for (number, region, state) in numbers {
        members.insert(member(network, &operator, (number, region, state))).unwrap();
    }
    let atlas = Arc::new(Atlas::build(&members));
    RingView { config, members, atlas, endpoints }
}

/// What `operator` says about the supernode of this number.
pub(super) fn member(
    network: NetworkId,
    operator: &SecretKey,
    (number, region, state): (u8, &str, State),
) -> Signed<Member> {
    let (key, operator_id) = (key(number), operator.operator_id());
    let member = Member {
        network,
        operator: operator_id,
        peer: key.peer_id(),
        consent: Consent::give(&key, network, operator_id, 1),
        sequence: 1,
        state,
        weight: 1,
        zone: format!("zone-{}", number - 1).parse().unwrap(),
        region: region.parse().unwrap(),
        addresses: Vec::new(),
        incarnation: None,
    };
    Signed::sign(member, operator)
}

/// Waits for something that other tasks bring about.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let looking = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}
