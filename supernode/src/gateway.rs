//! `/cosmic/space/1`: devices open a space here, prove their right, and sync it.
//!
//! ```text
//! stream ── Challenge ──▶ ◀── Open ── proof holds? ── Opened ──▶ session: the sync machine over the space's writer
//!                                        └── no: Refused, the stream ends
//! ```

mod driver;
mod opening;
mod reading;
mod report;

use cosmic_common::protocol;
use cosmic_common::record::Record as _;
use cosmic_custody::message::{
    refusal::{Refusal, RefusalCode},
    space::SpaceFrame,
};
use cosmic_net::{Incoming, Stream};
use cosmic_runtime::shutdown::Shutdown;
use tracing::debug;

use self::{driver::Driver, opening::open};
use crate::{metrics::Why, packs::Packs, session::Door, spaces::Spaces};

/// What devices are told when this supernode is drained or retired.
const LEAVING: &str = "this supernode is about to leave; open the space at another one";

/// Takes over the streams of `/cosmic/space/1` and `/cosmic/gateway/1`.
///
/// # Errors
/// If somebody takes them already.
pub fn start(spaces: &Spaces, packs: &Packs) -> Result<(), cosmic_net::Error> {
    report::start(spaces.context())?;
    let incoming = spaces.context().net.accept(protocol::SPACE)?;
    let (spaces, packs) = (spaces.clone(), packs.clone());
    spaces.context().tasks.clone().spawn("gateway", |stop| serve(spaces, packs, incoming, stop));
    Ok(())
}

async fn serve(spaces: Spaces, packs: Packs, mut incoming: Incoming, stop: Shutdown) {
    let max = spaces.context().limits.sessions_max;
    let sessions = spaces.context().tasks.group("sessions", max);
    let refusals = spaces.context().tasks.group("refused sessions", max);
    let door = spaces.context().sessions.door();
    while let Some(Some(stream)) = stop.unless(incoming.next()).await {
        let is_open = *door.borrow() == Door::Open;
        if is_open && sessions.len() < max {
            let (spaces, packs) = (spaces.clone(), packs.clone());
            if sessions.spawn(|stop| session(spaces, packs, stream, stop)).is_err() {
                debug!("a stream was dropped because sessions end");
            }
        } else {
            spaces.context().metrics.sessions_sent_away.inc();
            let refusal = if is_open {
                Refusal::new(RefusalCode::Busy, "as many sessions as this supernode takes are open")
            } else {
                Refusal::new(RefusalCode::Stopping, LEAVING)
            };
            let told = refusals
                .spawn(|stop| async move { stop.unless(refuse(stream, refusal)).await.unwrap_or(()) });
            if told.is_err() {
                debug!("a stream was dropped because too many are refused");
            }
        }
    }
}

async fn session(spaces: Spaces, packs: Packs, mut stream: Stream, stop: Shutdown) {
    let peer = stream.peer();
    let context = spaces.context().clone();
    match stop.unless(open(&spaces, &mut stream)).await {
        Some(Ok(opened)) => {
            context.metrics.sessions.inc();
            let driver = Driver::new(&spaces, packs, opened, stream);
            if let Err(error) = driver.run(stop).await {
                debug!(peer = %peer.short(), "a session ended: {error}");
            }
            context.metrics.sessions.dec();
        }
        Some(Err(opening::Error::Refused(refusal))) => {
            debug!(peer = %peer.short(), "a session was refused: {refusal}");
            context.metrics.refused_session(Why::of(refusal.code));
            refuse(stream, refusal).await;
        }
        Some(Err(opening::Error::Lied { offence, refusal })) => {
            debug!(peer = %peer.short(), ?offence, "a session was refused: {refusal}");
            context.metrics.refused_session(Why::of(refusal.code));
            refuse(stream, refusal).await;
            // A peer that is kept out from now on has heard why.
            context.net.offence(peer, offence);
        }
        Some(Err(opening::Error::Net(error))) => {
            debug!(peer = %peer.short(), "no session came about: {error}")
        }
        None => refuse(stream, Refusal::new(RefusalCode::Stopping, "this supernode is shutting down")).await,
    }
}

/// Says why, and ends the stream; a peer that is gone need not hear it.
async fn refuse(mut stream: Stream, refusal: Refusal) {
    let sent = stream.send(&SpaceFrame::Refused(refusal).to_bytes()).await;
    if sent.is_ok() {
        drop(stream.close().await);
    }
}
