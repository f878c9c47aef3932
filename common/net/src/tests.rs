//! What every network must do, held against each of them, and what only sockets can show.

mod circuits;
mod crowd;
mod directory;
mod frames;
mod memory;
mod renewing;
pub(crate) mod sockets;
mod suite;

use std::{sync::Arc, time::Duration};

use cosmic_common::{id::PeerId, protocol::Protocol};
use cosmic_identity::key::SecretKey;

use crate::{Actor, Config, Direction, Event, Events, Handle, Metrics, Options, RefuseAll, bind};

pub(crate) const ECHO: Protocol = Protocol::new("/cosmic/echo/1");
const QUIET: Protocol = Protocol::new("/cosmic/quiet/1");
pub(crate) const BULK_ECHO: Protocol = Protocol::bulk("/cosmic/bulk-echo/1");
const BULK_UNKNOWN: Protocol = Protocol::bulk("/cosmic/bulk-unknown/1");
const UNKNOWN: Protocol = Protocol::new("/cosmic/unknown/1");
/// Nothing here takes long; a test that reaches this has hung.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A peer whose key follows from `seed`, running until its handle is dropped.
async fn start(seed: u8, config: Config) -> Handle {
    let key = SecretKey::from_seed(&[seed; 32]);
    let validator = Arc::new(RefuseAll);
    let metrics = Metrics::default();
    launch(Options { key: &key, config, protocols: &[ECHO, QUIET, BULK_ECHO], validator, metrics }).await
}

pub(crate) async fn launch(options: Options<'_>) -> Handle {
    let (handle, actor) = bind(options).await.unwrap();
    run(actor);
    handle
}

#[expect(clippy::disallowed_methods, reason = "a test has no supervisor; the actor ends with its handles")]
pub(crate) fn run(actor: Actor) {
    tokio::spawn(actor.run(std::future::pending()));
}

async fn connected(events: &mut Events) -> (PeerId, Direction) {
    loop {
        if let Event::Connected { peer, direction, .. } = next(events).await {
            return (peer, direction);
        }
    }
}

pub(crate) async fn disconnected(events: &mut Events) -> PeerId {
    loop {
        if let Event::Disconnected { peer, .. } = next(events).await {
            return peer;
        }
    }
}

async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap()
}
