//! Following: the writer of a relayed space keeps up with a replica, and finds another one when that is gone.

use std::{sync::Arc, time::Duration};

use cosmic_common::id::PeerId;
use cosmic_sync::message::Frame;
use futures::FutureExt as _;
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    actor::{Actor, Done, Then},
    error::Error,
    handle::Origin,
    relay::{self, Relay},
};
use crate::replica::client::{self, Pushes};

/// Between two searches for a replica to relay.
pub(super) const SEEK_AGAIN: Duration = Duration::from_secs(1);

impl Actor {
    /// What this supernode owed as a gateway becomes its own when it is a replica.
    pub(super) async fn take_over(&mut self) -> Result<(), Error> {
        let rows = relay::rows(&self.context.store, self.id)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.gathering.delete_forwards(&self.id);
        let entries = rows.into_iter().map(|(_, frame)| frame.into()).collect();
        let (reply, _nobody) = oneshot::channel();
        self.append(entries, Origin::Session(0), reply).await;
        self.cut();
        Ok(())
    }

    /// Entries that the relayed replica has pushed.
    pub(super) async fn follow(&mut self, entries: Vec<Vec<u8>>) -> Then {
        let Some(upstream) = self.relay.as_ref().map(Relay::upstream) else { return Then::GoOn };
        let entries = entries.into_iter().map(|entry| Frame::from(entry).into()).collect();
        let behind = match self.admit(entries, Origin::Supernode(upstream)).await {
            Ok((appended, _)) => appended.stopped.iter().any(|(_, refusal)| refusal.code.is_transient()),
            Err(_) => true,
        };
        if behind {
            self.catch_up();
        }
        Then::GoOn
    }

    /// Fetches what the relayed replica has and this supernode missed.
    fn catch_up(&mut self) {
        let upstream = self.relay.as_ref().map(Relay::upstream);
        let Some(upstream) = upstream.filter(|_| !self.catching_up) else { return };
        self.catching_up = true;
        let (replicas, space, ours) = (self.spaces.replicas().clone(), self.id, self.heads());
        let catching = async move { Done::CaughtUp(relay::catch_up(&replicas, space, upstream, ours).await) };
        self.jobs.push(catching.boxed());
    }

    /// What was missed is here, or the replica does not give it.
    pub(super) async fn caught_up(&mut self, missed: Result<Vec<Vec<u8>>, client::Error>) -> Then {
        self.catching_up = false;
        match missed {
            Ok(entries) if entries.is_empty() => Then::GoOn,
            Ok(entries) => self.follow(entries).await,
            Err(error) => {
                debug!(space = %self.id.short(), "what a replica has cannot be followed: {error}");
                self.seek_upstream(SEEK_AGAIN)
            }
        }
    }

    /// The relayed replica is gone: looks for another one. Sessions go on, and what they bring is owed.
    pub(super) fn seek_upstream(&mut self, wait: Duration) -> Then {
        if let Some(relay) = &mut self.relay {
            relay.lose();
        }
        let (context, replicas, space) = (Arc::clone(&self.context), self.spaces.replicas().clone(), self.id);
        let seeking = async move {
            context.clock.sleep(wait).await;
            Done::Sought(relay::seek(&context, &replicas, space).await)
        };
        self.jobs.push(seeking.boxed());
        Then::GoOn
    }

    /// Another replica lets itself be followed, or none does.
    pub(super) fn sought(&mut self, sought: Result<(PeerId, Pushes), client::Error>) -> Then {
        match (&mut self.relay, sought) {
            (Some(relay), Ok((upstream, pushes))) => {
                relay.turn_to(upstream, pushes);
                self.catch_up();
                Then::GoOn
            }
            (Some(_), Err(error)) => {
                debug!(space = %self.id.short(), "no replica can be relayed: {error}");
                self.seek_upstream(SEEK_AGAIN)
            }
            (None, _) => Then::GoOn,
        }
    }
}

/// The next push of the relayed replica; never, if none is followed.
pub(super) async fn pushed(relay: &mut Option<Relay>) -> Option<Vec<Vec<u8>>> {
    match relay.as_mut().and_then(|relay| relay.pushes.as_mut()) {
        Some(pushes) => pushes.recv().await,
        None => std::future::pending().await,
    }
}
