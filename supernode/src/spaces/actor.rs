//! The writer of one space: takes commands, gathers what is to be written, signs for what is written.
//!
//! ```text
//! loading ──▶ serving ◀─▶ one batch flies, the next one gathers
//!    │           │ a batch failed, the role changed, stop, or nobody needs it
//!    └───────────┴──▶ ended: the next caller loads the space anew from what is durable
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cosmic_common::id::{PeerId, SpaceId};
use cosmic_custody::Promise;
use cosmic_runtime::shutdown::Shutdown;
use cosmic_space::session::{Expected, Session, SessionProof, verify_session};
use cosmic_identity::signed::Signed;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{broadcast, mpsc};
use tracing::{debug, warn};

use super::{
    Spaces,
    append::{Flying, Gathering, Waiter},
    courier::{Courier, Delivered},
    disk,
    error::Error,
    handle::{Challenge, Command, EVENTS_MAX, Event, Opened},
    state::State,
};
use crate::{context::Context, duty, source::Source};

/// A space that nobody used for so long goes to rest.
const REST_AFTER: Duration = Duration::from_secs(120);

/// Work of the actor that came to its end.
#[derive(Debug)]
pub(super) enum Done {
    /// The batch under way is durable, or not.
    Written(Result<(), cosmic_store::Error>),
    /// Another replica answered, or not.
    Delivered(PeerId, Delivered),
    /// A replica that did not answer may be tried again.
    RetryDue(PeerId),
}

/// The writer of one space.
pub(super) struct Actor {
    pub(super) spaces: Spaces,
    pub(super) context: Arc<Context>,
    pub(super) id: SpaceId,
    inbox: mpsc::Receiver<Command>,
    events: broadcast::Sender<Event>,
    pub(super) state: State,
    pub(super) gathering: Gathering,
    pub(super) flying: Option<Flying>,
    pub(super) jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(super) couriers: BTreeMap<PeerId, Courier>,
}

/// Whether the actor goes on.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl Actor {
    pub(super) fn new(spaces: Spaces, id: SpaceId, inbox: mpsc::Receiver<Command>) -> Self {
        let context = Arc::clone(spaces.context());
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let gathering = Gathering::new(context.store.batch());
        let state = State::new(id, cosmic_custody::Usage::default(), context.limits.quota);
        let (jobs, couriers) = (FuturesUnordered::new(), BTreeMap::new());
        Self { spaces, context, id, inbox, events, state, gathering, flying: None, jobs, couriers }
    }

    pub(super) async fn run(mut self, stop: Shutdown) {
        match self.load().await {
            Ok(()) => self.serve(stop).await,
            Err(error) => warn!(space = %self.id.short(), "a space cannot be loaded: {}", sentence(&error)),
        }
        self.spaces.remove(&self.id);
    }

    async fn load(&mut self) -> Result<(), Error> {
        let (context, id) = (Arc::clone(&self.context), self.id);
        let loading = tokio::task::spawn_blocking(move || disk::load(&context, id));
        self.state = loading.await.map_err(|_stopped| Error::Closed)??;
        Ok(())
    }

    async fn serve(&mut self, stop: Shutdown) {
        let mut ring = self.context.ring.clone();
        let clock = self.context.clock.clone();
        let mut rest_at = clock.monotonic().after(REST_AFTER);
        loop {
            let then = tokio::select! {
                biased;
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done),
                command = self.inbox.recv() => match command {
                    Some(command) => {
                        rest_at = clock.monotonic().after(REST_AFTER);
                        self.command(command).await
                    }
                    None => Then::End,
                },
                changed = ring.changed() => if changed.is_ok() { self.ring_changed() } else { Then::End },
                () = stop.triggered(), if self.flying.is_none() => Then::End,
                () = clock.sleep_until(rest_at) => {
                    rest_at = clock.monotonic().after(REST_AFTER);
                    self.rest()
                }
            };
            if then == Then::End {
                return;
            }
            self.cut();
        }
    }

    async fn command(&mut self, command: Command) -> Then {
        match command {
            Command::Append { entries, origin, reply } => self.append(entries, origin, reply).await,
            Command::Open { reply } => {
                self.meet_replicas();
                let opened = Opened {
                    heads: self.state.heads(),
                    events: self.events.subscribe(),
                    source: Source::Local { space: self.id, store: self.context.store.clone() },
                };
                drop(reply.send(Ok(opened)));
            }
            Command::Heads { reply } => drop(reply.send(Ok(self.state.heads()))),
            Command::Authorise { proof, challenge, reply } => {
                drop(reply.send(self.authorise(&proof, challenge).map_err(Error::from)));
            }
            Command::Recheck { session, reply } => drop(reply.send(self.recheck(&session).map_err(Error::from))),
            Command::Attest { logs, everywhere, reply } => self.attest(logs, everywhere, reply),
            Command::Settle { reply } => self.gathering.waiters.push(Waiter::Settle(reply)),
            Command::Reconcile { peer, reply } => self.reconcile_for(peer, reply),
            Command::Rest => return self.rest(),
        }
        Then::GoOn
    }

    fn done(&mut self, done: Done) -> Then {
        match done {
            Done::Written(Ok(())) => self.landed(),
            Done::Written(Err(error)) => {
                self.crashed(&error);
                return Then::End;
            }
            Done::Delivered(peer, delivered) => self.delivered(peer, delivered),
            Done::RetryDue(peer) => self.retry(peer),
        }
        Then::GoOn
    }

    /// Ends if nobody holds a handle and nothing is under way.
    fn rest(&self) -> Then {
        let idle = self.flying.is_none() && self.gathering.is_empty() && self.jobs.is_empty();
        if idle && self.spaces.retire(&self.id, &self.inbox) {
            debug!(space = %self.id.short(), "a space goes to rest");
            return Then::End;
        }
        Then::GoOn
    }

    fn ring_changed(&mut self) -> Then {
        if !self.couriers.is_empty() {
            self.meet_replicas();
        }
        Then::GoOn
    }

    fn authorise(
        &mut self,
        proof: &Signed<SessionProof>,
        challenge: Challenge,
    ) -> Result<Session, cosmic_space::refusal::Refusal> {
        let expected = Expected {
            client: challenge.client,
            server: self.context.peer,
            nonce: challenge.nonce,
            protocol: cosmic_custody::message::space::PROTOCOL,
        };
        let session = verify_session(&self.state.membership, proof, &expected, self.context.clock.now())?;
        if let Some(genesis) = proof.unverified().genesis.as_ref().filter(|_| self.state.membership.genesis().is_none()) {
            // The root itself opened a space that was never seen here: its first entries will follow.
            self.state.membership.found(genesis)?;
        }
        Ok(session)
    }

    fn recheck(&self, session: &Session) -> Result<(), cosmic_space::refusal::Refusal> {
        match &session.delegation {
            Some(delegation) => self.state.membership.standing_delegation(delegation, &session.key).map(drop),
            None => Ok(()),
        }
    }

    /// Tells whoever listens.
    pub(super) fn tell(&self, event: Event) {
        // Without listeners there is nobody to tell.
        drop(self.events.send(event));
    }

    pub(super) fn has_listeners(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// What a receipt of this supernode promises for the space, by the ring as it is now.
    pub(super) fn promise(&self) -> Promise {
        if duty::replicas(&self.context.ring_view(), &self.id).contains(&self.context.peer) {
            Promise::Keeps
        } else {
            Promise::Forwards
        }
    }
}

/// An error with its causes, as one line of a log.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}
