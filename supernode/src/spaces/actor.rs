//! The writer of one space: takes commands, gathers what is to be written, signs for what is written.
//!
//! ```text
//! loading ──▶ serving ◀─▶ one batch flies, the next one gathers
//!    │           │ a batch failed, the role changed, stop, or nobody needs it
//!    └───────────┴──▶ ended: the next caller loads the space anew from what is durable
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cosmic_common::id::{PeerId, SpaceId};
use cosmic_custody::{Promise, message::replica::SpaceHeads};
use cosmic_identity::signed::Signed;
use cosmic_runtime::shutdown::Shutdown;
use cosmic_space::session::{Expected, Session, SessionProof, verify_session};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{broadcast, mpsc};
use tracing::{debug, warn};

use super::{
    Spaces,
    append::{Flying, Gathering, Waiter},
    courier::{Courier, Delivered},
    disk,
    error::Error,
    follow::pushed,
    handle::{Challenge, Command, EVENTS_MAX, Event, Opened},
    relay::Relay,
    state::State,
};
use crate::{
    context::Context,
    duty,
    replica::client::{self, Pushes},
    source::Source,
};

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
    /// Another replica lets itself be followed, or none does.
    Sought(Result<(PeerId, Pushes), client::Error>),
    /// What a follower of a replica has missed.
    CaughtUp(Result<Vec<Vec<u8>>, client::Error>),
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
    /// For a space this supernode is no replica of.
    pub(super) relay: Option<Relay>,
    /// What was missed of the relayed replica is being fetched.
    pub(super) catching_up: bool,
    /// Its role has changed: it ends as soon as nothing is being written.
    ending: bool,
}

