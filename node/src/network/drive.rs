//! The driver of a session: frames, stored entries, local writes and timers go in; what the machine asks is done.

mod packing;
mod reading;

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    id::{LogId, SpaceId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{message::space::SpaceFrame, receipt::Held};
use cosmic_net::{Receiver, Sender};
use cosmic_runtime::{
    clock::{Clock, Monotonic},
    shutdown::Shutdown,
};
use cosmic_sync::{
    config::Config,
    door::{Aside, End, Growth, Input, Outcome, Output, Report, StoreFailure, Ticket, Timer},
    message::{Message, Run},
    session::Session,
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use self::reading::{load, name_places};
use super::{
    choosing,
    flight::{Asking, Flight, Wanting},
    opening::Opened,
};
use crate::{
    core::ingest,
    error::Error,
    event::Event,
    node::{GatewaySession, Node},
    safety::{self, Signed},
};

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// As the machine says.
    pub end: End,
    /// Whether the peer sent this device to another one.
    pub sent_away: bool,
}

/// A session under way.
struct Driver {
    node: Node,
    space: SpaceId,
    session: Session,
    sender: Sender,
    timers: BTreeMap<Timer, Monotonic>,
    start: Monotonic,
    /// Where each log ended when the session began, or last stored entries of it: no news to the peer.
    stored_here: BTreeMap<LogId, u64>,
    /// What is on its way to the gateway.
    flight: Flight,
    /// Receipts that did not come are asked for again.
    asking: Asking,
    /// Packs that somebody waits for are asked for.
    wanting: Wanting,
    /// Present if the peer is a gateway: it signs receipts and keeps objects.
    gateway: Option<GatewaySession>,
    sent_away: bool,
    end: Option<End>,
}

/// Drives a session that was opened, until it ends.
///
/// # Errors
/// [`Error`] if this node cannot go on; how the session ended otherwise.
pub async fn drive(
    node: &Node,
    space: SpaceId,
    opened: Opened,
    is_gateway: bool,
    shutdown: &Shutdown,
) -> Result<Ended, Error> {
    let Opened { stream, summary, events, session } = opened;
    let told: BTreeMap<LogId, u64> =
        summary.channels.values().flatten().map(|(log, head)| (*log, head.seq)).collect();
    let (gateway, partner) = (is_gateway.then_some(session), session);
    let (sender, receiver) = stream.split();
    let start = node.clock().monotonic();
    let flight = Flight::new(own_logs(node, space).await?);
    let opening = Session::open(Config::default(), summary, Timestamp::default());
    let (session, outputs) = match opening {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(space = %space.short(), %error, "a session cannot be held");
            node.context.uplinks.session(&space, false);
            return Ok(Ended { end: End::Unable, sent_away: false });
        }
    };
    let mut driver = Driver {
        node: node.clone(),
        space,
        session,
        sender,
        timers: BTreeMap::new(),
        start,
        stored_here: told,
        flight,
        asking: Asking::default(),
        wanting: Wanting::default(),
        gateway,
        sent_away: false,
        end: None,
    };
    if let Some(session) = gateway {
        node.sessions.set(&space, Some(session));
        driver.note_in_flight();
        // Receipts may have been lost with the gateway that should have passed them on.
        driver.asking.begin(node.clock().monotonic());
        driver.wanting.begin(node.clock().monotonic());
    } else {
        node.sessions.met(space, partner.gateway, partner.session);
    }
    let end = driver.run(receiver, events, outputs, shutdown).await;
    node.context.uplinks.session(&space, false);
    if gateway.is_some() {
        node.sessions.set(&space, None);
    } else {
        node.sessions.parted(partner.gateway, partner.session);
    }
    Ok(Ended { end: end?, sent_away: driver.sent_away })
}

