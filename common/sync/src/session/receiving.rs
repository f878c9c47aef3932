//! What we lack: asking for it, taking it in within our window, storing membership before content.

use std::collections::{BTreeMap, VecDeque};

use cosmic_common::{heads::Head, id::LogId, limit::ENTRY_MAX_BYTES};

use super::{Session, Step};
use crate::{
    config::{FRAME_MIN_BYTES, MEMBERSHIP_RESERVE_BYTES, WANTS_MAX},
    door::{Aside, End, Outcome, Output, Report, StoreFailure, Ticket},
    ledger::{Held, Tier, count},
    message::{Message, Run, Span, Told},
    refusal::Refusal,
};

/// Entries on their way from the peer into our store.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    received_bytes: u64,
    taken_bytes: u64,
    acknowledged_bytes: u64,
    /// Content that came before the membership it may depend on was stored.
    queue: VecDeque<Batch>,
    storing: BTreeMap<Ticket, Storing>,
    /// How often membership has moved here: tells a log that waits in vain from one to be tried again.
    membership_moves: u64,
}

#[derive(Debug)]
struct Batch {
    bytes: u64,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Storing {
    bytes: u64,
    ends: Vec<(LogId, u64)>,
    membership_moves: u64,
}

impl Inbox {
    pub(super) fn is_storing(&self) -> bool {
        !self.storing.is_empty()
    }

    /// The acknowledgement to send now.
    pub(super) fn acknowledge(&mut self) -> u64 {
        self.acknowledged_bytes = self.taken_bytes;
        self.taken_bytes
    }

    fn take(&mut self, bytes: u64) {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
    }
}

impl Session {
    /// Asks for what the peer has and we have not; content only when membership is complete.
    pub(super) fn ask(&mut self) {
        if self.ledger.asking.is_empty() {
            self.timers.served = self.now;
        }
        let tier = if self.membership_is_complete() { Tier::Content } else { Tier::Membership };
        while !self.ledger.due(tier).ask.is_empty() {
            let logs: Vec<LogId> = self.ledger.due(tier).ask.iter().take(WANTS_MAX).copied().collect();
            let mut wants = BTreeMap::new();
            for log in logs {
                let span = self.ledger.change(&log, |view| {
                    view.asked = view.theirs;
                    Span { from: view.received, to: view.theirs }
                });
                wants.extend(span.map(|span| (log, span)));
            }
            self.send(Message::Want(wants));
        }
    }

    /// Whether all membership entries the peer is known to have are stored here.
    fn membership_is_complete(&self) -> bool {
        self.ledger.due(Tier::Membership).missing.is_empty()
    }

    /// Entries from the peer.
    pub(super) fn entries(&mut self, runs: Vec<Run>) -> Step {
        let first = runs.first().ok_or(Refusal::FrameSize)?;
        let tier = self.ledger.tier(&first.channel);
        let bytes = runs.iter().map(Run::bytes).fold(0, u64::saturating_add);
        self.check_window(bytes)?;
        let mut batch = Batch { bytes, runs: Vec::with_capacity(runs.len()) };
        for run in runs {
            if self.ledger.tier(&run.channel) != tier {
                return Err(Refusal::Mixed.into());
            }
            batch.runs.extend(self.accept(run)?);
        }
        self.timers.changed = self.now;
        if batch.runs.is_empty() {
            self.inbox.take(bytes);
        } else if tier == Tier::Membership {
            self.store(batch);
        } else {
            self.inbox.queue.push_back(batch);
        }
        Ok(())
    }

    fn check_window(&mut self, bytes: u64) -> Result<(), Refusal> {
        // The reserve is for membership, but content that was being loaded may arrive behind it.
        let open = self.inbox.received_bytes.saturating_sub(self.inbox.taken_bytes);
        if open >= self.config.window_bytes.saturating_add(MEMBERSHIP_RESERVE_BYTES) {
            return Err(Refusal::Flood);
        }
        self.inbox.received_bytes = self.inbox.received_bytes.saturating_add(bytes);
        self.status.received_bytes = self.status.received_bytes.saturating_add(bytes);
        Ok(())
    }

    /// What of a run is new here and can be stored now.
    fn accept(&mut self, run: Run) -> Result<Option<Run>, Refusal> {
        let Run { channel, log, from, mut frames } = run;
        if !self.shares(&channel) {
            return Err(Refusal::Channel(channel));
        }
        let fits = FRAME_MIN_BYTES..=ENTRY_MAX_BYTES;
        if frames.is_empty() || !frames.iter().all(|frame| fits.contains(&frame.len())) {
            return Err(Refusal::FrameSize);
        }
        let length = u64::try_from(frames.len()).unwrap_or(u64::MAX);
        let end = from.checked_add(length).ok_or(Refusal::Sequence(log))?;
        self.ledger.admit(channel, log)?;
        let now = self.now;
        let timers = &mut self.timers;
        let accepted = self.ledger.change(&log, |view| {
            if from > view.theirs.max(view.received) {
                return Err(Refusal::Gap(log));
            }
            view.peer_has(end);
            // Held, or behind a part that was left out: it will be asked for again.
            let usable = view.is_taken() && from <= view.received && end > view.received;
            if !usable {
                return Ok(None);
            }
            timers.served = now;
            let known = usize::try_from(view.received - from).unwrap_or(usize::MAX);
            let run = Run { channel, log, from: view.received, frames: frames.split_off(known) };
            view.arrive(end);
            view.arriving += 1;
            Ok(Some(run))
        });
        self.outbox.peer_has(&log, end);
        accepted.unwrap_or(Ok(None))
    }

