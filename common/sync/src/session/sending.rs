//! What the peer lacks: ranges it wants, and growth that is pushed to it, within its window.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use cosmic_common::id::LogId;

use super::{Phase, Session, Step};
use crate::{
    config::{LOAD_BATCHES, LOAD_RANGES_MAX, MEMBERSHIP_RESERVE_BYTES},
    door::{End, Output, Range, Ticket},
    ledger::{Held, Tier},
    message::{Frame, Message, Run, Span},
    refusal::Refusal,
};

/// Entries on their way to the peer.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Bytes the peer accepts ahead of what it has taken.
    window_bytes: u64,
    sent_bytes: u64,
    taken_bytes: u64,
    wanted: BTreeMap<LogId, Span>,
    wanted_membership: BTreeMap<LogId, Span>,
    loading: Option<Loading>,
}

/// The one load under way.
#[derive(Debug)]
struct Loading {
    ticket: Ticket,
    parts: Vec<Part>,
    reserved_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    range: Range,
    /// Asked for by the peer, so that the rest must not be forgotten; else it follows from the ledger.
    wanted: bool,
}

impl Outbox {
    pub(super) fn open(&mut self, window_bytes: u64) {
        self.window_bytes = window_bytes.max(1);
    }

    pub(super) fn in_flight_bytes(&self) -> u64 {
        self.sent_bytes.saturating_sub(self.taken_bytes)
    }

    pub(super) fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    pub(super) fn acknowledged(&mut self, taken_bytes: u64) -> Result<(), Refusal> {
        if taken_bytes < self.taken_bytes || taken_bytes > self.sent_bytes {
            return Err(Refusal::Acknowledged(taken_bytes));
        }
        self.taken_bytes = taken_bytes;
        Ok(())
    }

    /// The peer got these elsewhere: what it wanted of them need not be sent.
    pub(super) fn peer_has(&mut self, log: &LogId, end: u64) {
        for wanted in [&mut self.wanted, &mut self.wanted_membership] {
            if let Some(span) = wanted.get_mut(log) {
                span.from = span.from.max(end);
                if span.from >= span.to {
                    wanted.remove(log);
                }
            }
        }
    }

    fn wanted(&mut self, tier: Tier) -> &mut BTreeMap<LogId, Span> {
        match tier {
            Tier::Membership => &mut self.wanted_membership,
            Tier::Content => &mut self.wanted,
        }
    }

    /// Bytes that may be sent now. Membership may always go a step further than content.
    fn room_bytes(&self, tier: Tier) -> u64 {
        let limit = match tier {
            Tier::Membership => self.window_bytes.saturating_add(MEMBERSHIP_RESERVE_BYTES),
            Tier::Content => self.window_bytes,
        };
        let reserved = self.loading.as_ref().map_or(0, |loading| loading.reserved_bytes);
        limit.saturating_sub(self.in_flight_bytes().saturating_add(reserved))
    }
}

impl Session {
    /// Their want: only what they were told of.
    pub(super) fn wanted(&mut self, wants: BTreeMap<LogId, Span>) -> Step {
        for (log, span) in wants {
            let view = self.ledger.view(&log).ok_or(Refusal::Want(log))?;
            if span.from >= span.to || span.to > view.told {
                return Err(Refusal::Want(log).into());
            }
            let tier = self.ledger.tier(&view.channel);
            // Who wants to go on from there has, or will have, what comes before.
            self.ledger.change(&log, |view| view.sent = view.sent.max(span.from));
            self.outbox.wanted(tier).insert(log, span);
        }
        Ok(())
    }

    /// Pushes entries that have just been written, if nothing has to go before them and they fit.
    pub(super) fn push_at_once(&mut self, run: Run) {
        let tier = self.ledger.tier(&run.channel);
        let membership_first = tier == Tier::Content && !self.ledger.due(Tier::Membership).push.is_empty();
        let bytes = run.bytes();
        let fits = bytes <= self.outbox.room_bytes(tier).min(self.config.batch_bytes());
        let follows = self.ledger.view(&run.log).is_some_and(|view| {
            view.held != Some(Held::Aside) && view.sent >= view.offered && view.sent == run.from
        });
        if self.phase == Phase::Open && bytes > 0 && fits && follows && !membership_first {
            self.send_entries(vec![run]);
        }
    }