impl Driver {
    async fn run(
        &mut self,
        mut receiver: Receiver,
        mut events: broadcast::Receiver<Event>,
        outputs: Vec<Output>,
        shutdown: &Shutdown,
    ) -> Result<End, Error> {
        let clock = self.node.clock().clone();
        let mut online = self.node.online.subscribe();
        let mut leaving = None;
        self.perform(outputs).await?;
        loop {
            if let Some(end) = self.end.take() {
                self.finish().await;
                return Ok(end);
            }
            // Before anything is waited for, the greeting too: the other side may wait for nothing else.
            if let Err(error) = self.sender.flush().await {
                tracing::debug!(%error, "a session's stream broke");
                self.end = Some(End::Gone);
                continue;
            }
            let input = tokio::select! {
                biased;
                () = went_offline(&mut online) => vec![Input::Close],
                event = events.recv() => self.event(event),
                () = leave(shutdown, &clock, &mut leaving, self.flight.is_empty()) => vec![Input::Close],
                frame = receiver.recv(SpaceFrame::LIMIT) => self.frame(frame).await?,
                () = due(&clock, self.timers.values().min().copied()) => self.fired(),
                () = due(&clock, self.flight.overdue_at()) => {
                    self.give_up_waiting().await?;
                    Vec::new()
                }
                () = due(&clock, self.asking.at()) => {
                    self.ask_for_receipts().await?;
                    Vec::new()
                }
                () = due(&clock, self.wanting.at()) => {
                    self.ask_for_packs().await?;
                    Vec::new()
                }
            };
            for input in input {
                let outputs = self.session.handle(input, self.now());
                self.perform(outputs).await?;
            }
            self.note_elsewhere().await?;
        }
    }

    /// A time that never jumps, as the machine wants it.
    fn now(&self) -> Timestamp {
        Timestamp::default().after(self.node.clock().monotonic().since(self.start))
    }

    async fn finish(&mut self) {
        let closed = async {
            self.sender.flush().await?;
            self.sender.close().await
        };
        if let Err(error) = cosmic_net::within("closing a session", CLOSE_PATIENCE, closed).await {
            tracing::debug!(%error, "a session's stream did not close in order");
        }
    }

    async fn frame(
        &mut self,
        frame: Result<Option<Vec<u8>>, cosmic_net::Error>,
    ) -> Result<Vec<Input>, Error> {
        let bytes = match frame {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(vec![Input::PeerGone]),
            Err(error) => {
                tracing::debug!(%error, "a session's stream broke");
                return Ok(vec![Input::PeerGone]);
            }
        };
        Ok(match SpaceFrame::from_bytes(&bytes) {
            Ok(SpaceFrame::Sync(message)) => {
                vec![Message::from_bytes(&message).map_or(Input::Malformed, Input::Received)]
            }
            Ok(SpaceFrame::Receipts(receipts)) if self.gateway.is_some() => {
                self.receipts(receipts).await?;
                Vec::new()
            }
            Ok(SpaceFrame::Packed { packed, whereabouts }) if self.gateway.is_some() => {
                self.packed(packed, whereabouts).await?;
                Vec::new()
            }
            Ok(SpaceFrame::Refused(refusal)) => {
                tracing::info!(space = %self.space.short(), %refusal, "the peer ended the session");
                self.sent_away = choosing::sends_away(&refusal);
                vec![Input::PeerGone]
            }
            // A device signs for nothing and packs nothing.
            Ok(SpaceFrame::Attest(_) | SpaceFrame::Pack { .. }) => Vec::new(),
            Ok(_) | Err(_) => vec![Input::Malformed],
        })
    }

    fn event(&mut self, event: Result<Event, RecvError>) -> Vec<Input> {
        match event {
            Ok(Event::Grown { space, channel, log, head, frames }) if space == self.space => {
                if self.stored_here.get(&log).is_some_and(|seq| *seq >= head.seq) {
                    return Vec::new();
                }
                if self.gateway.is_some() {
                    self.flight.grown(log, head.seq);
                    self.note_in_flight();
                }
                vec![Input::Grown(Growth { channel, log, head, frames })]
            }
            Ok(Event::Ring) => {
                self.wanting.safer(self.node.clock().monotonic());
                Vec::new()
            }
            Ok(Event::Wanted { space }) if space == self.space && self.gateway.is_some() => {
                self.wanting.begin(self.node.clock().monotonic());
                Vec::new()
            }
            Ok(_) => Vec::new(),
            // Too far behind to be told each growth (a new session compares everything), or at the end.
            Err(RecvError::Lagged(_) | RecvError::Closed) => vec![Input::Close],
        }
    }

