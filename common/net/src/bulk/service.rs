//! What the actor runs of the plane: others come in, are told the port, and are served.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use quinn::{Endpoint, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{AVOID, Chore, PATIENCE, Shared, hello, link::Link, links::Place, tls};
use crate::{
    config::Config,
    error::Error,
    event::Direction,
    guard::{Origin, Phase, Visit},
    incoming::{Incoming, Inlets},
    stream::Stream,
};

/// The service; [`step`](Self::step) is called again and again.
pub(crate) struct Service {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    inlets: Inlets,
    idle: Duration,
    /// Handshakes that may be under way.
    handshakes: Arc<Semaphore>,
    /// From this many on, who comes has to show that its address is its own.
    wary_below: usize,
    introductions: Option<Incoming>,
    queue: mpsc::Receiver<Chore>,
    chores: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Service {
    pub(super) fn new(
        shared: Arc<Shared>,
        endpoint: Endpoint,
        config: &Config,
        inlets: Inlets,
        (introductions, queue): (Option<Incoming>, mpsc::Receiver<Chore>),
    ) -> Self {
        let pending =
            usize::try_from(config.pending_in_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            shared,
            endpoint,
            inlets,
            idle: config.idle_timeout(),
            handshakes: Arc::new(Semaphore::new(pending)),
            wary_below: pending / 2,
            introductions,
            queue,
            chores: FuturesUnordered::new(),
        }
    }

    /// Does the next thing there is to do. Safe to cancel.
    pub(crate) async fn step(&mut self) {
        let introduced = async {
            match &mut self.introductions {
                Some(introductions) => introductions.next().await,
                None => None,
            }
        };
        tokio::select! {
            Some(incoming) = self.endpoint.accept() => self.on_incoming(incoming),
            Some(stream) = introduced => self.chores.push(Box::pin(introduce(Arc::clone(&self.shared), stream))),
            Some(chore) = self.queue.recv() => self.on_chore(chore),
            Some(()) = self.chores.next() => {}
            else => std::future::pending().await,
        }
    }

    /// Ends every connection, and waits until the peers have heard of it.
    pub(crate) async fn close(self, patience: Duration) {
        let Self { shared, endpoint, .. } = self;
        shared.links.close_all();
        endpoint.close(VarInt::from_u32(0), b"goodbye");
        drop(shared.endpoint.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        if tokio::time::timeout(patience, endpoint.wait_idle()).await.is_err() {
            tracing::debug!("some bulk connections did not close in time");
        }
    }

    fn on_incoming(&self, incoming: quinn::Incoming) {
        let guard = self.inlets.guard();
        let origin = Origin::of(incoming.remote_address().ip());
        if guard.is_banned(origin) {
            // An answer would be wasted on it, or hit whoever's address it uses.
            return incoming.ignore();
        }
        let wary = self.handshakes.available_permits() < self.wary_below || guard.is_pressed();
        if wary && incoming.may_retry() {
            self.shared.metrics.retried();
            if incoming.retry().is_err() {
                tracing::trace!("a bulk connection was validated before");
            }
            return;
        }
        // Only an address that was validated is known to be the sender's, and counts.
        let validated = incoming.remote_address_validated();
        let Ok(visit) = validated.then(|| guard.admit(origin, Phase::Pending)).transpose() else {
            return incoming.refuse();
        };
        match Arc::clone(&self.handshakes).try_acquire_owned() {
            Ok(permit) => {
                let permit = (permit, visit);
                let (shared, inlets, idle) = (Arc::clone(&self.shared), self.inlets.clone(), self.idle);
                self.chores.push(Box::pin(async move {
                    let Some(link) = welcome(incoming, permit).await else { return };
                    let peer = link.peer;
                    let Some(place) = shared.links.admit(link) else {
                        tracing::debug!(peer = %peer.short(), "refused a bulk connection: too many, or no leash");
                        return;
                    };
                    serve(&shared, place, &inlets, idle, std::future::pending()).await;
                }));
            }
            Err(_full) => incoming.refuse(),
        }
    }

    fn on_chore(&self, chore: Chore) {
        let shared = Arc::clone(&self.shared);
        match chore {
            Chore::Serve(place, mut leash) => {
                let (inlets, idle) = (self.inlets.clone(), self.idle);
                self.chores.push(Box::pin(async move {
                    // Nothing comes on a leash but its end.
                    let ended = async { drop(leash.recv(0).await) };
                    serve(&shared, place, &inlets, idle, ended).await;
                }));
            }
            Chore::Forgive(peer) => self.chores.push(Box::pin(async move {
                tokio::time::sleep(AVOID).await;
                shared.links.forgive(&peer);
            })),
        }
    }
}

/// The handshake of somebody who dialed.
async fn welcome(incoming: quinn::Incoming, _permit: (OwnedSemaphorePermit, Option<Visit>)) -> Option<Link> {
    let from = incoming.remote_address();
    let refused = |cause: &dyn std::fmt::Display| tracing::debug!(%from, %cause, "refused a bulk connection");
    let connecting = incoming.accept().map_err(|cause| refused(&cause)).ok()?;
    let connected = tokio::time::timeout(PATIENCE, connecting).await.map_err(|cause| refused(&cause)).ok()?;
    let connection = connected.map_err(|cause| refused(&cause)).ok()?;
    let peer = tls::peer_of(&connection)?;
    Some(Link::new(peer, Direction::Inbound, connection))
}

async fn serve(
    shared: &Shared,
    place: Place,
    inlets: &Inlets,
    idle: Duration,
    leash: impl Future<Output = ()>,
) {
    shared.metrics.bulk_connected();
    place.link.serve(inlets, idle, leash).await;
    shared.metrics.bulk_disconnected();
}

/// Tells a peer the port, and lets it in as long as it keeps the stream.
async fn introduce(shared: Arc<Shared>, mut stream: Stream) {
    let Some(address) = shared.address else { return };
    let Some(_leash) = shared.links.leash(stream.peer()) else { return };
    let told = async {
        stream.send(&hello::port(address.port())).await?;
        stream.recv(0).await.map(drop)
    };
    let ended: Result<(), Error> = told.await;
    if let Err(cause) = ended {
        tracing::trace!(peer = %stream.peer().short(), %cause, "a leash ended");
    }
}
