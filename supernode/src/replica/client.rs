//! The way to other replicas: one stream for each, many calls on it, answers in any order.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cosmic_common::{
    heads::Heads,
    id::{LogId, PeerId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
    protocol,
    record::{Record as _, RecordError},
};
use cosmic_custody::message::{
    refusal::Refusal,
    replica::{CALLS_MAX, LogPlace, ReplicaAnswer, ReplicaCall, ReplicaReply, ReplicaRequest, SpaceHeads},
};
use cosmic_net::Receiver;
use cosmic_runtime::{clock::Clock, shutdown::Shutdown, tasks::Group};
use cosmic_space::genesis::Genesis;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::arrivals::Arrivals;
use crate::{context::Context, duty, outbox::Outbox};

/// Calls that may wait for one stream; more is answered with busy at once.
const CALLS_WAITING_MAX: usize = 1024;
/// Streams to other supernodes: two for each of some hundreds.
const LINKS_MAX: usize = 1024;
/// How long opening a stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: a replica may have to load the space and write a megabyte.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A stream without calls is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// Pages of heads of one space.
const PAGES_MAX: usize = 1024;
/// Spaces that are remembered as introduced on one stream: 2 MB. Then they are introduced again.
const INTRODUCED_MAX: usize = 65_536;
/// Pushes a subscriber may lag behind.
const PUSHES_MAX: usize = 64;

/// Why another replica did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or the stream broke.
    #[error("the stream to the replica cannot be used")]
    Net(#[from] cosmic_net::Error),
    /// It did not answer in time.
    #[error("the replica did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
    /// Too many calls wait.
    #[error("too many calls wait for the replica")]
    Busy,
    /// The stream ended before the answer came.
    #[error("the stream to the replica ended before it answered")]
    Lost,
    /// It said no.
    #[error("the replica says: {0}")]
    Refused(Refusal),
    /// It answered something else than was asked.
    #[error("the replica answered something else than was asked")]
    OutOfPlace,
    /// It sent bytes that are no answer.
    #[error("the replica sent bytes that are no answer")]
    Malformed(#[source] Arc<RecordError>),
    /// It tells of heads without end.
    #[error("the replica tells of more logs than a space can have")]
    Endless,
}

impl Error {
    /// What an answer that was not expected means.
    #[must_use]
    pub fn answer(answer: ReplicaAnswer) -> Self {
        match answer {
            ReplicaAnswer::Refused(refusal) => Self::Refused(refusal),
            _ => Self::OutOfPlace,
        }
    }

    /// Whether the replica seems to be away, and may be back in a moment.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Net(error) => error.is_transient(),
            Self::Silent | Self::Lost => true,
            Self::Busy | Self::Refused(_) | Self::OutOfPlace | Self::Malformed(_) | Self::Endless => false,
        }
    }
}

/// The ways to all other replicas. Cheap to clone.
#[derive(Clone)]
pub struct Replicas(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    arrivals: Arrivals,
    links: Group,
    slots: Mutex<HashMap<(PeerId, Lane), mpsc::Sender<Job>>>,
}

/// Appends must not wait behind pages of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    Write,
    Read,
}

enum Job {
    Call(ReplicaRequest, oneshot::Sender<Result<ReplicaAnswer, Error>>),
    Subscribe(SpaceId, oneshot::Sender<Result<Pushes, Error>>),
}

/// What a replica pushes of one space; ends when heads have to be compared anew.
pub type Pushes = mpsc::Receiver<Vec<Vec<u8>>>;

/// An answer that will come.
#[derive(Debug)]
pub struct Answer {
    clock: Clock,
    answer: Result<oneshot::Receiver<Result<ReplicaAnswer, Error>>, Error>,
}

impl Answer {
    /// Waits for it.
    ///
    /// # Errors
    /// If it does not come in time.
    pub async fn wait(self) -> Result<ReplicaAnswer, Error> {
        let answer = self.answer?;
        match self.clock.timeout(ANSWER_TIMEOUT, answer).await {
            Some(Ok(result)) => result,
            Some(Err(_dropped)) => Err(Error::Lost),
            None => Err(Error::Silent),
        }
    }
}