    /// Asks the driver for what is to be sent next, membership first, and growth before wants.
    pub(super) fn load(&mut self) {
        if self.outbox.is_loading() {
            return;
        }
        for tier in [Tier::Membership, Tier::Content] {
            let (room, batch_bytes) = (self.outbox.room_bytes(tier), self.config.batch_bytes());
            // Wants travel in whole batches, so that acknowledgements do not cut them ever smaller.
            let with_wants = room >= batch_bytes.min(self.outbox.window_bytes.div_ceil(2));
            let parts = if room > 0 { self.next_parts(tier, with_wants) } else { Vec::new() };
            if parts.is_empty() {
                continue;
            }
            let whole = room - room % batch_bytes;
            let max_bytes =
                if whole > 0 { whole.min(batch_bytes.saturating_mul(LOAD_BATCHES)) } else { room };
            let ticket = self.ticket();
            let ranges = parts.iter().map(|part| part.range).collect();
            self.outbox.loading = Some(Loading { ticket, parts, reserved_bytes: max_bytes });
            self.outputs.push(Output::Load { ticket, ranges, max_bytes });
            return;
        }
    }

    fn next_parts(&mut self, tier: Tier, with_wants: bool) -> Vec<Part> {
        let ledger = &self.ledger;
        let pushes = ledger.due(tier).push.iter().take(LOAD_RANGES_MAX).filter_map(|log| {
            let view = ledger.view(log)?;
            let range = Range { channel: view.channel, log: *log, from: view.sent, to: view.count() };
            Some(Part { range, wanted: false })
        });
        let mut parts: Vec<Part> = pushes.collect();
        while with_wants && parts.len() < LOAD_RANGES_MAX {
            let Some((log, Span { from, to })) = self.outbox.wanted(tier).pop_first() else { break };
            let Some(view) = ledger.view(&log) else { continue };
            parts.push(Part { range: Range { channel: view.channel, log, from, to }, wanted: true });
        }
        parts
    }

    /// Sends what was loaded and keeps the rest for the next load.
    pub(super) fn loaded(&mut self, ticket: Ticket, loaded: Vec<Vec<Frame>>) -> Step {
        let Some(loading) = self.outbox.loading.take_if(|loading| loading.ticket == ticket) else {
            return Ok(());
        };
        let mut loaded: VecDeque<Vec<Frame>> = loaded.into();
        let mut runs = Vec::new();
        for Part { range, wanted } in loading.parts {
            let Range { channel, log, from, to } = range;
            let mut frames = loaded.pop_front().unwrap_or_default();
            let length = to.saturating_sub(from);
            frames.truncate(usize::try_from(length).unwrap_or(usize::MAX));
            let next = from.saturating_add(u64::try_from(frames.len()).unwrap_or(u64::MAX));
            if wanted && next < to {
                let tier = self.ledger.tier(&channel);
                // A newer want for this log stands instead.
                self.outbox.wanted(tier).entry(log).or_insert(Span { from: next, to });
            }
            if !frames.is_empty() {
                runs.push(Run { channel, log, from, frames });
            }
        }
        if runs.is_empty() {
            return Err(End::Unable);
        }
        self.pack(runs);
        Ok(())
    }

    /// Cuts runs into messages of `batch_bytes` and sends them.
    fn pack(&mut self, runs: Vec<Run>) {
        let batch_bytes = self.config.batch_bytes();
        let (mut batch, mut bytes) = (Vec::new(), 0_u64);
        for Run { channel, log, mut from, frames } in runs {
            let mut part = Vec::new();
            for frame in frames {
                if bytes > 0 && bytes.saturating_add(frame.cost()) > batch_bytes {
                    let next = from.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
                    if !part.is_empty() {
                        batch.push(Run { channel, log, from, frames: mem::take(&mut part) });
                    }
                    from = next;
                    self.send_entries(mem::take(&mut batch));
                    bytes = 0;
                }
                bytes = bytes.saturating_add(frame.cost());
                part.push(frame);
            }
            batch.push(Run { channel, log, from, frames: part });
        }
        if !batch.is_empty() {
            self.send_entries(batch);
        }
    }

    fn send_entries(&mut self, runs: Vec<Run>) {
        for run in &runs {
            let end = run.from.saturating_add(u64::try_from(run.frames.len()).unwrap_or(u64::MAX));
            self.ledger.change(&run.log, |view| {
                view.sent = view.sent.max(end);
                view.told = view.told.max(end);
            });
            self.outbox.sent_bytes = self.outbox.sent_bytes.saturating_add(run.bytes());
            self.status.sent_bytes = self.status.sent_bytes.saturating_add(run.bytes());
        }
        self.timers.changed = self.now;
        self.send(Message::Entries(runs));
    }
}
