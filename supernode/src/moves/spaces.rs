//! Spaces that are others' by the ring: their entries are sent to the replicas, and forgotten here when all of those have
//! signed for every log twice, a delay apart.

use std::collections::{BTreeSet, HashMap};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, Hash, LogId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_custody::{
    Duty, Held, Keep, LogCustody, LogDebt, Packed, Receipt, Release, Standing,
    message::{ATTEST_MAX, replica::ReplicaAnswer, replica::ReplicaRequest},
    release::{AskedLog, log_needless},
};
use cosmic_log::entry::Entry;
use cosmic_runtime::exit::sentence;
use cosmic_space::genesis::membership_channel;
use cosmic_store::Span;

use super::{
    Error, Moves,
    round::{Round, Why},
};
use crate::{
    context::log_of_receipt,
    duty,
    replica::{
        client,
        reconcile::{Reconciled, push},
    },
    spaces::Forgotten,
    tables::{self, LEAVING, LOGS, PACKS, SPACES},
};

/// Spaces read from the table in one go.
const PAGE: usize = 1024;
/// Logs asked about, or forgotten, at once.
#[expect(clippy::cast_possible_truncation, reason = "1,024 fits everywhere")]
const LOGS_AT_ONCE: usize = ATTEST_MAX as usize;
/// Packs named to a replica at once: it reads the entries of each, up to 4 MiB, before it answers.
const PACKS_AT_ONCE: usize = 8;
/// Bytes asked for at least; the largest entry comes whatever this says.
const ENTRY_BYTES: u32 = 1;

/// A log as it ends here.
type Log = (ChannelId, LogId, Head);

impl Moves {
    /// Moves for ever: when the ring changes, and now and then.
    pub(super) async fn move_spaces(self) {
        let clock = self.0.context.clock.clone();
        let mut ring = self.0.context.ring.clone();
        loop {
            ring.mark_unchanged();
            let mut round = Round::default();
            if let Err(error) = self.spaces_round(&mut round).await {
                tracing::warn!(reason = sentence(&error), "spaces that moved could not be looked at");
            }
            self.0.metrics.tell_spaces(&round);
            self.told().spaces = round;
            if let Some(Err(_ended)) = clock.timeout(self.0.config.look_every(), ring.changed()).await {
                return;
            }
        }
    }

    async fn spaces_round(&self, round: &mut Round) -> Result<(), Error> {
        let mut span = Span::<SpaceId>::all();
        loop {
            let store = &self.0.context.store;
            let page: Vec<(SpaceId, Timestamp)> =
                store.scan(&SPACES, &span, PAGE).collect::<Result<_, _>>()?;
            let Some((end, _since)) = page.last().copied() else { return Ok(()) };
            for (space, _since) in page {
                match self.move_space(space).await {
                    Ok(None) => {}
                    Ok(Some(keep)) => round.keeps(&keep),
                    Err(error) => {
                        tracing::debug!(space = %space.short(), reason = sentence(&error), "a space that belongs elsewhere stays");
                        round.waits(Why::Failed);
                    }
                }
            }
            span = span.after(&end);
        }
    }

    /// Moves one space; why it is still here, if it belongs elsewhere.
    async fn move_space(&self, space: SpaceId) -> Result<Option<Keep>, Error> {
        let (context, delay) = (&self.0.context, self.0.config.free_after());
        let settled = context.store.get(&LEAVING, &space)?;
        let view = context.ring_view();
        let replicas = duty::replicas(&self.0.context, &space);
        if replicas.contains(&context.peer) {
            if settled.is_some() {
                self.remember(space, None).await?;
            }
            return Ok(None);
        }
        let before = settled.map(tables::release).unwrap_or_default();
        if let Some(until) = before.rests_until(delay, context.clock.now()) {
            return Ok(Some(Keep::Delay { until }));
        }
        let mut owed = Vec::new();
        for peer in replicas.iter().filter(|_| before.settled.is_none()) {
            if let Err(error) = self.hand_over(space, *peer).await {
                tracing::debug!(space = %space.short(), peer = %peer.short(), reason = sentence(&error), "a space cannot be handed over");
                owed.push(LogDebt { holder: *peer, from: 0 });
            }
        }
        if !owed.is_empty() {
            return Ok(Some(Keep::LogOwed(owed)));
        }
        let (ring, duty) = (duty::digest(&view), Duty { current: replicas, earlier: Vec::new() });
        // No asking lasts as long as the delay, or what was said first could be history.
        let late = Ok(Err(Keep::LogOwed(Vec::new())));
        let reasons = context.clock.timeout(delay, self.ask_replicas(space, &duty)).await.unwrap_or(late);
        let mut release = before;
        match release.ask(reasons?, delay, context.clock.now()) {
            Ok(()) => {
                self.forget(space, ring).await?;
                Ok(None)
            }
            Err(keep) => {
                if settled != Some(tables::settled(release)) {
                    self.remember(space, Some(release)).await?;
                }
                Ok(Some(keep))
            }
        }
    }