    /// Stores content that waited, once membership is complete.
    pub(super) fn store_queued(&mut self) {
        while self.membership_is_complete() {
            let Some(batch) = self.inbox.queue.pop_front() else { return };
            self.store(batch);
        }
    }

    fn store(&mut self, batch: Batch) {
        let ticket = self.ticket();
        let end = |run: &Run| run.from.saturating_add(u64::try_from(run.frames.len()).unwrap_or(u64::MAX));
        let ends = batch.runs.iter().map(|run| (run.log, end(run))).collect();
        let membership_moves = self.inbox.membership_moves;
        self.inbox.storing.insert(ticket, Storing { bytes: batch.bytes, ends, membership_moves });
        self.outputs.push(Output::Store { ticket, runs: batch.runs });
    }

    /// A batch is durable, all of it or part.
    pub(super) fn stored(&mut self, ticket: Ticket, outcomes: &[Outcome]) -> Step {
        let Some(storing) = self.inbox.storing.remove(&ticket) else { return Ok(()) };
        self.inbox.take(storing.bytes);
        self.timers.served = self.now;
        for Outcome { log, head, .. } in outcomes {
            if let Some(head) = head {
                self.advance(log, *head);
            }
        }
        let asides: BTreeMap<LogId, Aside> =
            outcomes.iter().filter_map(|outcome| Some((outcome.log, outcome.aside?))).collect();
        for (log, end) in storing.ends {
            let aside = asides.get(&log).copied();
            let moves = storing.membership_moves;
            let left_out = self.ledger.change(&log, |view| {
                view.arriving = view.arriving.saturating_sub(1);
                let left_out = view.count() < end;
                if left_out {
                    view.left_out = Some(view.left_out.map_or(moves, |first| first.min(moves)));
                }
                left_out
            });
            if let (Some(true), Some(aside)) = (left_out, aside) {
                self.put_aside(log, aside);
            }
            self.settle_left_out(&log);
        }
        Ok(())
    }

    /// When all that was on its way into a log is answered and part of it was left out: try again if that
    /// may help. Only the first batch left out tells what the log waits for: those behind it had a gap before them.
    fn settle_left_out(&mut self, log: &LogId) {
        let moves_now = self.inbox.membership_moves;
        self.ledger.change(log, |view| {
            let Some(moves) = view.left_out.take_if(|_| view.arriving == 0) else { return };
            view.start_over();
            if moves == moves_now && view.held.is_none() {
                view.held = Some(Held::Waiting);
            }
        });
    }

    fn put_aside(&mut self, log: LogId, aside: Aside) {
        let channel = self.ledger.change(&log, |view| {
            view.start_over();
            view.held = Some(Held::Aside);
            view.channel
        });
        if let (Some(channel), Aside::Forked) = (channel, aside) {
            self.report(Report::Forked { channel, log });
        }
    }

    pub(super) fn store_failed(failure: StoreFailure) -> End {
        match failure {
            StoreFailure::Refused => End::Refused(Refusal::Entry),
            StoreFailure::Unavailable => End::Unable,
        }
    }

    /// A head here has moved; when membership has, what waited for it is tried again.
    pub(super) fn advance(&mut self, log: &LogId, head: Head) {
        let moved = self.ledger.change(log, |view| view.advance(head).then_some(view.channel)).flatten();
        let Some(channel) = moved else { return };
        self.timers.changed = self.now;
        if self.ledger.tier(&channel) == Tier::Content {
            return;
        }
        self.inbox.membership_moves += 1;
        for log in std::mem::take(&mut self.ledger.waiting) {
            self.ledger.change(&log, |view| {
                view.held = None;
                view.start_over();
            });
        }
    }

    /// Tells the peer what has been taken, and which heads we now share with it.
    pub(super) fn tell(&mut self) {
        let unacknowledged = self.inbox.acknowledged_bytes != self.inbox.taken_bytes;
        if !unacknowledged && self.ledger.to_tell.is_empty() {
            return;
        }
        let logs: Vec<LogId> = self.ledger.to_tell.iter().copied().collect();
        let mut heads = Vec::with_capacity(logs.len());
        for log in logs {
            let head = self.ledger.change(&log, |view| {
                view.told = count(view.mine.as_ref());
                view.mine.map(|head| (view.channel, log, head))
            });
            heads.extend(head.flatten());
        }
        if heads.is_empty() {
            let taken_bytes = self.inbox.acknowledge();
            let told = Told { heads: BTreeMap::new(), taken_bytes };
            self.send(Message::Heads(told));
        } else {
            self.send_heads(&heads);
        }
    }
}
