//! Couriers: what the other replicas of a space are owed, sent at once and made good after failures.
//!
//! ```text
//! new ──▶ comparing ──ok──▶ current ── append not answered, gap, flood ──▶ behind ──▶ comparing
//!             └── no answer ──▶ waiting (0.2 s, doubled up to 30 s) ──▶ comparing
//! ```
//! New entries are sent in every state but `waiting`: a replica that lacks what comes before says so. Who waits goes on
//! at once when the replica is heard of. A replica signs for what it is sent; what it came by otherwise, because it
//! pulled it itself or the receipt was lost, it is asked to sign for after the comparison.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use cosmic_common::id::{LogId, PeerId};
use cosmic_custody::{
    Held, Promise, Receipt,
    message::{
        ATTEST_MAX, fitting,
        replica::{ReplicaAnswer, ReplicaRequest},
    },
};
use cosmic_sync::message::Frame;
use futures::FutureExt as _;
use tracing::debug;

use super::{
    actor::{Actor, Done, sentence},
    handle::{Event, Receipts, Reply},
    relay,
};
use crate::{
    context::log_of_receipt,
    duty,
    replica::{client, reconcile},
};

/// Appends one replica may have unanswered for one space; what comes on top waits for a comparison of heads.
const OUTSTANDING_MAX: usize = 64;
/// The first wait after a failure.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The longest wait: then the rounds of anti-entropy are as quick.
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Logs of one question for receipts.
#[expect(clippy::cast_possible_truncation, reason = "1,024 fits everywhere")]
const LOGS_AT_ONCE: usize = ATTEST_MAX as usize;

/// What is known of one other replica.
#[derive(Debug)]
pub(super) struct Courier {
    outstanding: usize,
    comparing: bool,
    waiting: bool,
    behind: bool,
    retry: Duration,
    /// How far logs go that devices brought here, as far as it has not signed for them.
    unsigned: BTreeMap<LogId, u64>,
}

/// What another replica answered.
#[derive(Debug)]
pub(super) enum Delivered {
    /// To an append.
    Append(Result<ReplicaAnswer, client::Error>),
    /// To a comparison of heads.
    Compared(Result<reconcile::Reconciled, Arc<reconcile::Error>>),
    /// To a question for receipts.
    Attested(Result<ReplicaAnswer, client::Error>),
}

impl Courier {
    const fn new() -> Self {
        Self {
            outstanding: 0,
            comparing: false,
            waiting: false,
            behind: true,
            retry: RETRY_FIRST,
            unsigned: BTreeMap::new(),
        }
    }

    /// It has signed.
    fn signed(&mut self, log: LogId, receipt: &Receipt) {
        let Held::Log { head, .. } = receipt.held else { return };
        if receipt.promise == Promise::Keeps && self.unsigned.get(&log).is_some_and(|seq| *seq <= head.seq) {
            self.unsigned.remove(&log);
        }
    }
}

impl Actor {
    /// Keeps one courier for each other replica by the present ring; new ones compare heads first.
    pub(super) fn meet_replicas(&mut self) {
        let replicas = duty::replicas(&self.context, &self.id);
        let own = self.context.peer;
        self.couriers.retain(|peer, _| replicas.contains(peer));
        for peer in replicas.into_iter().filter(|peer| *peer != own) {
            if let Entry::Vacant(place) = self.couriers.entry(peer) {
                place.insert(Courier::new());
                self.compare_with(peer);
            }
        }
    }

    /// Sends new entries, which end `logs`, to every other replica at once.
    pub(super) fn deliver(&mut self, frames: &[Frame], logs: &[(LogId, u64)]) {
        self.meet_replicas();
        for courier in self.couriers.values_mut() {
            courier.unsigned.extend(logs.iter().copied());
        }
        let mut rest = frames;
        while !rest.is_empty() {
            let count = fitting(rest.iter().map(|frame| frame.len()), usize::MAX);
            let (part, left) = rest.split_at(count.clamp(1, rest.len()));
            rest = left;
            let peers: Vec<PeerId> = self.couriers.keys().copied().collect();
            for peer in peers {
                self.deliver_to(peer, part);
            }
        }
    }