impl Replicas {
    /// No stream is open yet.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        let links = context.tasks.group("replica links", LINKS_MAX);
        let (arrivals, listening) = (Arrivals::default(), Arc::clone(&context));
        let arriving = arrivals.clone();
        context.tasks.spawn("replica arrivals", |stop| arriving.listen(listening, stop));
        Self(Arc::new(Inner { context, arrivals, links, slots: Mutex::default() }))
    }

    /// The clock that answers are awaited by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.context.clock
    }

    /// Waits until something is heard of a replica that did not answer.
    pub fn arrival(&self, peer: PeerId) -> impl Future<Output = ()> + Send + 'static {
        self.0.arrivals.of(peer)
    }

    /// The replicas of a space by the ring as it is now, but for this supernode.
    #[must_use]
    pub fn of(&self, space: &SpaceId) -> Vec<PeerId> {
        let context = &self.0.context;
        let replicas = duty::replicas(context, space);
        replicas.into_iter().filter(|peer| *peer != context.peer).collect()
    }

    /// Asks a replica. The call has its place on the stream when this returns, so appends keep their order.
    #[must_use]
    pub fn call(&self, peer: PeerId, request: ReplicaRequest) -> Answer {
        let lane = match request {
            ReplicaRequest::Append { .. } | ReplicaRequest::Attest { .. } => Lane::Write,
            _ => Lane::Read,
        };
        let (reply, answer) = oneshot::channel();
        let answer = self.put((peer, lane), Job::Call(request, reply)).map(|()| answer);
        Answer { clock: self.0.context.clock.clone(), answer }
    }

    /// Follows a space at a replica.
    ///
    /// # Errors
    /// If the replica does not let us.
    pub async fn subscribe(&self, peer: PeerId, space: SpaceId) -> Result<Pushes, Error> {
        let (reply, answer) = oneshot::channel();
        self.put((peer, Lane::Read), Job::Subscribe(space, reply))?;
        match self.0.context.clock.timeout(ANSWER_TIMEOUT, answer).await {
            Some(Ok(result)) => result,
            Some(Err(_dropped)) => Err(Error::Lost),
            None => Err(Error::Silent),
        }
    }

    /// The heads of a space at a replica.
    ///
    /// # Errors
    /// If it does not tell.
    pub async fn heads(&self, peer: PeerId, space: SpaceId) -> Result<SpaceHeads, Error> {
        let mut all = SpaceHeads::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            match self.call(peer, ReplicaRequest::Heads { space, after }).wait().await? {
                ReplicaAnswer::Heads { heads, more } => {
                    let last = heads.iter().next_back().and_then(|(channel, heads)| {
                        Some(LogPlace { channel: *channel, log: *heads.keys().next_back()? })
                    });
                    for (channel, heads) in heads {
                        all.entry(channel).or_default().extend(heads);
                    }
                    if !more || last <= after {
                        return Ok(all);
                    }
                    after = last;
                }
                other => return Err(Error::answer(other)),
            }
        }
        Err(Error::Endless)
    }

    /// Entries `from ..= to` of a log at a replica, as many as fit into `max_bytes`.
    ///
    /// # Errors
    /// If it does not send them.
    pub async fn range(
        &self,
        peer: PeerId,
        space: SpaceId,
        part: (LogId, u64, u64),
        max_bytes: u32,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let (log, from, to) = part;
        match self.call(peer, ReplicaRequest::Range { space, log, from, to, max_bytes }).wait().await? {
            ReplicaAnswer::Entries { entries, .. } => Ok(entries),
            other => Err(Error::answer(other)),
        }
    }

    /// As [`Self::range`], asked of `first` and then of the other replicas, until one has something of it.
    ///
    /// # Errors
    /// If the last one does not send them.
    pub async fn range_of_any(
        &self,
        first: PeerId,
        space: SpaceId,
        part: (LogId, u64, u64),
        max_bytes: u32,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let others = self.of(&space).into_iter().filter(|peer| *peer != first);
        let mut last = Ok(Vec::new());
        for peer in std::iter::once(first).chain(others) {
            match self.range(peer, space, part, max_bytes).await {
                Ok(entries) if !entries.is_empty() => return Ok(entries),
                nothing => last = nothing,
            }
        }
        last
    }

    /// Membership entries of a space beyond `known`, a page at a time; whether there are more.
    ///
    /// # Errors
    /// If the replica does not send them.
    pub async fn membership(
        &self,
        peer: PeerId,
        space: SpaceId,
        known: Heads,
    ) -> Result<(Vec<Vec<u8>>, bool), Error> {
        match self.call(peer, ReplicaRequest::Membership { space, known }).wait().await? {
            ReplicaAnswer::Entries { entries, more } => Ok((entries, more)),
            other => Err(Error::answer(other)),
        }
    }

    /// The genesis of a space, if `peer` knows it.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn genesis(&self, peer: PeerId, space: SpaceId) -> Result<Option<Genesis>, Error> {
        match self.call(peer, ReplicaRequest::Genesis { space }).wait().await? {
            ReplicaAnswer::Genesis(bytes) => {
                let genesis = bytes.and_then(|bytes| Genesis::from_bytes(&bytes).ok());
                Ok(genesis.filter(|genesis| genesis.space_id() == space))
            }
            other => Err(Error::answer(other)),
        }
    }

    fn put(&self, key: (PeerId, Lane), job: Job) -> Result<(), Error> {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match slots.get(&key) {
            Some(jobs) => match jobs.try_send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Error::Busy),
                Err(mpsc::error::TrySendError::Closed(job)) => job,
            },
            None => job,
        };
        let (jobs, inbox) = mpsc::channel(CALLS_WAITING_MAX);
        jobs.try_send(job).map_err(|_full| Error::Busy)?;
        let link = Link::new(Arc::clone(&self.0.context), key.0, inbox);
        self.0.links.spawn(|stop| link.run(stop)).map_err(|_busy| Error::Busy)?;
        slots.insert(key, jobs);
        Ok(())
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").field("links", &self.0.links.len()).finish_non_exhaustive()
    }
}

