//! Starting: the state file is read, and the driver, the keeper and the served protocols become tasks.

use std::{path::PathBuf, sync::Arc};

use cosmic_common::{
    address::Address,
    protocol::{self, Protocol},
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_net::{Handle as Net, Incoming, Stream};
use cosmic_ring::Member;
use cosmic_runtime::{
    clock::Clock,
    shutdown::Shutdown,
    tasks::{Group, Tasks},
};

use crate::{
    Error, Handle, Listings, Metrics, NetworkFile, directory_file, driver::Driver, keeper, ledger::Ledger,
    link::Link, state::State,
};

/// What a serving process has to name among the protocols of its network.
pub const PROTOCOLS: [Protocol; 2] = [protocol::NETWORK, protocol::RING];
/// Exchanges of others that are answered at once; more are turned away and try again.
pub(crate) const SERVED_MAX: usize = 64;
/// Newcomers that are answered at once. An answer is of one size however large the ring is, and names others to go on with, so
/// that a door that has no time for exchanges still lets everybody in.
const NEWCOMERS_MAX: usize = 256;

/// What a process brings to its network.
#[derive(Debug)]
pub struct Config {
    /// The network and its bootstrap nodes.
    pub network: NetworkFile,
    /// Where to keep what is known.
    pub state_file: PathBuf,
    /// What the operator of this process says of it, if it is a supernode.
    pub member: Option<Signed<Member>>,
    /// Whether to answer others and to stay connected to them: supernodes and bootstrap nodes do.
    pub serve: bool,
    /// Addresses to tell others instead of those listened on.
    pub advertise: Vec<Address>,
    /// The judge of the directory's records, which the network was given.
    pub listings: Arc<Listings>,
}

/// Joins the network of `config` as the holder of `key`, and works until `tasks` end.
///
/// # Errors
/// [`Error`] if the state file cannot be used, the member record is not valid, or the protocols are not free.
pub fn start(
    config: Config,
    net: Net,
    key: SecretKey,
    clock: Clock,
    metrics: Metrics,
    tasks: &Tasks,
) -> Result<Handle, Error> {
    let Config { network, state_file, member, serve, advertise, listings } = config;
    let kept = State::read(&state_file, network.network)?;
    let ledger = Arc::new(Ledger::new(network.network, key, clock.clone(), metrics.clone(), kept)?);
    for door in &network.bootstrap {
        ledger.add_door(door.peer, &door.addresses);
    }
    if let Some(member) = member {
        ledger.announce(member)?;
    }
    listings.begin(Arc::clone(&ledger));
    let (directory, directory_file, timing) =
        (net.clone(), state_file.with_extension("directory"), clock.clone());
    tasks.spawn("directory keeper", |shutdown| {
        directory_file::run(directory, directory_file, timing, shutdown)
    });
    let (keeping, timing) = (Arc::clone(&ledger), clock.clone());
    tasks.spawn("membership keeper", |shutdown| keeper::run(keeping, state_file, timing, shutdown));
    let link = Arc::new(Link::new(net, Arc::clone(&ledger), clock, metrics));
    if serve {
        let group = tasks.group("membership newcomers", NEWCOMERS_MAX);
        let (joiners, comparers) = (link.net.accept(protocol::NETWORK)?, link.net.accept(protocol::RING)?);
        let (answering, comparing) = (Arc::clone(&link), Arc::clone(&link));
        let compare_group = tasks.group("membership answers", SERVED_MAX);
        tasks.spawn("membership joiners", |shutdown| {
            serve_streams(joiners, group, shutdown, move |stream| {
                let link = Arc::clone(&answering);
                async move { link.answer_network(stream).await }
            })
        });
        tasks.spawn("membership comparers", |shutdown| {
            serve_streams(comparers, compare_group, shutdown, move |stream| {
                let link = Arc::clone(&comparing);
                async move { link.answer_exchange(stream).await }
            })
        });
    }
    tasks.spawn("membership driver", |shutdown| Driver::new(link, serve, advertise).run(shutdown));
    Ok(Handle::new(ledger))
}

/// Answers each stream in a task of its own; with too many under way it is dropped, which its opener sees.
async fn serve_streams<F>(
    mut incoming: Incoming,
    group: Group,
    shutdown: Shutdown,
    answer: impl Fn(Stream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(Some(stream)) = shutdown.unless(incoming.next()).await {
        let work = answer(stream);
        let started = group.spawn(|stop| async move {
            stop.unless(work).await;
        });
        if started.is_err() {
            tracing::debug!("too many exchanges at once; one was turned away");
        }
    }
}
