//! Choosing a gateway: some are asked at once how they are, and the best of those that answer soon is taken.

use std::{sync::Arc, time::Duration};

use cosmic_common::{
    id::{PeerId, SpaceId},
    protocol::GATEWAY,
    record::Record as _,
};
use cosmic_custody::message::refusal::{Refusal, RefusalCode};
use cosmic_net::{Error as NetError, within};
use cosmic_ring::{
    Candidate, GatewayReport, Regions,
    gateway::{Seen, choose},
};
use cosmic_runtime::{random, shutdown::Shutdown};
use futures::{StreamExt as _, stream::FuturesUnordered};

use crate::node::Node;

/// How long a gateway may take to be reached and to answer; after it another one is tried.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// How much longer than the first to answer others may take: a device that waits for the far ones waits for nothing.
const LINGER: Duration = Duration::from_millis(150);
/// How long one that leaves may take to say where to go: it is connected, and others can be found without it.
const ADVICE_PATIENCE: Duration = Duration::from_secs(1);

/// The gateway to try next for `space`, one of `advised` if that can be; waits while no supernode is known. Nothing at the
/// shutdown.
pub(super) async fn gateway(
    node: &Node,
    space: SpaceId,
    advised: &[PeerId],
    shutdown: &Shutdown,
) -> Option<PeerId> {
    let regions = node.regions(space).await.unwrap_or_else(|error| {
        tracing::warn!(space = %space.short(), %error, "the regions of a space cannot be read");
        Arc::new(Regions::ALL)
    });
    let mut ring = node.gateways.watch();
    loop {
        ring.mark_unchanged();
        let drawn = node.gateways.draw(&regions, advised, node.clock().now(), &random::seed());
        match drawn.as_slice() {
            [] => match shutdown.unless(ring.changed()).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => return None,
            },
            [only] => return Some(only.peer),
            some => {
                let seen = shutdown.unless(ask_all(node, some)).await?;
                // Whoever did not answer is tried all the same when nobody did: opening a session says why it fails.
                return choose(&seen).or_else(|| some.first().map(|first| first.peer));
            }
        }
    }
}

/// What those of `drawn` say that answer soon.
async fn ask_all(node: &Node, drawn: &[Candidate]) -> Vec<Seen> {
    let mut asked: FuturesUnordered<_> = drawn.iter().map(|candidate| ask(node, *candidate)).collect();
    let mut seen = Vec::new();
    let mut until = node.clock().monotonic().after(ANSWER_PATIENCE);
    while let Some(Some(answer)) =
        node.clock().timeout(until.since(node.clock().monotonic()), asked.next()).await
    {
        if let Some(answer) = answer {
            until = until.min(node.clock().monotonic().after(LINGER));
            seen.push(answer);
        }
    }
    seen
}

/// What `candidate` says of itself, now or a moment ago. One that cannot be reached is passed over for a while.
async fn ask(node: &Node, candidate: Candidate) -> Option<Seen> {
    if let Some(seen) = node.gateways.fresh(&candidate.peer, node.clock().now()) {
        return Some(seen);
    }
    let seen = match report(node, candidate.peer).await {
        Ok((report, round_trip)) => Seen { candidate, round_trip: Some(round_trip), report: Some(report) },
        // One of an earlier version is a gateway all the same.
        Err(NetError::Unsupported { .. }) => Seen { candidate, round_trip: None, report: None },
        Err(error) => {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::debug!(peer = %candidate.peer.short(), reason, "a gateway does not say how it is");
            node.gateways.failed_now(candidate.peer, node.clock().now());
            return None;
        }
    };
    node.gateways.note(seen.clone(), node.clock().now());
    Some(seen)
}

/// The report of `peer`, and how long it took once the stream was open.
async fn report(node: &Node, peer: PeerId) -> Result<(GatewayReport, Duration), NetError> {
    let mut stream = node.net.open(peer, GATEWAY, ANSWER_PATIENCE).await?;
    let began = node.clock().monotonic();
    let frame =
        within("asking a gateway how it is", ANSWER_PATIENCE, stream.recv(GatewayReport::LIMIT)).await?;
    let round_trip = node.clock().monotonic().since(began);
    let report = frame.and_then(|frame| GatewayReport::from_bytes(&frame).ok());
    Ok((report.ok_or(NetError::Truncated { peer })?, round_trip))
}

/// Whether a gateway that refuses so would rather see this device at another one.
pub(super) const fn sends_away(refusal: &Refusal) -> bool {
    matches!(refusal.code, RefusalCode::Stopping | RefusalCode::Busy)
}

/// Where a gateway that is about to leave sends this device.
pub(super) async fn advice(node: &Node, peer: PeerId) -> Vec<PeerId> {
    let asked = within("asking where to go", ADVICE_PATIENCE, report(node, peer));
    match asked.await {
        Ok((report, _round_trip)) => report.alternatives,
        Err(error) => {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::debug!(peer = %peer.short(), reason, "a gateway that leaves does not say where to go");
            Vec::new()
        }
    }
}