    fn fired(&mut self) -> Vec<Input> {
        let now = self.node.clock().monotonic();
        let due: Vec<Timer> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        due.into_iter()
            .map(|timer| {
                self.timers.remove(&timer);
                Input::Fired(timer)
            })
            .collect()
    }

    /// Does what the machine asks, and what follows from that.
    async fn perform(&mut self, outputs: Vec<Output>) -> Result<(), Error> {
        let mut outputs = std::collections::VecDeque::from(outputs);
        while let Some(output) = outputs.pop_front() {
            let input = match output {
                Output::Send(message) => {
                    let frame = SpaceFrame::Sync(message.to_bytes()).to_bytes();
                    match self.sender.send(&frame).await {
                        Ok(()) => None,
                        Err(_broken) => Some(Input::PeerGone),
                    }
                }
                Output::Load { ticket, ranges, max_bytes } => {
                    Some(load(&self.node, ticket, ranges, max_bytes).await)
                }
                Output::Store { ticket, runs } => Some(self.store(ticket, runs).await?),
                Output::Identify { ticket, places } => Some(name_places(&self.node, ticket, places).await),
                Output::Arm { timer, after } => {
                    self.timers.insert(timer, self.node.clock().monotonic().after(after));
                    None
                }
                Output::Report(report) => {
                    self.report(report);
                    None
                }
            };
            if let Some(input) = input {
                outputs.extend(self.session.handle(input, self.now()));
            }
        }
        Ok(())
    }

