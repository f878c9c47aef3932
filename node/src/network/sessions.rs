//! Keeping sessions: one task for each space looks for a gateway and fails over to another; one for each device
//! that a ticket named.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::id::{PeerId, SpaceId};
use cosmic_runtime::{clock::Monotonic, shutdown::Shutdown, tasks::Group};
use cosmic_sync::door::End;

use super::{
    choosing,
    drive::{Ended, drive},
    meeting, opening,
};
use crate::{
    error::Error,
    event::{self, Event},
    node::{Node, space_ids, space_peers},
};

/// The first pause after a failure, doubled each time.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A session that lasted this long begins again without a pause.
const LASTED: Duration = Duration::from_secs(10);

/// With whom a task keeps a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Partner {
    /// Any supernode.
    Gateway,
    /// This device.
    Device(PeerId),
}

/// Starts tasks for spaces and devices as they come; a task ends by itself when its space is left.
pub async fn keep_all(node: Node, sessions: Group, shutdown: Shutdown) {
    let mut events = node.context.events.subscribe();
    let mut met = node.meetings.watch();
    let kept = Kept::default();
    loop {
        met.mark_unchanged();
        match wanted(&node).await {
            Ok(wanted) => {
                for (space, partner) in wanted {
                    let Some(place) = kept.take((space, partner)) else { continue };
                    let node = node.clone();
                    let started = sessions.spawn(move |shutdown| async move {
                        keep(node, space, partner, shutdown).await;
                        drop(place);
                    });
                    if started.is_err() {
                        tracing::warn!(space = %space.short(), "too many sessions; this one is not kept");
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the spaces cannot be read"),
        }
        let moved = async {
            tokio::select! {
                changed = met.changed() => changed.is_ok(),
                moved = event::told(&mut events, |event| matches!(event, Event::Spaces)) => moved,
            }
        };
        if shutdown.unless(moved).await != Some(true) {
            return;
        }
    }
}

/// Which sessions have a task; a place is given back when its task ends.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<BTreeSet<(SpaceId, Partner)>>>);

#[derive(Debug)]
struct Place(Kept, (SpaceId, Partner));

impl Kept {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<(SpaceId, Partner)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, pair: (SpaceId, Partner)) -> Option<Place> {
        self.lock().insert(pair).then(|| Place(self.clone(), pair))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

async fn wanted(node: &Node) -> Result<BTreeSet<(SpaceId, Partner)>, Error> {
    let own = node.context.device.peer();
    let told = node.read(move |connection| {
        let mut wanted = BTreeSet::new();
        for space in space_ids(connection)? {
            wanted.insert((space, Partner::Gateway));
            for peer in space_peers(connection, &space)?.into_keys().filter(|peer| *peer != own) {
                wanted.insert((space, Partner::Device(peer)));
            }
        }
        Ok(wanted)
    });
    let mut wanted = told.await?;
    let spaces: BTreeSet<SpaceId> = wanted.iter().map(|(space, _)| *space).collect();
    for space in spaces {
        // With those that found this device first, sessions stand already.
        let met =
            meeting::chosen(node, &space).into_iter().filter(|device| !has_session(node, &space, device));
        wanted.extend(met.map(|device| (space, Partner::Device(device))));
    }
    Ok(wanted)
}

fn has_session(node: &Node, space: &SpaceId, device: &PeerId) -> bool {
    node.sessions.devices(space).iter().any(|(known, _)| known == device)
}

/// Whether a task has still somebody to keep a session with. A space may have been left, and a device that was met be gone.
async fn is_wanted(node: &Node, space: SpaceId, partner: Partner) -> bool {
    let told = node.read(move |connection| {
        if !space_ids(connection)?.contains(&space) {
            return Ok(None);
        }
        Ok(Some(match partner {
            Partner::Gateway => true,
            Partner::Device(device) => space_peers(connection, &space)?.contains_key(&device),
        }))
    });
    match (told.await, partner) {
        (Ok(Some(false)), Partner::Device(device)) => is_met(node, &space, &device),
        (Ok(told), _) => told.unwrap_or(false),
        (Err(_unreadable), _) => true,
    }
}

/// Whether `device` was met, and no session with it stands yet.
fn is_met(node: &Node, space: &SpaceId, device: &PeerId) -> bool {
    meeting::chosen(node, space).contains(device) && !has_session(node, space, device)
}

async fn keep(node: Node, space: SpaceId, partner: Partner, shutdown: Shutdown) {
    let mut pause = PAUSE_FIRST;
    // Where the last gateway sent this device, and since when there is none.
    let (mut advised, mut without) = (Vec::new(), None);
    loop {
        let mut online = node.online.subscribe();
        if shutdown.unless(online.wait_for(|online| *online)).await.is_none() {
            return;
        }
        if !is_wanted(&node, space, partner).await {
            return;
        }
        let began = node.clock().monotonic();
        let peer = match partner {
            Partner::Device(peer) => peer,
            Partner::Gateway => match choosing::gateway(&node, space, &advised, &shutdown).await {
                Some(peer) => peer,
                None => return,
            },
        };
        let mut sent_away = false;
        match hold(&node, space, partner, peer, &mut without, &shutdown).await {
            Ok(Some(ended)) => {
                tracing::debug!(space = %space.short(), peer = %peer.short(), ?ended, "a session ended");
                sent_away = ended.sent_away;
                without = (!matches!(ended.end, End::Closed)).then(|| node.clock().monotonic());
                if without.is_some() {
                    node.gateways.failed_now(peer, node.clock().now());
                }
            }
            // The space was left.
            Ok(None) => return,
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(space = %space.short(), peer = %peer.short(), reason, "no session");
                node.gateways.failed_now(peer, node.clock().now());
                advised.clear();
                if partner != Partner::Gateway {
                    node.meetings.wish();
                }
            }
        }
        if sent_away && partner == Partner::Gateway {
            let Some(named) = shutdown.unless(choosing::advice(&node, peer)).await else { return };
            advised = named;
            continue;
        }
        let lasted = node.clock().monotonic().since(began) >= LASTED;
        pause = if lasted { PAUSE_FIRST } else { (pause * 2).min(PAUSE_MAX) };
        // Where the way to others has changed, whoever was not reached may be now.
        let mut way = node.net.watch_listening();
        way.mark_unchanged();
        let rested = async {
            tokio::select! {
                () = node.clock().sleep(pause) => false,
                changed = way.changed() => changed.is_ok(),
            }
        };
        match shutdown.unless(rested).await {
            Some(true) => pause = PAUSE_FIRST,
            Some(false) => {}
            None => return,
        }
    }
}

/// Opens and drives one session; nothing if the space is no longer here, or the process ends.
async fn hold(
    node: &Node,
    space: SpaceId,
    partner: Partner,
    peer: PeerId,
    without: &mut Option<Monotonic>,
    shutdown: &Shutdown,
) -> Result<Option<Ended>, opening::Error> {
    if let Partner::Device(peer) = partner {
        let addresses: BTreeMap<PeerId, _> =
            node.read(move |connection| space_peers(connection, &space)).await?;
        let met = node.meetings.of(&space);
        for addresses in [addresses.get(&peer), met.get(&peer)].into_iter().flatten() {
            node.net.add_addresses(peer, addresses).await?;
        }
    }
    // A gateway that died without a word is waited for longer than a process may take to end.
    let opened = match shutdown.unless(opening::open(node, space, peer)).await {
        Some(Ok(opened)) => opened,
        None | Some(Err(opening::Error::Node(Error::NoSpace { .. }))) => return Ok(None),
        Some(Err(error)) => return Err(error),
    };
    node.gateways.works(&peer);
    let is_gateway = partner == Partner::Gateway;
    if let Some(since) = without.take().filter(|_since| is_gateway) {
        node.metrics.rehoming_seconds.observe(node.clock().monotonic().since(since).as_secs_f64());
    }
    match drive(node, space, opened, is_gateway, shutdown).await {
        Ok(ended) => {
            if matches!(ended.end, End::Refused(_)) {
                node.net.disconnect(peer).await?;
            }
            Ok(Some(ended))
        }
        Err(Error::NoSpace { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
