//! Members, bootstrap nodes, light nodes and liars meet in memory.

mod alone;
mod files;
mod joining;
mod liars;

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use cosmic_common::{address::Address, id::PeerId};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_net::MemoryNetwork;
use cosmic_ring::{Consent, Door, Member, NetworkConfig, State};
use cosmic_runtime::{clock::Clock, tasks::Tasks};
use tempfile::TempDir;

use crate::{
    BootstrapPeer, Config, Error, Handle, Listings, Metrics, NetworkFile, PROTOCOLS, RingView,
    metrics::Ended, start,
};

/// Nothing here takes long; a test that reaches this has hung.
const SOON: Duration = Duration::from_secs(30);

fn key(kind: u8, number: u8) -> SecretKey {
    let mut seed = [kind; 32];
    seed[0] = number;
    SecretKey::from_seed(&seed)
}

fn network_key() -> SecretKey {
    key(1, 0)
}

fn operator(number: u8) -> SecretKey {
    key(2, number)
}

fn supernode(number: u8) -> SecretKey {
    key(3, number)
}

fn door_key() -> SecretKey {
    key(4, 0)
}

/// Version `version` of the network's configuration, with these operators.
fn configuration(version: u64, operators: &[u8]) -> NetworkConfig {
    let operators: BTreeSet<_> = operators.iter().map(|number| operator(*number).operator_id()).collect();
    NetworkConfig { version, operators, partition_bits: 6, ..NetworkConfig::new(&network_key()) }
}

fn signed(configuration: NetworkConfig) -> Signed<NetworkConfig> {
    Signed::sign(configuration, &network_key())
}

/// What operator `number` says about supernode `number`, without knowing its addresses.
fn member(number: u8) -> Signed<Member> {
    member_of(&supernode(number), &operator(number))
}

fn member_of(peer: &SecretKey, operator: &SecretKey) -> Signed<Member> {
    let network = configuration(1, &[]).network();
    let member = Member {
        network,
        operator: operator.operator_id(),
        peer: peer.peer_id(),
        consent: Consent::give(peer, network, operator.operator_id(), 1),
        sequence: 1,
        state: State::Active,
        weight: 1,
        zone: format!("zone-{}", peer.public()[0] % 4).parse().unwrap(),
        region: "here".parse().unwrap(),
        addresses: vec!["/ip4/0.0.0.0/udp/0/quic-v1".parse().unwrap()],
        incarnation: None,
    };
    Signed::sign(member, operator)
}

/// A process in the memory network.
struct Process {
    handle: Handle,
    net: cosmic_net::Handle,
    metrics: Metrics,
    tasks: Tasks,
}

/// A memory network and a directory for the state files.
struct World {
    memory: MemoryNetwork,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        Self { memory: MemoryNetwork::new(), directory: TempDir::new().unwrap() }
    }

    /// Starts the process with `key`, which knocks at `doors`.
    fn start(
        &self,
        key: &SecretKey,
        member: Option<Signed<Member>>,
        serve: bool,
        doors: &[&Process],
    ) -> Process {
        self.try_start(key, member, serve, doors).unwrap()
    }

    fn try_start(
        &self,
        key: &SecretKey,
        member: Option<Signed<Member>>,
        serve: bool,
        doors: &[&Process],
    ) -> Result<Process, Error> {
        self.start_with(key, member, serve, doors, Arc::default())
    }

    /// Starts a process whose judge of the directory can be asked.
    fn start_judged(
        &self,
        key: &SecretKey,
        serve: bool,
        doors: &[&Process],
        listings: Arc<Listings>,
    ) -> Process {
        self.start_with(key, None, serve, doors, listings).unwrap()
    }

    fn start_with(
        &self,
        key: &SecretKey,
        member: Option<Signed<Member>>,
        serve: bool,
        doors: &[&Process],
        listings: Arc<Listings>,
    ) -> Result<Process, Error> {
        let peer = key.peer_id();
        let validator = Arc::clone(&listings);
        let net = self.memory.join(peer, if serve { &PROTOCOLS } else { &[] }, validator);
        let bootstrap =
            doors.iter().map(|door| BootstrapPeer { peer: door.peer(), addresses: door.listening() });
        let network =
            NetworkFile { network: configuration(1, &[]).network(), bootstrap: bootstrap.collect() };
        let state_file = self.state_file(peer);
        let config = Config { network, state_file, member, serve, advertise: Vec::new(), listings };
        let (clock, metrics) = (Clock::system(), Metrics::default());
        let tasks = Tasks::new(clock.clone());
        let handle = start(config, net.clone(), key.clone(), clock, metrics.clone(), &tasks)?;
        Ok(Process { handle, net, metrics, tasks })
    }

    /// Starts a bootstrap node whose configuration admits `operators` and names the node itself.
    fn door(&self, operators: &[u8]) -> Process {
        let door = self.start(&door_key(), None, true, &[]);
        door.handle.apply_config(signed(door.named(configuration(1, operators)))).unwrap();
        door
    }

    fn supernode(&self, number: u8, doors: &[&Process]) -> Process {
        self.start(&supernode(number), Some(member(number)), true, doors)
    }

    fn state_file(&self, peer: PeerId) -> std::path::PathBuf {
        self.path().join(peer.short())
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Ends a process in order.
    async fn stop(&self, process: Process) {
        process.tasks.stop(SOON).await.unwrap();
        self.memory.leave(process.peer());
    }
}

impl Process {
    fn peer(&self) -> PeerId {
        self.net.local_peer()
    }

    fn listening(&self) -> Vec<Address> {
        self.net.listening()
    }

    /// `configuration` with this process as its bootstrap node.
    fn named(&self, configuration: NetworkConfig) -> NetworkConfig {
        NetworkConfig {
            doors: vec![Door { peer: self.peer(), addresses: self.listening() }],
            ..configuration
        }
    }

    /// Waits until what this process knows is as it should be.
    async fn sees(&self, good: impl Fn(&RingView) -> bool) -> Arc<RingView> {
        let mut views = self.handle.view();
        let waited = tokio::time::timeout(SOON, views.wait_for(|view| view.as_deref().is_some_and(&good)));
        waited.await.unwrap().unwrap().clone().unwrap()
    }

    /// Waits until an exchange has ended so.
    async fn counts(&self, outcome: Ended) {
        let waited = async {
            while self.metrics.count(outcome) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, waited).await.unwrap();
    }
}

/// Whether `view` knows where exactly these processes live now.
fn knows(view: &RingView, processes: &[&Process]) -> bool {
    view.atlas.everybody().len() == processes.len()
        && processes.iter().all(|process| view.addresses_of(&process.peer()) == process.listening())
}