    fn deliver_to(&mut self, peer: PeerId, frames: &[Frame]) {
        let Some(courier) = self.couriers.get_mut(&peer) else { return };
        if courier.waiting || courier.outstanding >= OUTSTANDING_MAX {
            courier.behind = true;
            return;
        }
        courier.outstanding += 1;
        let entries = frames.iter().map(|frame| frame.to_vec()).collect();
        let answer = self.spaces.replicas().call(peer, ReplicaRequest::Append { space: self.id, entries });
        self.jobs.push(async move { Done::Delivered(peer, Delivered::Append(answer.wait().await)) }.boxed());
    }

    /// Another replica answered, or did not.
    pub(super) fn delivered(&mut self, peer: PeerId, delivered: Delivered) {
        let Some(courier) = self.couriers.get_mut(&peer) else { return };
        match delivered {
            Delivered::Append(answer) => {
                courier.outstanding = courier.outstanding.saturating_sub(1);
                match answer {
                    Ok(ReplicaAnswer::Appended { receipts, stopped }) => {
                        courier.behind |= stopped.iter().any(|stopped| stopped.refusal.code.is_transient());
                        self.pass_on(peer, receipts);
                        self.compare_if_behind(peer);
                    }
                    Ok(other) => self.failed(peer, &client::Error::answer(other)),
                    Err(error) => self.failed(peer, &error),
                }
            }
            Delivered::Compared(Ok(reconciled)) => {
                courier.comparing = false;
                courier.retry = RETRY_FIRST;
                courier.behind |= !reconciled.complete;
                self.pass_on(peer, reconciled.receipts);
                self.ask_for_receipts(peer);
                self.compare_if_behind(peer);
            }
            Delivered::Compared(Err(error)) => {
                courier.comparing = false;
                self.failed(peer, &error);
            }
            Delivered::Attested(Ok(ReplicaAnswer::Receipts(receipts))) => self.pass_on(peer, receipts),
            Delivered::Attested(Ok(other)) => {
                debug!(peer = %peer.short(), "a replica did not attest: {}", client::Error::answer(other));
            }
            Delivered::Attested(Err(error)) => self.failed(peer, &error),
        }
    }

    /// The receipts of a replica go to the sessions that wait for them.
    fn pass_on(&mut self, peer: PeerId, receipts: Vec<Vec<u8>>) {
        let current = duty::replicas(&self.context, &self.id);
        let opened = receipts.into_iter().filter_map(|bytes| {
            let (space, log, receipt) = log_of_receipt(&bytes)?;
            (space == self.id && receipt.holder == peer).then_some((log, receipt, bytes))
        });
        let mut receipts = Receipts::new();
        for (log, receipt, bytes) in opened.collect::<Vec<_>>() {
            if let Some(courier) = self.couriers.get_mut(&peer) {
                courier.signed(log, &receipt);
            }
            if let Some(relay) = &mut self.relay {
                relay.signed(self.gathering.batch_mut(), &self.id, (log, &receipt), &current);
            }
            receipts.push((log, Arc::from(bytes)));
        }
        if !receipts.is_empty() {
            self.tell(Event::Receipts(Arc::new(receipts)));
        }
    }

    fn failed(&mut self, peer: PeerId, error: &dyn std::error::Error) {
        let Some(courier) = self.couriers.get_mut(&peer) else { return };
        courier.behind = true;
        if courier.waiting {
            return;
        }
        debug!(space = %self.id.short(), peer = %peer.short(), "a replica is behind: {}", sentence(error));
        courier.waiting = true;
        let (clock, wait) = (self.context.clock.clone(), courier.retry);
        courier.retry = (courier.retry * 2).min(RETRY_LAST);
        let arrival = self.spaces.replicas().arrival(peer);
        self.jobs.push(
            async move {
                // Heard of or not: then it is tried.
                clock.timeout(wait, arrival).await;
                Done::RetryDue(peer)
            }
            .boxed(),
        );
    }