/// One stream to one replica.
struct Link {
    context: Arc<Context>,
    peer: PeerId,
    inbox: mpsc::Receiver<Job>,
    next_id: u64,
    calls: HashMap<u64, oneshot::Sender<Result<ReplicaAnswer, Error>>>,
    subscriptions: HashMap<u64, Subscription>,
    /// Spaces that name regions and were introduced on this stream.
    introduced: HashSet<SpaceId>,
}

enum Subscription {
    Asked(oneshot::Sender<Result<Pushes, Error>>),
    Follows(mpsc::Sender<Vec<Vec<u8>>>),
}

impl Link {
    fn new(context: Arc<Context>, peer: PeerId, inbox: mpsc::Receiver<Job>) -> Self {
        let (calls, subscriptions, introduced) = Default::default();
        Self { context, peer, inbox, next_id: 0, calls, subscriptions, introduced }
    }

    async fn run(mut self, stop: Shutdown) {
        let outcome = stop.unless(self.serve()).await.unwrap_or(Ok(()));
        // Whoever comes from now on opens another stream; who came before hears how this one ended.
        self.inbox.close();
        let error = outcome.err().unwrap_or(Error::Lost);
        debug!(peer = %self.peer.short(), "the stream to a replica ended: {error}");
        while let Some(job) = self.inbox.recv().await {
            match job {
                Job::Call(_, reply) => drop(reply.send(Err(error.clone()))),
                Job::Subscribe(_, reply) => drop(reply.send(Err(error.clone()))),
            }
        }
        for reply in self.calls.into_values() {
            drop(reply.send(Err(error.clone())));
        }
    }