    async fn store(&mut self, ticket: Ticket, runs: Vec<Run>) -> Result<Input, Error> {
        let space = self.space;
        let runs: Vec<ingest::Run> = runs
            .into_iter()
            .map(|run| ingest::Run {
                channel: run.channel,
                log: run.log,
                from: run.from,
                frames: run.frames.iter().map(|frame| frame.to_vec()).collect(),
            })
            .collect();
        let ingested = self.node.write(move |core, connection| core.ingest(connection, &space, &runs)).await;
        match ingested {
            Ok(ingested) => {
                self.node.metrics.entries_received.inc_by(ingested.stored as u64);
                let outcomes = ingested
                    .logs
                    .into_iter()
                    .map(|(log, outcome)| {
                        if let Some(head) = outcome.head {
                            self.stored_here.insert(log, head.seq);
                        }
                        Outcome { log, head: outcome.head, aside: outcome.forked.then_some(Aside::Forked) }
                    })
                    .collect();
                Ok(Input::Stored(ticket, outcomes))
            }
            Err(error @ (Error::Space(_) | Error::Entry(_))) => {
                tracing::warn!(space = %self.space.short(), %error, "a peer sent an entry that cannot stand");
                Ok(Input::StoreFailed(ticket, StoreFailure::Refused))
            }
            Err(error @ Error::NoSpace { .. }) => Err(error),
            Err(error) => {
                tracing::error!(space = %self.space.short(), %error, "entries cannot be stored");
                Ok(Input::StoreFailed(ticket, StoreFailure::Unavailable))
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Equal { round, root } => {
                self.node.metrics.rounds_equal.inc();
                tracing::debug!(space = %self.space.short(), round, root = %root.short(), "in sync");
                if let Some(gateway) = &mut self.gateway {
                    gateway.in_sync = true;
                    self.node.sessions.set(&self.space, Some(*gateway));
                    self.asking.begin(self.node.clock().monotonic());
                }
            }
            Report::Differ { round, channels, stays } => {
                self.node.metrics.rounds_differing.inc();
                if stays {
                    tracing::error!(space = %self.space.short(), round, channels = channels.len(), "two replicas differ although everything was exchanged");
                }
            }
            Report::Forked { log, .. } => {
                tracing::warn!(space = %self.space.short(), log = %log.short(), "the peer holds another branch of a log");
            }
            Report::Ended(end) => {
                if matches!(end, End::Refused(_)) {
                    self.node.metrics.peers_refused.inc();
                }
                self.end = Some(end);
            }
        }
    }

    async fn receipts(&mut self, receipts: Vec<Vec<u8>>) -> Result<(), Error> {
        let mut kept = Vec::new();
        for bytes in receipts {
            match Signed::open(bytes) {
                Ok(signed) => kept.push(signed),
                Err(error) => {
                    self.node.metrics.receipts_refused.inc();
                    tracing::warn!(%error, "a receipt is refused");
                }
            }
        }
        for signed in &kept {
            self.node.safety.count(&signed.receipt);
            if let Held::Log { log, head, .. } = signed.receipt.held {
                self.flight.arrived(log, head.seq);
            }
        }
        self.wanting.safer(self.node.clock().monotonic());
        let (space, idle) = (self.space, self.note_in_flight());
        self.node
            .write(move |core, connection| {
                for signed in &kept {
                    safety::keep_log(connection, signed)?;
                }
                if idle {
                    core.touch(space);
                }
                core.tell(Event::Safer { space });
                Ok(())
            })
            .await
    }

    /// Tells the batching rule how many entries are on their way; whether none is.
    fn note_in_flight(&mut self) -> bool {
        if self.gateway.is_none() {
            return true;
        }
        let entries = self.flight.entries(self.node.clock().monotonic());
        self.node.context.uplinks.in_flight(&self.space, entries);
        entries == 0
    }

    /// Entries that reached the gateway through another device are not on their way any more; it signs for them only
    /// if it is asked to.
    async fn note_elsewhere(&mut self) -> Result<(), Error> {
        let session = &self.session;
        let logs = self.flight.reached(|log| session.peer_holds(log));
        if logs.is_empty() {
            return Ok(());
        }
        self.ask(logs).await;
        if self.note_in_flight() { self.seal_pending().await } else { Ok(()) }
    }

    /// Receipts are late or lost: what was written meanwhile is sealed all the same.
    async fn give_up_waiting(&mut self) -> Result<(), Error> {
        self.flight.give_up();
        self.note_in_flight();
        self.seal_pending().await
    }

    async fn seal_pending(&mut self) -> Result<(), Error> {
        let space = self.space;
        self.node
            .write(move |core, _connection| {
                core.touch(space);
                Ok(())
            })
            .await
    }

    /// Both sides hold the same, and some of it is not as safe as it could be: a receipt was lost, or its replica away.
    async fn ask_for_receipts(&mut self) -> Result<(), Error> {
        let (node, space) = (self.node.clone(), self.space);
        let owed = self.node.read(move |connection| node.safety.owed(connection, &space)).await?;
        self.asking.asked(self.node.clock().monotonic(), owed.is_empty());
        if !owed.is_empty() {
            self.ask(owed).await;
        }
        Ok(())
    }

    async fn ask(&mut self, logs: Vec<LogId>) {
        self.tell(&SpaceFrame::Attest(logs)).await;
    }

    async fn tell(&mut self, frame: &SpaceFrame) {
        if let Err(error) = self.sender.send(&frame.to_bytes()).await {
            tracing::debug!(%error, "a session's stream broke");
            self.end = Some(End::Gone);
        }
    }
}

/// The process ends, and what was written last has reached the gateway or had the time to.
async fn leave(shutdown: &Shutdown, clock: &Clock, leaving: &mut Option<Monotonic>, nothing_flies: bool) {
    shutdown.triggered().await;
    let until = *leaving.get_or_insert_with(|| clock.monotonic().after(LEAVE_PATIENCE));
    if !nothing_flies {
        clock.sleep_until(until).await;
    }
}

async fn due(clock: &Clock, at: Option<Monotonic>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How long a process that ends waits for its gateway to take what was written last: whoever was just given a ticket
/// cannot come in without it.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);
/// How long the end of a session may take to be written out.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// The person went offline (or the node is gone).
async fn went_offline(online: &mut watch::Receiver<bool>) {
    drop(online.wait_for(|online| !online).await);
}

/// This run's logs in `space` and where they end: what is written from now on is on its way until it is signed for. What
/// stood there before is not: nobody signs twice for it unasked.
async fn own_logs(node: &Node, space: SpaceId) -> Result<Vec<(LogId, u64)>, Error> {
    node.write(move |core, connection| {
        core.with_space(connection, &space, |_core, space| {
            Ok(space.mine.values().filter_map(|log| Some((*log, space.logs.get(log)?.head().seq))).collect())
        })
    })
    .await
}
