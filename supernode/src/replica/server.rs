//! What a supernode does for other supernodes: stores, reads, signs and pushes entries of its spaces.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cosmic_common::{
    heads::Heads,
    id::{PeerId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
    protocol,
    record::{Record as _, RecordError},
};
use cosmic_custody::{
    Packed,
    message::{
        LIST_MAX_BYTES, fitting,
        refusal::{Refusal, RefusalCode},
        replica::{
            CALLS_MAX, LogPlace, ReplicaAnswer, ReplicaCall, ReplicaReply, ReplicaRequest, SpaceHeads,
            Stopped,
        },
    },
};
use cosmic_log::entry::Entry;
use cosmic_net::{Incoming, Offence, Stream};
use cosmic_runtime::{shutdown::Shutdown, tasks::Group};
use cosmic_space::membership::Membership;
use cosmic_store::Span;
use cosmic_sync::message::Frame;
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use tokio::sync::broadcast;
use tracing::{debug, warn};

use crate::{
    duty,
    metrics::Why,
    outbox::Outbox,
    packs::{self, Packs},
    replica::reconcile::membership_beyond,
    spaces::{Appended, Error, Event, Opened, Origin, Receipts, Space, Spaces},
    tables::SPACES,
};

/// Streams of other supernodes: two from each of some hundreds.
const STREAMS_MAX: usize = 1024;
/// Answers that wait before no further call is read.
const ANSWERS_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Heads in one page: 4,096 take 320 KB.
const HEADS_PAGE: usize = 4096;
/// Spaces in one page: 4,096 take 280 KB.
const SPACES_PAGE: usize = 4096;
/// Spaces one stream may follow.
const SUBSCRIPTIONS_MAX: usize = 8192;

/// How long a supernode that lied may take to hear so before its connection is closed.
const GOODBYE: Duration = Duration::from_secs(2);

const NO_REPLICA: &str = "this supernode is no replica of the space";