    async fn remember(&self, space: SpaceId, release: Option<Release>) -> Result<(), Error> {
        let mut batch = self.0.context.store.batch();
        match release {
            Some(release) => batch.put(&LEAVING, &space, &tables::settled(release)),
            None => batch.delete(&LEAVING, &space),
        };
        Ok(self.0.context.store.commit(batch).await?)
    }

    /// Sends a replica what it lacks of a space, and names the packs that its runs lie in.
    async fn hand_over(&self, space: SpaceId, peer: PeerId) -> Result<(), Error> {
        let (spaces, replicas) = (&self.0.spaces, self.0.spaces.replicas());
        let ours = spaces.stored_heads(space)?;
        let theirs = replicas.heads(peer, space).await?;
        let mut done = Reconciled { complete: true, ..Reconciled::default() };
        push(replicas, spaces.reader(), (space, peer), (&ours, &theirs), &mut done).await?;
        let mut span = Span::prefix(&space);
        loop {
            let store = &self.0.context.store;
            let rows: Vec<_> = store.scan(&PACKS, &span, PACKS_AT_ONCE).collect::<Result<_, _>>()?;
            let Some((last, _pack)) = rows.last().copied() else { return Ok(()) };
            let packs =
                rows.into_iter().map(|((_, log, to), (from, object))| Packed { log, from, to, object });
            // What it does not note now it packs again: that costs space, nothing else.
            self.0.packs.tell(peer, space, packs.collect()).await?;
            span = span.after(&last);
        }
    }

    /// What speaks for keeping the entries, by what the replicas say now.
    async fn ask_replicas(&self, space: SpaceId, duty: &Duty) -> Result<Result<(), Keep>, Error> {
        let mut after = None;
        let mut standing = self.0.shards.holders().borrow().standing().clone();
        loop {
            let logs = self.logs(space, after)?;
            let Some((channel, log, _head)) = logs.last().copied() else { return Ok(Ok(())) };
            after = Some((channel, log));
            if let Err(keep) = self.ask_about(space, &logs, duty, &mut standing).await? {
                return Ok(Err(keep));
            }
        }
    }

    /// Logs of a space behind this one, as they end here.
    fn logs(&self, space: SpaceId, after: Option<(ChannelId, LogId)>) -> Result<Vec<Log>, Error> {
        let mut span = Span::prefix(&space);
        if let Some((channel, log)) = after {
            span = span.after(&(space, channel, log));
        }
        let rows = self.0.context.store.scan(&LOGS, &span, LOGS_AT_ONCE);
        let mut logs = Vec::new();
        for row in rows {
            let ((_, channel, log), row) = row?;
            logs.push((channel, log, row.head));
        }
        Ok(logs)
    }

