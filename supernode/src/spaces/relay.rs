//! Relaying: a space this supernode is no replica of, read at one of its replicas and owed to all of them.
//!
//! Membership is held in full, so that entries and proofs can be judged here; of other logs only the heads, and
//! the first entry once somebody brings more. What devices bring lies in `forwards` until a quorum of the
//! replicas has signed for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, LogId, PeerId, SpaceId},
};
use cosmic_custody::{
    Promise, Receipt,
    message::{
        fitting,
        replica::{ReplicaAnswer, ReplicaRequest, SpaceHeads},
    },
};
use cosmic_log::{chain::LogState, entry::Entry};
use cosmic_space::genesis::membership_channel;
use cosmic_store::{Batch, Span, Store};
use cosmic_sync::message::Frame;
use futures::{StreamExt as _, stream};
use tokio::sync::watch;
use tracing::debug;

use super::{
    error::Error,
    state::{State, Taken},
};
use crate::{
    context::Context,
    duty,
    replica::{
        client::{self, Pushes, Replicas},
        reconcile::{Error as ReconcileError, Reconciled},
    },
    source::{Source, Upstream},
    tables::FORWARDS,
};

/// What one space may owe: some seconds of a busy link to replicas that do not answer.
pub(super) const OWED_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Rows of one space in `forwards`.
const ROWS_MAX: usize = 1 << 20;
/// Pages of membership, far more than there can be.
const PAGES_MAX: usize = 4096;
/// Questions under way at once.
const PIPELINED: usize = 8;
/// Replicas whose word lets an entry go: what makes it `replicated`.
const QUORUM: usize = 2;

/// Entries that the replica may not have yet, by place.
#[derive(Debug, Clone, Default)]
pub struct Overlay(Arc<Mutex<BTreeMap<(LogId, u64), Frame>>>);

impl Overlay {
    /// Consecutive entries from a place on, up to but without `to`.
    #[must_use]
    pub fn range(&self, log: LogId, from: u64, to: u64) -> Vec<Frame> {
        let entries = self.entries();
        let mut frames = Vec::new();
        for (seq, ((_, found), frame)) in (from..to).zip(entries.range((log, from)..(log, to))) {
            if seq != *found {
                break;
            }
            frames.push(frame.clone());
        }
        frames
    }

    pub(super) fn insert(&self, log: LogId, seq: u64, frame: Frame) {
        self.entries().insert((log, seq), frame);
    }