/// Takes the streams of other supernodes until the network stops.
pub async fn serve(spaces: Spaces, packs: Packs, mut incoming: Incoming, stop: Shutdown) {
    let streams: Group = spaces.context().tasks.group("replica streams", STREAMS_MAX);
    while let Some(Some(stream)) = stop.unless(incoming.next()).await {
        let (spaces, packs) = (spaces.clone(), packs.clone());
        let served = streams.spawn(|stop| async move {
            let (peer, context) = (stream.peer(), Arc::clone(spaces.context()));
            if let Some(Err(error)) = stop.unless(Server::new(spaces, packs, peer).serve(stream)).await {
                debug!(peer = %peer.short(), "the stream of a supernode ended: {error}");
                if let Some(offence) = error.offence() {
                    context.net.offence(peer, offence);
                    context.metrics.refused_session(Why::Invalid);
                    // The network may have stopped meanwhile.
                    drop(context.net.disconnect(peer).await);
                }
            }
        });
        if served.is_err() {
            warn!("more streams of supernodes than {STREAMS_MAX}; one was dropped");
        }
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the network failed: {0}")]
    Net(#[from] cosmic_net::Error),
    #[error("a call is malformed")]
    Malformed(#[from] RecordError),
    #[error("the peer is no member of the ring")]
    NotInRing,
    #[error("more calls than {CALLS_MAX} at once")]
    TooManyCalls,
    #[error("it brought an entry that cannot stand")]
    InvalidEntry,
}

impl Ended {
    /// What no honest supernode would have done: its connection is closed.
    const fn offence(&self) -> Option<Offence> {
        match self {
            Self::Malformed(_) | Self::TooManyCalls => Some(Offence::Malformed),
            Self::InvalidEntry => Some(Offence::BadSignature),
            Self::Net(_) | Self::NotInRing => None,
        }
    }
}

type Following = BoxStream<'static, (u64, Option<Vec<Vec<u8>>>)>;

/// One stream of one supernode.
struct Server {
    spaces: Spaces,
    packs: Packs,
    peer: PeerId,
    answers: FuturesUnordered<BoxFuture<'static, ReplicaReply>>,
    following: SelectAll<Following>,
    /// Ends a subscription when dropped.
    subscriptions: HashMap<u64, Shutdown>,
}

impl Server {
    fn new(spaces: Spaces, packs: Packs, peer: PeerId) -> Self {
        let (answers, following) = (FuturesUnordered::new(), SelectAll::new());
        Self { spaces, packs, peer, answers, following, subscriptions: HashMap::new() }
    }

    async fn serve(mut self, stream: Stream) -> Result<(), Ended> {
        let (sender, mut receiver) = stream.split();
        let mut outbox = Outbox::new(sender);
        loop {
            tokio::select! {
                biased;
                sent = outbox.pump(), if !outbox.is_idle() => sent?,
                Some(reply) = self.answers.next(), if !self.answers.is_empty() => {
                    outbox.push(reply.to_bytes());
                    if tells_of_a_lie(&reply.answer) {
                        outbox.close().await?;
                        // Whoever reads the answer closes the stream; nobody is waited for longer.
                        let clock = self.spaces.context().clock.clone();
                        drop(clock.timeout(GOODBYE, receiver.recv(MESSAGE_MAX_BYTES)).await);
                        return Err(Ended::InvalidEntry);
                    }
                }
                Some((id, pushed)) = self.following.next(), if !self.following.is_empty() => {
                    self.push(id, pushed, &mut outbox);
                }
                frame = receiver.recv(MESSAGE_MAX_BYTES), if outbox.bytes() < ANSWERS_MAX_BYTES => {
                    let Some(frame) = frame? else { return Ok(()) };
                    let ReplicaCall { id, request } = ReplicaCall::from_bytes(&frame)?;
                    if !duty::may_ask(&self.spaces.context().ring_view(), &self.peer) {
                        outbox.push(refused(id, RefusalCode::NotInRing, Ended::NotInRing).to_bytes());
                        outbox.close().await?;
                        return Err(Ended::NotInRing);
                    }
                    if self.answers.len() >= CALLS_MAX {
                        return Err(Ended::TooManyCalls);
                    }
                    self.call(id, request, &mut outbox).await;
                }
            }
        }
    }

    async fn call(&mut self, id: u64, request: ReplicaRequest, outbox: &mut Outbox) {
        match request {
            ReplicaRequest::Append { space, entries } => self.append(id, space, entries, outbox).await,
            ReplicaRequest::Subscribe { space } => self.subscribe(id, space, outbox).await,
            ReplicaRequest::Unsubscribe { subscription } => {
                if let Some(end) = self.subscriptions.remove(&subscription) {
                    end.trigger();
                }
            }
            ReplicaRequest::Introduce { genesis } => {
                if let Err(error) = self.spaces.introduced(&genesis) {
                    debug!(peer = %self.peer.short(), %error, "a space was introduced by no genesis");
                }
            }
            ReplicaRequest::Note { .. } | ReplicaRequest::Packs { .. } | ReplicaRequest::Pack { .. } => {
                let packs = self.packs.clone();
                let answer = async move {
                    let answer = match about_packs(&packs, request).await {
                        Ok(packs) => ReplicaAnswer::Packs(packs),
                        Err(error) => ReplicaAnswer::Refused(error.refusal()),
                    };
                    ReplicaReply { id, answer }
                };
                self.answers.push(answer.boxed());
            }
            other => {
                let spaces = self.spaces.clone();
                let answer = async move {
                    let answer = match read(&spaces, other).await {
                        Ok(answer) => answer,
                        Err(error) => ReplicaAnswer::Refused(error.refusal()),
                    };
                    ReplicaReply { id, answer }
                };
                self.answers.push(answer.boxed());
            }
        }
    }

    /// Appends take their place in the order in which they came, and are answered when they are durable.
    async fn append(&mut self, id: u64, space: SpaceId, entries: Vec<Vec<u8>>, outbox: &mut Outbox) {
        if !is_replica(&self.spaces, &space) {
            outbox.push(refused(id, RefusalCode::NotResponsible, NO_REPLICA).to_bytes());
            return;
        }
        let frames = entries.into_iter().map(|entry| Frame::from(entry).into()).collect();
        let origin = Origin::Supernode(self.peer);
        let submitted = match self.spaces.get(space) {
            Ok(space) => space.submit(frames, origin).await,
            Err(error) => Err(error),
        };
        let answer = async move {
            let answer = match submitted {
                Ok(pending) => pending.wait().await.map(appended),
                Err(error) => Err(error),
            };
            let answer = answer.unwrap_or_else(|error| ReplicaAnswer::Refused(error.refusal()));
            ReplicaReply { id, answer }
        };
        self.answers.push(answer.boxed());
    }

    async fn subscribe(&mut self, id: u64, space: SpaceId, outbox: &mut Outbox) {
        if !is_replica(&self.spaces, &space) {
            outbox.push(refused(id, RefusalCode::NotResponsible, NO_REPLICA).to_bytes());
            return;
        }
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            outbox.push(
                refused(id, RefusalCode::Busy, "too many spaces are followed on this stream").to_bytes(),
            );
            return;
        }
        let opened = match self.spaces.get(space) {
            Ok(space) => space.open().await.map(|opened| (space, opened)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((space, Opened { events, .. })) => {
                let end = Shutdown::new();
                self.subscriptions.insert(id, end.clone());
                outbox.push(ReplicaReply { id, answer: ReplicaAnswer::Subscribed }.to_bytes());
                self.following.push(follow(id, space, events, end, self.peer));
            }
            Err(error) => {
                outbox.push(ReplicaReply { id, answer: ReplicaAnswer::Refused(error.refusal()) }.to_bytes());
            }
        }
    }

    fn push(&mut self, id: u64, pushed: Option<Vec<Vec<u8>>>, outbox: &mut Outbox) {
        let answer = match pushed {
            Some(entries) => ReplicaAnswer::Pushed(entries),
            None => {
                self.subscriptions.remove(&id);
                ReplicaAnswer::Ended
            }
        };
        outbox.push(ReplicaReply { id, answer }.to_bytes());
    }
}

/// What a space tells, as pushes to a subscriber: not what the subscriber itself brought.
fn follow(
    id: u64,
    space: Space,
    events: broadcast::Receiver<Event>,
    end: Shutdown,
    peer: PeerId,
) -> Following {
    struct Follow {
        _space: Space,
        events: broadcast::Receiver<Event>,
        end: Shutdown,
    }
    let state = Some(Follow { _space: space, events, end });
    let pushes = futures::stream::unfold(state, move |state| async move {
        let mut state = state?;
        loop {
            match state.end.unless(state.events.recv()).await {
                Some(Ok(Event::Grown(grown))) if grown.origin != Origin::Supernode(peer) => {
                    let frames = grown.growths.iter().flat_map(|growth| &growth.frames);
                    let entries = frames.map(|frame| frame.to_vec()).collect();
                    return Some(((id, Some(entries)), Some(state)));
                }
                Some(Ok(Event::Grown(_) | Event::Receipts(_))) => {}
                Some(Err(_)) | None => return Some(((id, None), None)),
            }
        }
    });
    pushes.boxed()
}

fn refused(id: u64, code: RefusalCode, sentence: impl std::fmt::Display) -> ReplicaReply {
    ReplicaReply { id, answer: ReplicaAnswer::Refused(Refusal::new(code, sentence)) }
}

fn appended(appended: Appended) -> ReplicaAnswer {
    let stopped = appended.stopped.into_iter();
    ReplicaAnswer::Appended {
        receipts: plain(&appended.receipts),
        stopped: stopped
            .map(|(index, refusal)| Stopped { index: u32::try_from(index).unwrap_or(u32::MAX), refusal })
            .collect(),
    }
}

fn tells_of_a_lie(answer: &ReplicaAnswer) -> bool {
    let ReplicaAnswer::Appended { stopped, .. } = answer else { return false };
    stopped.iter().any(|stopped| stopped.refusal.code == RefusalCode::InvalidEntry)
}

fn plain(receipts: &Receipts) -> Vec<Vec<u8>> {
    receipts.iter().map(|(_, receipt)| receipt.to_vec()).collect()
}

/// Notes, names and makes packs.
async fn about_packs(packs: &Packs, request: ReplicaRequest) -> Result<Vec<Packed>, packs::Error> {
    match request {
        ReplicaRequest::Note { space, packs: told } => packs.note(space, told).await,
        ReplicaRequest::Packs { space, log, from } => packs.known(space, log, from),
        ReplicaRequest::Pack { space, log, seq } => Ok(vec![packs.wanted(space, log, seq).await?]),
        _ => Ok(Vec::new()),
    }
}

/// Answers what changes nothing.
async fn read(spaces: &Spaces, request: ReplicaRequest) -> Result<ReplicaAnswer, Error> {
    let store = &spaces.context().store;
    match request {
        ReplicaRequest::Heads { space, after } => Ok(page(heads(spaces, space).await?, after)),
        ReplicaRequest::Range { space, log, from, to, max_bytes } => {
            let to = to.saturating_add(1);
            let max_bytes = u64::from(max_bytes).min(LIST_MAX_BYTES as u64);
            let frames =
                settled(spaces, space, || spaces.reader().range(space, log, from, to, max_bytes)).await?;
            Ok(entries(&frames, from.saturating_add(frames.len() as u64) < to))
        }
        ReplicaRequest::Membership { space, known } => {
            let read = || {
                std::future::ready(
                    membership_beyond(store, space, &known, LIST_MAX_BYTES).map_err(Error::from),
                )
            };
            let frames = settled(spaces, space, read).await?;
            let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
            Ok(entries(&frames, bytes >= LIST_MAX_BYTES))
        }
        ReplicaRequest::Attest { space, logs } => {
            if !is_replica(spaces, &space) {
                return Ok(ReplicaAnswer::Refused(Refusal::new(RefusalCode::NotResponsible, NO_REPLICA)));
            }
            let receipts = spaces.get(space)?.attest(logs, false).await?;
            Ok(ReplicaAnswer::Receipts(plain(&receipts)))
        }
        ReplicaRequest::Spaces { from, to } => kept_spaces(spaces, from, to),
        ReplicaRequest::Genesis { space } => Ok(ReplicaAnswer::Genesis(genesis(spaces, space)?)),
        ReplicaRequest::Append { .. }
        | ReplicaRequest::Subscribe { .. }
        | ReplicaRequest::Unsubscribe { .. }
        | ReplicaRequest::Introduce { .. }
        | ReplicaRequest::Note { .. }
        | ReplicaRequest::Packs { .. }
        | ReplicaRequest::Pack { .. } => {
            unreachable!("these are answered where they keep their order")
        }
    }
}

/// The genesis of a space, by hearsay or from its membership kept here.
fn genesis(spaces: &Spaces, space: SpaceId) -> Result<Option<Vec<u8>>, Error> {
    let context = spaces.context();
    if let Some(genesis) = context.residences.genesis(&space) {
        return Ok(Some(genesis.into()));
    }
    let mut entries = Vec::new();
    for frame in membership_beyond(&context.store, space, &Heads::new(), LIST_MAX_BYTES)? {
        entries.push(Entry::from_bytes(&frame)?);
    }
    let mut membership = Membership::new(space);
    membership.learn(&entries);
    Ok(membership.genesis().map(|genesis| genesis.to_bytes()))
}

/// Reads once, and again after everything admitted was written if nothing was found.
async fn settled<F: Future<Output = Result<Vec<Frame>, Error>>>(
    spaces: &Spaces,
    space: SpaceId,
    read: impl Fn() -> F,
) -> Result<Vec<Frame>, Error> {
    let frames = read().await?;
    match keeper(spaces, &space) {
        Some(space) if frames.is_empty() => {
            space.settle().await?;
            read().await
        }
        Some(_) | None => Ok(frames),
    }
}

/// The heads of a space: from its writer if it is in memory, else from the tables.
async fn heads(spaces: &Spaces, space: SpaceId) -> Result<SpaceHeads, Error> {
    match keeper(spaces, &space) {
        Some(space) => space.heads().await,
        None => Ok(spaces.stored_heads(space)?),
    }
}

/// The writer of a space that is kept here; one that is only relayed answers for itself alone.
fn keeper(spaces: &Spaces, space: &SpaceId) -> Option<Space> {
    spaces.loaded(space).filter(|_| is_replica(spaces, space))
}

fn is_replica(spaces: &Spaces, space: &SpaceId) -> bool {
    let context = spaces.context();
    duty::is_replica(context, &context.peer, space)
}

fn page(heads: SpaceHeads, after: Option<LogPlace>) -> ReplicaAnswer {
    let all = heads.into_iter().flat_map(|(channel, heads)| {
        heads.into_iter().map(move |(log, head)| (LogPlace { channel, log }, head))
    });
    let mut rest = all.skip_while(|(place, _)| after.is_some_and(|after| *place <= after)).peekable();
    let mut page: std::collections::BTreeMap<_, Heads> = SpaceHeads::new();
    for (place, head) in rest.by_ref().take(HEADS_PAGE) {
        page.entry(place.channel).or_default().insert(place.log, head);
    }
    ReplicaAnswer::Heads { heads: page, more: rest.peek().is_some() }
}

fn entries(frames: &[Frame], more: bool) -> ReplicaAnswer {
    let count = fitting(frames.iter().map(|frame| frame.len()), MESSAGE_MAX_BYTES);
    let entries = frames.iter().take(count).map(|frame| frame.to_vec()).collect();
    ReplicaAnswer::Entries { entries, more: more || count < frames.len() }
}

/// The spaces kept here between two ids, with a digest of their heads each.
fn kept_spaces(spaces: &Spaces, from: SpaceId, to: SpaceId) -> Result<ReplicaAnswer, Error> {
    let mut digests = std::collections::BTreeMap::new();
    for row in spaces.context().store.scan(&SPACES, &Span::range(from..=to), SPACES_PAGE) {
        let (space, _) = row?;
        digests.insert(space, spaces.digest(space)?);
    }
    let more = digests.len() == SPACES_PAGE;
    Ok(ReplicaAnswer::Spaces { digests, more })
}

/// Takes over the streams of `/cosmic/replica/1`.
///
/// # Errors
/// If somebody takes them already.
pub fn start(spaces: &Spaces, packs: &Packs) -> Result<(), cosmic_net::Error> {
    let incoming = spaces.context().net.accept(protocol::REPLICA)?;
    let (spaces, packs) = (spaces.clone(), packs.clone());
    spaces.context().tasks.clone().spawn("replica server", |stop| serve(spaces, packs, incoming, stop));
    Ok(())
}