    async fn ask_about(
        &self,
        space: SpaceId,
        logs: &[Log],
        duty: &Duty,
        standing: &mut Standing,
    ) -> Result<Result<(), Keep>, Error> {
        let ends: HashMap<LogId, Head> = logs.iter().map(|(_, log, head)| (*log, *head)).collect();
        let mut custody: HashMap<LogId, (LogCustody, BTreeSet<Head>)> = HashMap::new();
        for peer in &duty.current {
            let Ok(receipts) = self.attest(*peer, space, logs).await else {
                return Ok(Err(Keep::LogOwed(vec![LogDebt { holder: *peer, from: 0 }])));
            };
            for receipt in receipts {
                standing.observe(&receipt);
                let Held::Log { log, head, .. } = receipt.held else { continue };
                let Some(ours) = ends.get(&log) else { continue };
                let (fresh, beyond) =
                    custody.entry(log).or_insert_with(|| (LogCustody::new(space, log), BTreeSet::new()));
                drop(fresh.insert(&receipt, standing));
                if head.seq > ours.seq && self.goes_on(*peer, space, log, *ours).await? {
                    beyond.insert(head);
                }
            }
        }
        let (me, liveness, now) = (self.0.context.peer, self.0.care.present(), self.0.context.clock.now());
        for (_, log, ours) in logs {
            let nothing = || (LogCustody::new(space, *log), BTreeSet::new());
            let (fresh, beyond) = custody.remove(log).unwrap_or_else(nothing);
            let asked = AskedLog { fresh: &fresh, beyond: &beyond, standing, liveness: &liveness, now };
            if let Err(keep) = log_needless(&me, duty, *ours, &asked, |head| head == ours) {
                return Ok(Err(keep));
            }
        }
        Ok(Ok(()))
    }

    /// What a replica signs now for these logs.
    async fn attest(&self, peer: PeerId, space: SpaceId, logs: &[Log]) -> Result<Vec<Receipt>, Error> {
        let logs = logs.iter().map(|(_, log, _)| *log).collect();
        let request = ReplicaRequest::Attest { space, logs };
        let receipts = match self.0.spaces.replicas().call(peer, request).wait().await? {
            ReplicaAnswer::Receipts(receipts) => receipts,
            other => return Err(client::Error::answer(other).into()),
        };
        let opened = receipts.iter().filter_map(|bytes| log_of_receipt(bytes));
        let theirs = opened.filter(|(of, _, receipt)| *of == space && receipt.holder == peer);
        Ok(theirs.map(|(_, _, receipt)| receipt).collect())
    }

    /// Whether the last entry kept here is part of the log as that replica has it.
    async fn goes_on(&self, peer: PeerId, space: SpaceId, log: LogId, ours: Head) -> Result<bool, Error> {
        let part = (log, ours.seq, ours.seq);
        let entries = self.0.spaces.replicas().range(peer, space, part, ENTRY_BYTES).await?;
        let entry = entries.into_iter().next().and_then(|bytes| Entry::from_vec(bytes).ok());
        Ok(entry.is_some_and(|entry| entry.id() == ours.entry))
    }

    /// Forgets a space: its logs part by part, its membership, without which nothing else can be read, at the end.
    async fn forget(&self, space: SpaceId, ring: Hash) -> Result<(), Error> {
        let membership = membership_channel(&space);
        let (mut after, mut last) = (None, Vec::new());
        loop {
            let logs = self.logs(space, after)?;
            let Some((channel, log, _head)) = logs.last().copied() else { break };
            after = Some((channel, log));
            let (clear, content): (Vec<Log>, Vec<Log>) =
                logs.into_iter().partition(|(channel, ..)| *channel == membership);
            last.extend(clear);
            self.forget_part(space, Forgotten { logs: content, entries: 0, bytes: 0, ring, is_last: false })
                .await?;
        }
        self.forget_part(space, Forgotten { logs: last, entries: 0, bytes: 0, ring, is_last: true }).await?;
        self.0.spaces.moved(&space);
        self.0.metrics.spaces_freed.inc();
        tracing::info!(space = %space.short(), "the entries of a space that others keep now were freed");
        Ok(())
    }

    async fn forget_part(&self, space: SpaceId, mut part: Forgotten) -> Result<(), Error> {
        let store = self.0.context.store.clone();
        let counting = move || -> Result<Forgotten, cosmic_store::Error> {
            for (_, log, _) in &part.logs {
                let (entries, bytes) = tables::measure(&store, &Span::prefix(log))?;
                part.entries += entries;
                part.bytes = part.bytes.saturating_add(bytes);
            }
            Ok(part)
        };
        let part = tokio::task::spawn_blocking(counting).await.map_err(|_gone| Error::Stopping)??;
        Ok(self.0.spaces.get(space)?.forget(part).await?)
    }
}