/// Whether the actor goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
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
        let (flying, relay, catching_up, ending) = (None, None, false, false);
        Self {
            spaces,
            context,
            id,
            inbox,
            events,
            state,
            gathering,
            flying,
            jobs,
            couriers,
            relay,
            catching_up,
            ending,
        }
    }

    pub(super) async fn run(mut self, stop: Shutdown) {
        match self.load().await {
            Ok(()) => self.serve(stop).await,
            Err(error) => {
                warn!(space = %self.id.short(), "a space cannot be loaded: {}", sentence(&error));
                self.inbox.close();
                while let Some(command) = self.inbox.recv().await {
                    command.refuse();
                }
            }
        }
        self.inbox.close();
        self.spaces.remove(&self.id);
    }

    async fn load(&mut self) -> Result<(), Error> {
        if !self.is_replica() {
            let (state, relay) = Relay::begin(&self.context, self.spaces.replicas(), self.id).await?;
            let owes = !relay.owes_nothing();
            (self.state, self.relay) = (state, Some(relay));
            if owes {
                self.meet_replicas();
            }
            return Ok(());
        }
        let (context, id) = (Arc::clone(&self.context), self.id);
        let loading = tokio::task::spawn_blocking(move || disk::load(&context, id));
        self.state = loading.await.map_err(|_stopped| Error::Closed)??;
        self.settle_down()?;
        self.stay()?;
        self.take_over().await
    }

    async fn serve(&mut self, stop: Shutdown) {
        let mut ring = self.context.ring.clone();
        let clock = self.context.clock.clone();
        let mut rest_at = clock.monotonic().after(REST_AFTER);
        loop {
            let then = tokio::select! {
                biased;
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done).await,
                command = self.inbox.recv() => match command {
                    Some(command) => {
                        rest_at = clock.monotonic().after(REST_AFTER);
                        self.command(command).await
                    }
                    None => Then::End,
                },
                pushed = pushed(&mut self.relay) => match pushed {
                    Some(entries) => self.follow(entries).await,
                    None => self.seek_upstream(Duration::ZERO),
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
            if self.ending && self.flying.is_none() {
                return;
            }
        }
    }

    async fn command(&mut self, command: Command) -> Then {
        match command {
            Command::Append { entries, origin, reply } => self.append(entries, origin, reply).await,
            Command::Open { reply } => {
                self.meet_replicas();
                let (heads, events) = (self.heads(), self.events.subscribe());
                let opened = Opened { heads, events, source: self.source() };
                drop(reply.send(Ok(opened)));
            }
            Command::Heads { reply } => drop(reply.send(Ok(self.heads()))),
            Command::Authorise { proof, challenge, reply } => {
                drop(reply.send(self.authorise(&proof, challenge).map_err(Error::from)));
            }
            Command::Recheck { session, reply } => {
                drop(reply.send(self.recheck(&session).map_err(Error::from)))
            }
            Command::Attest { logs, everywhere, reply } => self.attest(logs, everywhere, reply),
            Command::Settle { reply } => self.gathering.waiters.push(Waiter::Settle(reply)),
            Command::Packed { runs, reply } => self.packed(&runs, reply),
            Command::Free { run, reply } => self.free(&run, reply),
            Command::Thin { thin, reply } => self.thin(thin, reply),
            Command::Judge { places, reply } => self.judge(&places, reply),
            Command::Forget { part, reply } => self.forget(&part, reply),
            Command::Reconcile { peer, reply } => self.reconcile_for(peer, reply),
            Command::Residence => self.residence_changed(),
            Command::Rest => return self.rest(),
        }
        Then::GoOn
    }

    async fn done(&mut self, done: Done) -> Then {
        match done {
            Done::Written(Ok(())) => self.landed(),
            Done::Written(Err(error)) => {
                self.crashed(&error);
                return Then::End;
            }
            Done::Delivered(peer, delivered) => self.delivered(peer, delivered),
            Done::RetryDue(peer) => self.retry(peer),
            Done::Sought(sought) => return self.sought(sought),
            Done::CaughtUp(missed) => return self.caught_up(missed).await,
        }
        Then::GoOn
    }

    /// Ends if nobody holds a handle and nothing is under way.
    fn rest(&self) -> Then {
        let owes = self.relay.as_ref().is_some_and(|relay| !relay.owes_nothing());
        let idle = self.flying.is_none() && self.gathering.is_empty() && self.jobs.is_empty() && !owes;
        if idle && self.spaces.retire(&self.id, &self.inbox) {
            debug!(space = %self.id.short(), "a space goes to rest");
            return Then::End;
        }
        Then::GoOn
    }

    fn ring_changed(&mut self) -> Then {
        if !self.is_in_its_role() {
            debug!(space = %self.id.short(), "the ring gave this supernode another part in a space");
            self.ending = true;
        } else if !self.couriers.is_empty() {
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
        if let Some(genesis) =
            proof.unverified().genesis.as_ref().filter(|_| self.state.membership.genesis().is_none())
        {
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
        if self.relay.is_none() { Promise::Keeps } else { Promise::Forwards }
    }

    /// The space keeps its data elsewhere than was believed: who relays a replica by that belief relays nothing.
    fn residence_changed(&mut self) {
        let replicas = duty::replicas(&self.context, &self.id);
        let is_lost = self.relay.as_ref().is_some_and(|relay| !replicas.contains(&relay.upstream()));
        self.ending |= is_lost || !self.is_in_its_role();
    }

    /// Whether this supernode is still what it was when the writer began: a replica, or one that relays a replica.
    fn is_in_its_role(&self) -> bool {
        self.is_replica() == self.relay.is_none()
    }

    /// Takes in where the data of the space may lie, once its genesis is known. If that changes what this supernode is in it, the
    /// writer ends before anything is kept, and the next caller loads the space anew.
    pub(super) fn settle_down(&mut self) -> Result<(), Error> {
        let Some(genesis) = self.state.membership.genesis() else { return Ok(()) };
        self.context.residences.learn(genesis);
        if !self.is_in_its_role() {
            self.ending = true;
            let atlas = Arc::clone(&self.context.ring_view().atlas);
            self.context.residences.check(&atlas, &self.context.peer, &self.id)?;
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Whether anything of the space may be written to the disk here. Outside its regions it is only passed on.
    pub(super) fn may_lie_here(&self) -> bool {
        let atlas = Arc::clone(&self.context.ring_view().atlas);
        self.context.residences.check(&atlas, &self.context.peer, &self.id).is_ok()
    }

    pub(super) fn is_replica(&self) -> bool {
        duty::is_replica(&self.context, &self.context.peer, &self.id)
    }

    pub(super) fn heads(&self) -> SpaceHeads {
        let mut heads = self.state.heads();
        if let Some(relay) = &self.relay {
            relay.add_heads(&mut heads);
        }
        heads
    }

    pub(super) fn source(&self) -> Source {
        match &self.relay {
            None => Source::Local {
                space: self.id,
                context: Arc::clone(&self.context),
                replicas: self.spaces.replicas().clone(),
                reader: self.spaces.reader().clone(),
            },
            Some(relay) => relay.source(self.id, self.spaces.replicas()),
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
