//! Serving other devices: sessions on spaces that both are members of.

use cosmic_net::{Incoming, Stream};
use cosmic_runtime::{shutdown::Shutdown, tasks::Group};
use cosmic_sync::door::End;

use super::{
    drive::{Ended, drive},
    opening,
};
use crate::node::Node;

/// Accepts sessions until the shutdown; more than the group holds are refused by closing the stream.
pub async fn serve(node: Node, mut incoming: Incoming, sessions: Group, shutdown: Shutdown) {
    while let Some(Some(stream)) = shutdown.unless(incoming.next()).await {
        let node = node.clone();
        if sessions.spawn(move |shutdown| one(node, stream, shutdown)).is_err() {
            tracing::warn!("too many sessions; another device is sent away");
        }
    }
}

async fn one(node: Node, stream: Stream, shutdown: Shutdown) {
    let peer = stream.peer();
    let (space, opened) = match opening::accept(&node, stream).await {
        Ok(accepted) => accepted,
        Err(error) => {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::info!(peer = %peer.short(), reason, "another device's session was not opened");
            return;
        }
    };
    let _vouch = node.net.vouch(peer);
    match drive(&node, space, opened, false, &shutdown).await {
        Ok(Ended { end: End::Refused(_), .. }) => {
            if let Err(error) = node.net.disconnect(peer).await {
                tracing::debug!(%error, "the peer was gone already");
            }
        }
        Ok(Ended { end, .. }) => {
            tracing::debug!(peer = %peer.short(), ?end, "another device's session ended")
        }
        Err(error) => tracing::warn!(peer = %peer.short(), %error, "another device's session failed"),
    }
}