    pub(super) fn retry(&mut self, peer: PeerId) {
        if let Some(courier) = self.couriers.get_mut(&peer) {
            courier.waiting = false;
        }
        self.compare_if_behind(peer);
    }

    fn compare_if_behind(&mut self, peer: PeerId) {
        let due = |courier: &Courier| courier.behind && !courier.waiting && courier.outstanding == 0;
        if self.couriers.get(&peer).is_some_and(due) {
            self.compare_with(peer);
        }
    }

    /// Compares heads with a replica and makes good what is missing, here and there.
    fn compare_with(&mut self, peer: PeerId) {
        let Some(courier) = self.couriers.get_mut(&peer).filter(|courier| !courier.comparing) else { return };
        let Some(space) = self.spaces.loaded(&self.id) else { return };
        courier.comparing = true;
        courier.behind = false;
        let spaces = self.spaces.clone();
        let at_rest = self.may_lie_here();
        let relayed = self.relay.as_ref().map(|relay| (!at_rest).then(|| relay.owed_in_passing()));
        let comparing = async move {
            let result = match relayed {
                Some(Some(passing)) => relay::resend(spaces.replicas(), passing, space.id(), peer).await,
                Some(None) => match relay::rows(&spaces.context().store, space.id()) {
                    Ok(rows) => {
                        let owed = rows.into_iter().map(|(_, frame)| frame).collect();
                        relay::resend(spaces.replicas(), owed, space.id(), peer).await
                    }
                    Err(error) => Err(error.into()),
                },
                None => reconcile::reconcile(&spaces, &space, peer).await,
            };
            Done::Delivered(peer, Delivered::Compared(result.map_err(Arc::new)))
        };
        self.jobs.push(comparing.boxed());
    }

    /// Compares heads because somebody asked; it is done apart from the actor, who goes on.
    pub(super) fn reconcile_for(&mut self, peer: PeerId, reply: Reply<()>) {
        let Some(space) = self.spaces.loaded(&self.id) else { return };
        let spaces = self.spaces.clone();
        let relayed = self.relay.is_some();
        let comparing = async move {
            let result = if relayed {
                reconcile::membership(spaces.replicas(), &space, peer).await
            } else {
                reconcile::reconcile(&spaces, &space, peer).await
            };
            let result = result.map_err(Arc::new);
            let told = result.as_ref().map(drop).map_err(|error| super::Error::Reconcile(Arc::clone(error)));
            drop(reply.send(told));
            Done::Delivered(peer, Delivered::Compared(result))
        };
        self.jobs.push(comparing.boxed());
    }

    /// Asks every other replica for its receipts once more, and sends it what it lacks.
    pub(super) fn ask_to_attest(&mut self, logs: &[LogId]) {
        let ends = logs.iter().filter_map(|log| Some((*log, self.state.logs.get(log)?.head().seq)));
        let ends: Vec<(LogId, u64)> = ends.collect();
        let peers: Vec<PeerId> = self.couriers.keys().copied().collect();
        for peer in peers {
            if let Some(courier) = self.couriers.get_mut(&peer) {
                courier.unsigned.extend(ends.iter().copied());
                courier.behind = true;
            }
            self.attest_at(peer, logs.to_vec());
            self.compare_if_behind(peer);
        }
    }

    /// Asks a replica that has everything now for the receipts that are missing.
    fn ask_for_receipts(&mut self, peer: PeerId) {
        let unsigned = self.couriers.get(&peer).map(|courier| &courier.unsigned);
        let logs: Vec<LogId> = unsigned.into_iter().flat_map(BTreeMap::keys).copied().collect();
        for part in logs.chunks(LOGS_AT_ONCE) {
            self.attest_at(peer, part.to_vec());
        }
    }

    fn attest_at(&mut self, peer: PeerId, logs: Vec<LogId>) {
        let answer = self.spaces.replicas().call(peer, ReplicaRequest::Attest { space: self.id, logs });
        self.jobs
            .push(async move { Done::Delivered(peer, Delivered::Attested(answer.wait().await)) }.boxed());
    }
}
