//! Appending: judge each entry, show it to who listens, write it with its neighbours, and only then sign.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use cosmic_common::{
    heads::Head,
    id::{LogId, OperatorId, SpaceId},
};
use cosmic_custody::{
    Held,
    message::refusal::{Refusal, RefusalCode},
};
use cosmic_log::entry::Entry;
use cosmic_space::admission::{Comparison, compare};
use cosmic_store::{Batch, Span};
use cosmic_sync::{
    door::{Aside, Growth},
    message::Frame,
};
use futures::FutureExt as _;
use tracing::warn;

use super::{
    actor::{Actor, Done, sentence},
    disk,
    error::{Error, refuse},
    handle::{Appended, Brought, Event, Grown, Origin, Receipts, Reply},
    state::Taken,
};
use crate::{
    covers, deletion, duty,
    metrics::Why,
    tables::{self, FORKS, FORWARDS, SPACES, TAILS},
};

/// After so many signatures the thread is lent to others.
const VERIFIED_AT_ONCE: usize = 32;

/// What waits to be written.
pub(super) struct Gathering {
    batch: Batch,
    touched: BTreeSet<LogId>,
    frames: HashMap<(LogId, u64), Frame>,
    entries: u64,
    /// Logs of which a competing entry is in the batch.
    forks: BTreeSet<LogId>,
    pub(super) waiters: Vec<Waiter>,
}

/// Who waits for the next batch to be durable.
pub(super) enum Waiter {
    Append { appended: Appended, logs: BTreeSet<LogId>, reply: Reply<Appended> },
    Attest { logs: Vec<LogId>, reply: Reply<Receipts> },
    Settle(Reply<()>),
}

/// A batch on its way to the disk.
pub(super) struct Flying {
    /// Where logs ended when the batch was cut.
    heads: BTreeMap<LogId, Head>,
    frames: HashMap<(LogId, u64), Frame>,
    entries: u64,
    waiters: Vec<Waiter>,
}

/// The new entries of one append.
#[derive(Default)]
struct Fresh {
    growths: Vec<Growth>,
    places: HashMap<LogId, usize>,
    frames: Vec<Frame>,
    membership: bool,
}

impl Gathering {
    pub(super) fn new(batch: Batch) -> Self {
        Self {
            batch,
            touched: BTreeSet::new(),
            frames: HashMap::new(),
            entries: 0,
            forks: BTreeSet::new(),
            waiters: Vec::new(),
        }
    }

