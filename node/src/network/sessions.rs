//! Keeping sessions: one task for each space looks for a gateway and fails over to another; one for each device
//! that a ticket named.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cosmic_common::id::{PeerId, SpaceId};
use cosmic_ring::Regions;
use cosmic_runtime::{random, shutdown::Shutdown, tasks::Group};
use cosmic_sync::door::End;
use tokio::sync::broadcast::error::RecvError;

use super::{drive::drive, opening};
use crate::{
    error::Error,
    event::Event,
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
    let mut kept: BTreeSet<(SpaceId, Partner)> = BTreeSet::new();
    loop {
        match wanted(&node).await {
            Ok(wanted) => {
                kept.retain(|pair| wanted.contains(pair));
                for (space, partner) in wanted {
                    if kept.insert((space, partner)) {
                        let node = node.clone();
                        let started = sessions.spawn(move |shutdown| keep(node, space, partner, shutdown));
                        if started.is_err() {
                            tracing::warn!(space = %space.short(), "too many sessions; this one is not kept");
                            kept.remove(&(space, partner));
                        }
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the spaces cannot be read"),
        }
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                event = events.recv() => match event {
                    Ok(Event::Spaces) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}

async fn wanted(node: &Node) -> Result<BTreeSet<(SpaceId, Partner)>, Error> {
    let own = node.context.device.peer();
    node.read(move |connection| {
        let mut wanted = BTreeSet::new();
        for space in space_ids(connection)? {
            wanted.insert((space, Partner::Gateway));
            for peer in space_peers(connection, &space)?.into_keys().filter(|peer| *peer != own) {
                wanted.insert((space, Partner::Device(peer)));
            }
        }
        Ok(wanted)
    })
    .await
}

async fn keep(node: Node, space: SpaceId, partner: Partner, shutdown: Shutdown) {
    let mut pause = PAUSE_FIRST;
    loop {
        let mut online = node.online.subscribe();
        if shutdown.unless(online.wait_for(|online| *online)).await.is_none() {
            return;
        }
        let began = node.clock().monotonic();
        let Some(peer) = choose(&node, space, partner, &shutdown).await else { return };
        match hold(&node, space, partner, peer, &shutdown).await {
            Ok(Some(end)) => {
                tracing::debug!(space = %space.short(), peer = %peer.short(), ?end, "a session ended");
                if !matches!(end, End::Closed) {
                    node.gateways.failed_now(peer, node.clock().now());
                }
            }
            // The space was left.
            Ok(None) => return,
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(space = %space.short(), peer = %peer.short(), reason, "no session");
                node.gateways.failed_now(peer, node.clock().now());
            }
        }
        let lasted = node.clock().monotonic().since(began) >= LASTED;
        pause = if lasted { PAUSE_FIRST } else { (pause * 2).min(PAUSE_MAX) };
        if shutdown.unless(node.clock().sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Whom to try next; waits while no supernode is known.
async fn choose(node: &Node, space: SpaceId, partner: Partner, shutdown: &Shutdown) -> Option<PeerId> {
    let Partner::Device(peer) = partner else {
        let regions = node.regions(space).await.unwrap_or_else(|error| {
            tracing::warn!(space = %space.short(), %error, "the regions of a space cannot be read");
            Arc::new(Regions::ALL)
        });
        let mut ring = node.gateways.watch();
        loop {
            let draw = u64::from_be_bytes(random::bytes());
            if let Some(peer) = node.gateways.pick(&regions, node.clock().now(), draw) {
                return Some(peer);
            }
            if !matches!(shutdown.unless(ring.changed()).await, Some(Ok(()))) {
                return None;
            }
        }
    };
    Some(peer)
}

/// Opens and drives one session; nothing if the space is no longer here.
async fn hold(
    node: &Node,
    space: SpaceId,
    partner: Partner,
    peer: PeerId,
    shutdown: &Shutdown,
) -> Result<Option<End>, opening::Error> {
    if let Partner::Device(peer) = partner {
        let addresses: BTreeMap<PeerId, _> =
            node.read(move |connection| space_peers(connection, &space)).await?;
        if let Some(addresses) = addresses.get(&peer) {
            node.net.add_addresses(peer, addresses).await?;
        }
    }
    let opened = match opening::open(node, space, peer).await {
        Ok(opened) => opened,
        Err(opening::Error::Node(Error::NoSpace { .. })) => return Ok(None),
        Err(error) => return Err(error),
    };
    node.gateways.works(&peer);
    let is_gateway = partner == Partner::Gateway;
    match drive(node, space, opened, is_gateway, shutdown).await {
        Ok(end) => {
            if matches!(end, End::Refused(_)) {
                node.net.disconnect(peer).await?;
            }
            Ok(Some(end))
        }
        Err(Error::NoSpace { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