    /// Forgets what the replica has signed for.
    fn remove_up_to(&self, log: LogId, seq: u64) {
        self.entries().retain(|(found, place), _| *found != log || *place > seq);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(LogId, u64), Frame>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a relayed space has beside its state.
pub(super) struct Relay {
    /// The replica that is relayed, told to those who read there.
    upstream: watch::Sender<Upstream>,
    /// Whatever is appended at the replica; none while another replica is sought.
    pub(super) pushes: Option<Pushes>,
    /// Logs of which only the end is known.
    pub(super) unopened: BTreeMap<LogId, (ChannelId, Head)>,
    pub(super) overlay: Overlay,
    owed: Owed,
}

/// What lies in `forwards`.
#[derive(Default)]
struct Owed {
    rows: BTreeMap<u64, (LogId, u64, usize)>,
    bytes: usize,
    next: u64,
    /// How far each replica has signed for logs that are owed.
    signed: BTreeMap<LogId, BTreeMap<PeerId, u64>>,
}

impl Relay {
    /// Takes a space up at the first of its replicas that answers and knows it, and what is still owed of it. Who has just
    /// become a replica may not have it yet.
    pub(super) async fn begin(
        context: &Context,
        replicas: &Replicas,
        space: SpaceId,
    ) -> Result<(State, Self), Error> {
        let mut found = Err(Error::Replica(client::Error::Lost));
        for peer in upstreams(context, &space) {
            match Self::follow(context, replicas, space, peer).await {
                Ok(followed) => {
                    let is_known = followed.0.membership.genesis().is_some();
                    if is_known || found.is_err() {
                        found = Ok(followed);
                    }
                    if is_known {
                        break;
                    }
                }
                Err(error) => {
                    debug!(space = %space.short(), peer = %peer.short(), "a replica cannot be relayed: {error}");
                    found = found.or(Err(error));
                }
            }
        }
        let (mut state, mut relay) = found?;
        relay.take_up(&context.store, &mut state, replicas).await?;
        Ok((state, relay))
    }

    async fn follow(
        context: &Context,
        replicas: &Replicas,
        space: SpaceId,
        upstream: PeerId,
    ) -> Result<(State, Self), Error> {
        // Subscribed before anything is read, so that nothing falls between.
        let pushes = replicas.subscribe(upstream, space).await?;
        let mut state = State::new(space, cosmic_custody::Usage::default(), context.limits.quota);
        state.unlimited();
        let channel = membership_channel(&space);
        for _ in 0..PAGES_MAX {
            let known = state.heads().remove(&channel).unwrap_or_default();
            let (entries, more) = replicas.membership(upstream, space, known).await?;
            let entries: Vec<Entry> = entries.into_iter().map(Entry::from_vec).collect::<Result<_, _>>()?;
            state.membership.learn(&entries);
            for entry in &entries {
                if let Taken::Refused(refusal) | Taken::Waits(refusal) = state.take(entry) {
                    return Err(refusal.into());
                }
            }
            if !more || entries.is_empty() {
                break;
            }
        }
        if state.membership.genesis().is_some_and(|genesis| context.residences.learn(genesis)) {
            // Its replicas are others than was believed.
            return Err(Error::Closed);
        }
        let mut unopened = BTreeMap::new();
        for (content, heads) in replicas.heads(upstream, space).await? {
            if content != channel {
                unopened.extend(heads.into_iter().map(|(log, head)| (log, (content, head))));
            }
        }
        let upstream = watch::Sender::new(Upstream { peer: upstream, followed: true });
        let (overlay, owed) = (Overlay::default(), Owed::default());
        Ok((state, Self { upstream, pushes: Some(pushes), unopened, overlay, owed }))
    }

    /// The replica that is relayed, or was until another one is found.
    pub(super) fn upstream(&self) -> PeerId {
        self.upstream.borrow().peer
    }

    /// Its pushes have ended: whoever reads there waits until another one is found.
    pub(super) fn lose(&mut self) {
        self.pushes = None;
        self.upstream.send_if_modified(|upstream| std::mem::take(&mut upstream.followed));
    }

    /// Another one is followed from now on.
    pub(super) fn turn_to(&mut self, peer: PeerId, pushes: Pushes) {
        self.pushes = Some(pushes);
        self.upstream.send_replace(Upstream { peer, followed: true });
    }

    /// Where the entries of the space can be read.
    pub(super) fn source(&self, space: SpaceId, replicas: &Replicas) -> Source {
        let (upstream, overlay) = (self.upstream.subscribe(), self.overlay.clone());
        Source::Remote { space, upstream, replicas: replicas.clone(), overlay }
    }

    /// What an earlier life of this writer, or of this process, left in `forwards`.
    async fn take_up(&mut self, store: &Store, state: &mut State, replicas: &Replicas) -> Result<(), Error> {
        let rows = rows(store, state.space)?;
        let entries: Vec<Entry> =
            rows.iter().map(|(_, frame)| Entry::from_bytes(frame)).collect::<Result<_, _>>()?;
        self.open_logs(state, replicas, &entries).await?;
        state.membership.learn(&entries);
        for ((number, frame), entry) in rows.into_iter().zip(&entries) {
            // What the replica has already is owed to the others; what no longer fits is its matter to refuse.
            if let Taken::Refused(refusal) | Taken::Waits(refusal) = state.take(entry) {
                debug!(space = %state.space.short(), "an entry that is owed does not fit: {refusal}");
            }
            self.owe(number, entry, frame);
        }
        Ok(())
    }

    /// Learns the first entries of logs that `entries` go on with.
    pub(super) async fn open_logs(
        &mut self,
        state: &mut State,
        replicas: &Replicas,
        entries: &[Entry],
    ) -> Result<(), Error> {
        let logs: BTreeSet<LogId> = entries
            .iter()
            .map(|entry| entry.core().log)
            .filter(|log| self.unopened.contains_key(log))
            .collect();
        let (upstream, space) = (self.upstream(), state.space);
        let ask =
            |log: LogId| async move { (log, replicas.range_of_any(upstream, space, (log, 0, 0), 1).await) };
        let mut answers = stream::iter(logs).map(ask).buffer_unordered(PIPELINED);
        while let Some((log, answer)) = answers.next().await {
            let first = answer?.into_iter().next().ok_or(Error::Replica(client::Error::OutOfPlace))?;
            let opened = LogState::from_open(&Entry::from_vec(first)?)
                .map_err(cosmic_space::refusal::Refusal::from)?;
            if let Some((channel, head)) = self.unopened.get(&log) {
                if opened.log() != log || opened.open().channel != *channel {
                    return Err(Error::Replica(client::Error::OutOfPlace));
                }
                state.logs.insert(log, LogState::restore(*opened.open(), *head));
                self.unopened.remove(&log);
            }
        }
        Ok(())
    }

    /// Adds the heads of logs of which nothing more is known.
    pub(super) fn add_heads(&self, heads: &mut SpaceHeads) {
        for (log, (channel, head)) in &self.unopened {
            heads.entry(*channel).or_default().insert(*log, *head);
        }
    }

    /// Keeps an entry that a device brought until the replicas have it: on disk, unless there is no batch, because the space may
    /// not lie here; then the device itself is all that has it until a replica signs.
    pub(super) fn forward(
        &mut self,
        batch: Option<&mut Batch>,
        space: &SpaceId,
        entry: &Entry,
        frame: &Frame,
    ) {
        let number = self.owed.next;
        if let Some(batch) = batch {
            batch.put_slice(&FORWARDS, &(*space, number), frame);
        }
        self.owe(number, entry, frame.clone());
    }

    fn owe(&mut self, number: u64, entry: &Entry, frame: Frame) {
        let (log, seq) = (entry.core().log, entry.core().seq);
        self.owed.rows.insert(number, (log, seq, frame.len()));
        self.owed.bytes += frame.len();
        self.owed.next = self.owed.next.max(number + 1);
        self.overlay.insert(log, seq, frame);
    }

    /// What is owed and not on disk, in its order, as far as the followed replica has not signed for it: it has the rest, and the
    /// others get that from it.
    pub(super) fn owed_in_passing(&self) -> Vec<Frame> {
        let entries = self.overlay.entries();
        self.owed.rows.values().filter_map(|(log, seq, _)| entries.get(&(*log, *seq)).cloned()).collect()
    }

    /// Whether more may be owed.
    pub(super) const fn has_room(&self) -> bool {
        self.owed.bytes < OWED_MAX_BYTES
    }

    pub(super) fn owes_nothing(&self) -> bool {
        self.owed.rows.is_empty()
    }

    /// A replica has signed: what a quorum has is no longer owed.
    pub(super) fn signed(
        &mut self,
        batch: &mut Batch,
        space: &SpaceId,
        receipt: (LogId, &Receipt),
        current: &[PeerId],
    ) {
        let (log, receipt) = receipt;
        let cosmic_custody::Held::Log { head, .. } = receipt.held else { return };
        if receipt.promise != Promise::Keeps || !current.contains(&receipt.holder) {
            return;
        }
        if receipt.holder == self.upstream() {
            self.overlay.remove_up_to(log, head.seq);
        }
        let signed = self.owed.signed.entry(log).or_default();
        let seq = signed.entry(receipt.holder).or_insert(head.seq);
        *seq = (*seq).max(head.seq);
        let mut seqs: Vec<u64> =
            signed.iter().filter(|(peer, _)| current.contains(peer)).map(|(_, seq)| *seq).collect();
        seqs.sort_unstable_by(|one, other| other.cmp(one));
        let Some(kept) = seqs.get(QUORUM.min(current.len()).saturating_sub(1)).copied() else { return };
        let free: Vec<u64> = self
            .owed
            .rows
            .iter()
            .filter(|(_, (owed, seq, _))| *owed == log && *seq <= kept)
            .map(|(number, _)| *number)
            .collect();
        for number in free {
            if let Some((_, _, bytes)) = self.owed.rows.remove(&number) {
                self.owed.bytes -= bytes;
                batch.delete(&FORWARDS, &(*space, number));
            }
        }
        if !self.owed.rows.values().any(|(owed, _, _)| *owed == log) {
            self.owed.signed.remove(&log);
        }
    }
}

/// The replicas to try, not all gateways the same one first.
fn upstreams(context: &Context, space: &SpaceId) -> Vec<PeerId> {
    let mut replicas = duty::replicas(context, space);
    replicas.retain(|peer| *peer != context.peer);
    let ([one, ..], [other, ..]) = (context.peer.as_bytes(), space.as_bytes());
    let first = usize::from(one ^ other);
    if !replicas.is_empty() {
        let turns = first % replicas.len();
        replicas.rotate_left(turns);
    }
    replicas
}

/// Follows a space at the first of its replicas that answers.
pub(super) async fn seek(
    context: &Context,
    replicas: &Replicas,
    space: SpaceId,
) -> Result<(PeerId, Pushes), client::Error> {
    let mut last = client::Error::Lost;
    for peer in upstreams(context, &space) {
        match replicas.subscribe(peer, space).await {
            Ok(pushes) => return Ok((peer, pushes)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What lies in `forwards` of a space, in the order it came.
pub(super) fn rows(store: &Store, space: SpaceId) -> Result<Vec<(u64, Frame)>, cosmic_store::Error> {
    store
        .scan(&FORWARDS, &Span::prefix(&space), ROWS_MAX)
        .map(|row| row.map(|((_, number), bytes)| (number, Frame::from(bytes.as_ref()))))
        .collect()
}

/// Sends a replica everything that is still owed.
pub(super) async fn resend(
    replicas: &Replicas,
    owed: Vec<Frame>,
    space: SpaceId,
    peer: PeerId,
) -> Result<Reconciled, ReconcileError> {
    let mut done = Reconciled { complete: true, ..Reconciled::default() };
    let mut rest = owed.as_slice();
    while !rest.is_empty() {
        let count = fitting(rest.iter().map(|frame| frame.len()), usize::MAX).clamp(1, rest.len());
        let (part, left) = rest.split_at(count);
        rest = left;
        let entries = part.iter().map(|frame| frame.to_vec()).collect();
        match replicas.call(peer, ReplicaRequest::Append { space, entries }).wait().await? {
            ReplicaAnswer::Appended { receipts, stopped } => {
                done.receipts.extend(receipts);
                done.complete &= stopped.iter().all(|stopped| !stopped.refusal.code.is_transient());
            }
            other => return Err(client::Error::answer(other).into()),
        }
    }
    Ok(done)
}

/// What a replica has beyond `ours`, for a follower that missed something.
pub(super) async fn catch_up(
    replicas: &Replicas,
    space: SpaceId,
    peer: PeerId,
    ours: SpaceHeads,
) -> Result<Vec<Vec<u8>>, client::Error> {
    let channel = membership_channel(&space);
    let known = ours.get(&channel).cloned().unwrap_or_default();
    let (mut missed, _) = replicas.membership(peer, space, known).await?;
    let ours: BTreeMap<LogId, u64> =
        ours.values().flatten().map(|(log, head)| (*log, head.seq.saturating_add(1))).collect();
    let theirs = replicas.heads(peer, space).await?;
    for (log, head) in theirs.iter().filter(|(theirs, _)| **theirs != channel).flat_map(|(_, heads)| heads) {
        let mut from = ours.get(log).copied().unwrap_or(0);
        while from <= head.seq {
            let entries = replicas.range(peer, space, (*log, from, head.seq), u32::MAX).await?;
            if entries.is_empty() {
                break;
            }
            from += entries.len() as u64;
            missed.extend(entries);
        }
    }
    Ok(missed)
}