    /// What will be written next.
    pub(super) const fn batch_mut(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Deletes what this batch takes over from `forwards`.
    pub(super) fn delete_forwards(&mut self, space: &SpaceId) {
        self.batch.delete_span(&FORWARDS, &Span::prefix(space));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty() && self.batch.is_empty()
    }
}

impl Fresh {
    fn add(&mut self, channel: cosmic_common::id::ChannelId, entry: &Entry, frame: &Frame) {
        let core = entry.core();
        let head = Head { seq: core.seq, entry: entry.id() };
        let place = *self.places.entry(core.log).or_insert_with(|| {
            self.growths.push(Growth { channel, log: core.log, head, frames: Vec::new() });
            self.growths.len() - 1
        });
        if let Some(growth) = self.growths.get_mut(place) {
            growth.head = head;
            growth.frames.push(frame.clone());
        }
        self.frames.push(frame.clone());
    }
}

impl Actor {
    /// Admits entries in their order; the answer comes once they are durable.
    pub(super) async fn append(&mut self, brought: Vec<Brought>, origin: Origin, reply: Reply<Appended>) {
        match self.admit(brought, origin).await {
            Ok((appended, logs)) => self.gathering.waiters.push(Waiter::Append { appended, logs, reply }),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Admits entries in their order, and shows what is new to who follows the space.
    pub(super) async fn admit(
        &mut self,
        brought: Vec<Brought>,
        origin: Origin,
    ) -> Result<(Appended, BTreeSet<LogId>), Error> {
        let mut appended = Appended::default();
        let mut logs = BTreeSet::new();
        let mut fresh = Fresh::default();
        let decoded: Vec<_> = brought.iter().map(|brought| Entry::from_bytes(&brought.frame)).collect();
        self.open_logs(&decoded, origin).await?;
        if self.relay.is_none() {
            let bringer = self.bringer(origin);
            self.state.quota = tables::quota(&self.context.store, &self.id, self.context.limits.quota)?;
            self.state.allowance = self.context.accounts.allowance(&self.id, bringer)?;
        }
        if self.state.membership.genesis().is_none() {
            let entries: Vec<Entry> = decoded.iter().flatten().cloned().collect();
            self.state.membership.learn(&entries);
            self.settle_down()?;
        }
        for (index, (brought, entry)) in brought.iter().zip(decoded).enumerate() {
            if index % VERIFIED_AT_ONCE == VERIFIED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let outcome = match &entry {
                Ok(entry) => {
                    logs.insert(entry.core().log);
                    self.take(entry, brought, origin, (&mut fresh, &mut appended)).await
                }
                Err(error) => Err(Refusal::new(RefusalCode::InvalidEntry, sentence(error))),
            };
            if let Err(refusal) = outcome {
                self.context.metrics.refused_entry(Why::of(refusal.code));
                let invalid = refusal.code == RefusalCode::InvalidEntry;
                appended.stopped.push((index, refusal.clone()));
                if invalid {
                    appended.invalid = Some(refusal);
                    break;
                }
            }
        }
        self.spread(fresh, origin);
        Ok((appended, logs))
    }

    /// For a relayed space: learns what goes before the entries, and sees that there is room for them.
    async fn open_logs(
        &mut self,
        decoded: &[Result<Entry, cosmic_log::entry::Error>],
        origin: Origin,
    ) -> Result<(), Error> {
        let Some(relay) = &mut self.relay else { return Ok(()) };
        if matches!(origin, Origin::Session(_)) && !relay.has_room() {
            return Err(Error::Busy);
        }
        let entries: Vec<Entry> = decoded.iter().flatten().cloned().collect();
        relay.open_logs(&mut self.state, self.spaces.replicas(), &entries).await
    }

    /// Shows new entries to live sessions and to the other replicas, before they are durable here.
    fn spread(&mut self, fresh: Fresh, origin: Origin) {
        if fresh.frames.is_empty() {
            return;
        }
        let ends: Vec<_> = fresh.growths.iter().map(|growth| (growth.log, growth.head.seq)).collect();
        if self.has_listeners() {
            let grown = Grown { origin, membership: fresh.membership, growths: fresh.growths };
            self.tell(Event::Grown(Arc::new(grown)));
        }
        if matches!(origin, Origin::Session(_)) {
            self.deliver(&fresh.frames, &ends);
        }
    }

    async fn take(
        &mut self,
        entry: &Entry,
        Brought { frame, place }: &Brought,
        origin: Origin,
        (fresh, appended): (&mut Fresh, &mut Appended),
    ) -> Result<(), Refusal> {
        let log = entry.core().log;
        if place.is_some_and(|place| place.log != log || place.seq != entry.core().seq) {
            return Err(Refusal::new(
                RefusalCode::InvalidEntry,
                "the entry does not stand where it was said to",
            ));
        }
        if appended.asides.contains_key(&log) {
            return Err(Refusal::new(RefusalCode::Gap, "an entry before this one was not taken"));
        }
        if entry.core().kind.is_sealed() && entry.body().is_none() && !self.may_lack_bodies(origin) {
            return Err(Refusal::new(
                RefusalCode::Gap,
                "the body of the entry is missing; send it with its body",
            ));
        }
        let taken = self.state.take(entry);
        match &taken {
            Taken::New { channel, order } => {
                self.keep(entry, frame, &taken, origin);
                fresh.membership |= order.is_some();
                fresh.add(*channel, entry, frame);
                Ok(())
            }
            // A relayed replica has compared already.
            Taken::Placed if self.relay.is_some() && matches!(origin, Origin::Supernode(_)) => Ok(()),
            Taken::Placed => self.compare(entry, appended).await,
            Taken::Waits(refusal) | Taken::Refused(refusal) => Err(refuse(refusal)),
            Taken::Full(error) => {
                appended.asides.insert(log, Aside::Declined);
                Err(Refusal::new(RefusalCode::QuotaExceeded, error))
            }
        }
    }

    /// Whether whoever brings entries may bring some without their bodies: replicas drop what snapshots replace. What comes
    /// from a device, or through its gateway, is to be kept with its body.
    fn may_lack_bodies(&self, origin: Origin) -> bool {
        match origin {
            Origin::Session(_) => false,
            Origin::Supernode(peer) => self.spaces.reader().duty(&self.id).includes(&peer),
            Origin::Pulled(_) => true,
        }
    }

    /// The operator that sponsors the space if these are its first entries.
    fn bringer(&self, origin: Origin) -> Option<OperatorId> {
        let peer = match origin {
            Origin::Session(_) => self.context.peer,
            Origin::Supernode(peer) | Origin::Pulled(peer) => peer,
        };
        self.context.sponsor(&self.id, &peer, None)
    }

    /// Adds an entry that was taken to the batch: to keep it, or to owe it to the replicas.
    fn keep(&mut self, entry: &Entry, frame: &Frame, taken: &Taken, origin: Origin) {
        let (log, seq) = (entry.core().log, entry.core().seq);
        let at_rest = self.relay.is_none() || self.may_lie_here();
        let bringer = if self.state.known { None } else { self.bringer(origin) };
        match (&mut self.relay, origin) {
            (None, _) => {
                let (accounts, batch) = (&self.context.accounts, &mut self.gathering.batch);
                if !self.state.known && self.gathering.touched.is_empty() {
                    accounts.keep(batch, &self.id, bringer);
                }
                disk::put_entry(accounts, batch, &self.state, entry, taken);
                self.grow_tail(log, seq, entry.as_bytes().len());
                if let Taken::New { channel, order: None } = taken {
                    deletion::note_entry(&mut self.gathering.batch, self.id, *channel, entry);
                    if let Some(state) = self.state.logs.get(&log) {
                        covers::note_entry(&mut self.gathering.batch, state.open(), entry);
                    }
                }
            }
            (Some(relay), Origin::Session(_)) => {
                if !at_rest {
                    self.context.metrics.kept_elsewhere.inc();
                }
                let mut batch = at_rest.then_some(&mut self.gathering.batch);
                if let Some(batch) = &mut batch
                    && self.gathering.touched.is_empty()
                {
                    self.context.residences.keep(batch, &self.id);
                }
                relay.forward(batch, &self.id, entry, frame);
            }
            // The relayed replica has it, or will: only to be read until then.
            (Some(relay), Origin::Pulled(_)) => return relay.overlay.insert(log, seq, frame.clone()),
            (Some(_), Origin::Supernode(_)) => return,
        }
        self.gathering.touched.insert(log);
        self.gathering.frames.insert((log, seq), frame.clone());
        self.gathering.entries += 1;
    }

    /// An entry whose place is taken: ours, or another branch, which is kept aside.
    async fn compare(&mut self, entry: &Entry, appended: &mut Appended) -> Result<(), Refusal> {
        let (log, seq) = (entry.core().log, entry.core().seq);
        let Some(state) = self.state.logs.get(&log) else { return Ok(()) };
        if state.head() == (Head { seq, entry: entry.id() }) {
            return Ok(());
        }
        let ours = self.entry_at(log, seq).await.map_err(|error| error.refusal())?;
        let (Some(ours), Some(state)) = (ours, self.state.logs.get(&log)) else { return Ok(()) };
        match compare(state, &ours, entry) {
            Comparison::Duplicate => Ok(()),
            Comparison::Forged(refusal) => Err(refuse(&refusal)),
            Comparison::Fork(_proof) => {
                warn!(space = %self.id.short(), log = %log.short(), seq, "a writer has forked its log");
                // One is proof enough, and a writer who forks must not fill the disk with more.
                let known = self.context.store.scan(&FORKS, &Span::prefix(&log), 1).next().is_some();
                if !known && self.gathering.forks.insert(log) {
                    self.gathering.batch.put_slice(&FORKS, &(log, seq, entry.id()), entry.as_bytes());
                }
                appended.asides.insert(log, Aside::Forked);
                Err(Refusal::new(RefusalCode::Fork, "another entry has this place in the log"))
            }
        }
    }

    /// Our entry at a place, written or about to be.
    async fn entry_at(&mut self, log: LogId, seq: u64) -> Result<Option<Entry>, Error> {
        let flying = self.flying.as_ref().and_then(|flying| flying.frames.get(&(log, seq)));
        if let Some(frame) = self.gathering.frames.get(&(log, seq)).or(flying) {
            return Ok(Some(Entry::from_bytes(frame)?));
        }
        let source = self.source();
        let frames = source.range_at_once(log, seq, seq.saturating_add(1), 1).await?;
        frames.first().map(|frame| Entry::from_bytes(frame).map_err(Error::from)).transpose()
    }

    /// Signs for logs again, once everything admitted so far is durable.
    pub(super) fn attest(&mut self, logs: Vec<LogId>, everywhere: bool, reply: Reply<Receipts>) {
        if everywhere {
            self.ask_to_attest(&logs);
        }
        self.gathering.waiters.push(Waiter::Attest { logs, reply });
    }

    /// Sends what was gathered to the disk, unless a batch is on its way.
    pub(super) fn cut(&mut self) {
        if self.flying.is_some() || self.gathering.is_empty() {
            return;
        }
        let next = Gathering::new(self.context.store.batch());
        let Gathering { mut batch, touched, frames, entries, waiters, .. } =
            std::mem::replace(&mut self.gathering, next);
        let kept = self.relay.is_none();
        for log in touched.iter().filter(|_| kept) {
            if let Some(state) = self.state.logs.get(log) {
                disk::put_log(&mut batch, &self.id, state);
            }
            if let Some(tail) = self.state.tails.get(log) {
                batch.put(&TAILS, &(self.id, *log), tail);
            }
        }
        if kept && !touched.is_empty() && !self.state.known {
            batch.put(&SPACES, &self.id, &self.context.clock.now());
            self.context.residences.keep(&mut batch, &self.id);
            self.state.known = true;
        }
        let asked = waiters.iter().flat_map(Waiter::logs).copied();
        let logs: BTreeSet<LogId> = touched.iter().copied().chain(asked).collect();
        let heads =
            logs.into_iter().filter_map(|log| Some((log, self.state.logs.get(&log)?.head()))).collect();
        let nothing_to_write = batch.is_empty();
        self.flying = Some(Flying { heads, frames, entries, waiters });
        if nothing_to_write {
            self.landed();
            return;
        }
        let store = self.context.store.clone();
        self.jobs.push(async move { Done::Written(store.commit(batch).await) }.boxed());
    }

    /// The batch is durable: sign, and answer who waited.
    pub(super) fn landed(&mut self) {
        let Some(Flying { heads, entries, waiters, .. }) = self.flying.take() else { return };
        let metrics = &self.context.metrics;
        let counter = if self.relay.is_none() { &metrics.entries_stored } else { &metrics.entries_forwarded };
        counter.inc_by(entries);
        if entries > 0 && self.relay.is_none() {
            self.spaces.moved(&self.id);
        }
        let signed = self.sign(&heads);
        for waiter in waiters {
            waiter.answer(&heads, &signed);
        }
    }

    /// Receipts for these heads. What is only passed on is not promised: it is on no disk here.
    fn sign(&self, heads: &BTreeMap<LogId, Head>) -> BTreeMap<LogId, Arc<[u8]>> {
        if self.relay.is_some() && !self.may_lie_here() {
            return BTreeMap::new();
        }
        let (promise, ring) = (self.promise(), duty::digest(&self.context.ring_view()));
        self.context.metrics.receipts_signed.inc_by(heads.len() as u64);
        let sign = |(log, head): (&LogId, &Head)| {
            let held = Held::Log { space: self.id, log: *log, head: *head };
            (*log, self.context.receipt(held, promise, ring).into())
        };
        heads.iter().map(sign).collect()
    }

    /// The batch could not be written: everybody who waited hears it.
    pub(super) fn crashed(&mut self, error: &cosmic_store::Error) {
        warn!(space = %self.id.short(), "a batch could not be written: {}", sentence(error));
        let flying = self.flying.take().map(|flying| flying.waiters).unwrap_or_default();
        let gathering = std::mem::take(&mut self.gathering.waiters);
        for waiter in flying.into_iter().chain(gathering) {
            waiter.fail(error);
        }
    }
}

impl Waiter {
    fn logs(&self) -> Box<dyn Iterator<Item = &LogId> + '_> {
        match self {
            Self::Append { logs, .. } => Box::new(logs.iter()),
            Self::Attest { logs, .. } => Box::new(logs.iter()),
            Self::Settle(_) => Box::new(std::iter::empty()),
        }
    }

    fn answer(self, heads: &BTreeMap<LogId, Head>, signed: &BTreeMap<LogId, Arc<[u8]>>) {
        let receipt = |log: &LogId| Some((*log, Arc::clone(signed.get(log)?)));
        match self {
            Self::Append { mut appended, logs, reply } => {
                appended.receipts = logs.iter().filter_map(receipt).collect();
                appended.heads = logs.iter().filter_map(|log| Some((*log, *heads.get(log)?))).collect();
                drop(reply.send(Ok(appended)));
            }
            Self::Attest { logs, reply } => drop(reply.send(Ok(logs.iter().filter_map(receipt).collect()))),
            Self::Settle(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn fail(self, error: &cosmic_store::Error) {
        let error = Error::Store(error.clone());
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error))),
            Self::Attest { reply, .. } => drop(reply.send(Err(error))),
            Self::Settle(reply) => drop(reply.send(Err(error))),
        }
    }
}