    async fn serve(&mut self) -> Result<(), Error> {
        let net = &self.context.net;
        let addresses = duty::addresses(&self.context.ring_view(), &self.peer);
        net.add_addresses(self.peer, &addresses).await?;
        let stream = net.open(self.peer, protocol::REPLICA, OPEN_TIMEOUT).await?;
        let (sender, mut receiver) = stream.split();
        let mut outbox = Outbox::new(sender);
        let clock = self.context.clock.clone();
        loop {
            let busy = !self.calls.is_empty() || !self.subscriptions.is_empty();
            tokio::select! {
                biased;
                frame = receiver.recv(MESSAGE_MAX_BYTES) => self.received(frame?, &mut outbox)?,
                job = self.inbox.recv(), if self.calls.len() < CALLS_MAX => match job {
                    Some(job) => self.ask(job, &mut outbox),
                    None => return Ok(()),
                },
                sent = outbox.pump(), if !outbox.is_idle() => sent?,
                () = clock.sleep(IDLE), if !busy => return self.rest(outbox, receiver).await,
            }
        }
    }

    /// Closes a stream that nobody uses.
    async fn rest(&self, outbox: Outbox, receiver: Receiver) -> Result<(), Error> {
        outbox.close().await?;
        drop(receiver);
        Ok(())
    }

    fn ask(&mut self, job: Job, outbox: &mut Outbox) {
        let space = match &job {
            Job::Call(request, _) => request.space(),
            Job::Subscribe(space, _) => Some(*space),
        };
        if let Some(space) = space {
            self.introduce(space, outbox);
        }
        self.next_id += 1;
        let id = self.next_id;
        let request = match job {
            Job::Call(request, reply) => {
                self.calls.insert(id, reply);
                request
            }
            Job::Subscribe(space, reply) => {
                self.subscriptions.insert(id, Subscription::Asked(reply));
                ReplicaRequest::Subscribe { space }
            }
        };
        outbox.push(ReplicaCall { id, request }.to_bytes());
    }

    /// Says first where the data of a space may lie, or the other would look for it by another ring.
    fn introduce(&mut self, space: SpaceId, outbox: &mut Outbox) {
        let Some(genesis) = self.context.residences.genesis(&space) else { return };
        if self.introduced.len() >= INTRODUCED_MAX {
            self.introduced.clear();
        }
        if self.introduced.insert(space) {
            self.next_id += 1;
            let request = ReplicaRequest::Introduce { genesis: genesis.to_vec() };
            outbox.push(ReplicaCall { id: self.next_id, request }.to_bytes());
        }
    }

    fn received(&mut self, frame: Option<Vec<u8>>, outbox: &mut Outbox) -> Result<(), Error> {
        let frame = frame.ok_or(Error::Lost)?;
        let ReplicaReply { id, answer } =
            ReplicaReply::from_bytes(&frame).map_err(|error| Error::Malformed(Arc::new(error)))?;
        if let Some(reply) = self.calls.remove(&id) {
            // Nobody waits for an answer that came too late.
            drop(reply.send(Ok(answer)));
            return Ok(());
        }
        match (self.subscriptions.remove(&id), answer) {
            (Some(Subscription::Asked(reply)), ReplicaAnswer::Subscribed) => {
                let (pushes, follower) = mpsc::channel(PUSHES_MAX);
                drop(reply.send(Ok(follower)));
                self.subscriptions.insert(id, Subscription::Follows(pushes));
            }
            (Some(Subscription::Asked(reply)), other) => drop(reply.send(Err(Error::answer(other)))),
            (Some(Subscription::Follows(pushes)), ReplicaAnswer::Pushed(entries)) => {
                if pushes.try_send(entries).is_ok() {
                    self.subscriptions.insert(id, Subscription::Follows(pushes));
                } else {
                    // Too slow, or gone: the follower sees the end and begins anew.
                    self.next_id += 1;
                    let request = ReplicaRequest::Unsubscribe { subscription: id };
                    outbox.push(ReplicaCall { id: self.next_id, request }.to_bytes());
                }
            }
            // The end of a subscription, or a push that crossed our leaving.
            (_, _) => {}
        }
        Ok(())
    }
}
