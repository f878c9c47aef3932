//! One side of one conversation between two replicas of a space, as a pure machine.
//!
//! ```text
//! open ─ Hello ─► Greeting ── their Hello, all roots equal ────────────────► Open ◄─┐ rounds, wants,
//!                    └─ roots differ: Heads…, Mark 0 ─► Comparing ─ Mark 0 ─►  └────┘ pushes, stores
//! any state ── Stop, end of the stream, refusal, failure, close ─► Ended
//! ```
//! Work is spread over children, all on the same struct: `greeting` (from Hello to Open), `sending`
//! (what the peer lacks), `receiving` (what we lack), `round` (agreeing on a head set, comparing roots).

mod greeting;
mod receiving;
mod round;
mod sending;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use cosmic_common::{
    id::{ChannelId, Hash, LogId},
    time::Timestamp,
};
use cosmic_space::root::channel_root;

use self::{receiving::Inbox, round::Round, sending::Outbox};
use crate::{
    config::{BATCH_MAX_BYTES, CHANNELS_MAX, Config, LOGS_MAX},
    door::{End, Growth, Input, Output, Report, Status, Summary, Ticket, Timer},
    ledger::{Ledger, count},
    message::{Hello, Interest, Message, Run, StopReason},
    refusal::{Error, Refusal},
};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Our hello is sent, theirs awaited.
    Greeting,
    /// Our heads are sent, the mark that ends theirs is awaited.
    Comparing,
    /// Heads are exchanged; everything flows.
    Open,
    /// Over.
    Ended,
}

/// One side of one session.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    now: Timestamp,
    interest: Interest,
    their_interest: Interest,
    membership: ChannelId,
    ledger: Ledger,
    /// The root of each shared channel over its heads in the last round.
    roots: BTreeMap<ChannelId, Hash>,
    outbox: Outbox,
    inbox: Inbox,
    round: Option<Round>,
    next_round: u64,
    /// Channels whose roots differed in the last round.
    differing: BTreeSet<ChannelId>,
    timers: Timers,
    status: Status,
    next_ticket: u64,
    outputs: Vec<Output>,
}

/// When things last happened, and which timers run.
#[derive(Debug, Default)]
struct Timers {
    /// The peer last said something, or began to owe something.
    heard: Timestamp,
    /// Entries we asked for last came, or we began to ask.
    served: Timestamp,
    /// Whether the peer owed something when the last step ended.
    expecting: bool,
    /// Heads last moved.
    changed: Timestamp,
    /// Heads first moved since the last round.
    first_change: Timestamp,
    quiet_runs: bool,
    patience_runs: bool,
}

type Step = Result<(), End>;

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Session {
    /// A session of a replica that holds `local`, and the first things to do.
    ///
    /// `now` here and in [`Self::handle`] comes from a clock that never jumps.
    ///
    /// # Errors
    /// [`Error`] if the replica has more than a session can speak about, or the bounds make no sense.
    pub fn open(config: Config, local: Summary, now: Timestamp) -> Result<(Self, Vec<Output>), Error> {
        if config.batch_bytes == 0 || config.batch_bytes > BATCH_MAX_BYTES || config.window_bytes == 0 {
            return Err(Error::Bounds);
        }
        let Summary { membership, channels, interest } = local;
        let mut ledger = Ledger::new(membership);
        let mut roots = BTreeMap::new();
        let wanted = |channel: &ChannelId| *channel == membership || interest.has(channel);
        let logs = channels.iter().filter(|(channel, _)| wanted(channel)).map(|(_, heads)| heads.len()).sum();
        let count = channels.keys().filter(|channel| wanted(channel)).count();
        let asked_for = if let Interest::Only(channels) = &interest { channels.len() } else { 0 };
        if count.max(asked_for) >= CHANNELS_MAX {
            return Err(Error::TooManyChannels(count.max(asked_for)));
        }
        if logs > LOGS_MAX {
            return Err(Error::TooManyLogs(logs));
        }
        for (channel, heads) in channels.iter().filter(|(channel, _)| wanted(channel)) {
            roots.insert(*channel, channel_root(channel, heads));
            for (log, head) in heads {
                ledger.admit(*channel, *log).map_err(|_refusal| Error::LogInTwoChannels(*log))?;
                ledger.change(log, |view| {
                    view.advance(*head);
                    view.told = view.count();
                });
            }
        }
        let mut session = Self {
            config,
            phase: Phase::Greeting,
            now,
            interest: interest.clone(),
            their_interest: Interest::Only(BTreeSet::new()),
            membership,
            ledger,
            roots: roots.clone(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            round: None,
            next_round: 0,
            differing: BTreeSet::new(),
            timers: Timers::default(),
            status: Status::default(),
            next_ticket: 0,
            outputs: Vec::new(),
        };
        session.send(Message::Hello(Hello { interest, window_bytes: config.window_bytes, roots }));
        session.arm_patience();
        let outputs = mem::take(&mut session.outputs);
        Ok((session, outputs))
    }

    /// Takes one input and says what is to be done now, in this order.
    ///
    /// `now` is needed to tell silence and quiet; it must not go back. After [`Report::Ended`] nothing
    /// is asked for any more.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Output> {
        if self.phase == Phase::Ended {
            return Vec::new();
        }
        self.now = now;
        if let Err(end) = self.take(input).and_then(|()| self.proceed()) {
            self.end(end);
        }
        mem::take(&mut self.outputs)
    }

    /// How far the session is. Walks over all logs: for a person who asks, not for each step.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.status;
        status.open = self.phase == Phase::Open;
        for (_, view) in self.ledger.views() {
            status.missing_here =
                status.missing_here.saturating_add(view.theirs.saturating_sub(view.count()));
            status.missing_there =
                status.missing_there.saturating_add(view.count().saturating_sub(view.theirs));
        }
        status
    }

    /// How many entries of `log` the peer has, as far as it has told or sent them in this session.
    #[must_use]
    pub fn peer_holds(&self, log: &LogId) -> u64 {
        self.ledger.view(log).map_or(0, |view| view.theirs)
    }

    fn take(&mut self, input: Input) -> Step {
        match input {
            Input::Received(message) => self.receive(message),
            Input::Malformed => Err(Refusal::Malformed.into()),
            Input::Loaded(ticket, runs) => self.loaded(ticket, runs),
            Input::LoadFailed(_) => Err(End::Unable),
            Input::Stored(ticket, outcomes) => self.stored(ticket, &outcomes),
            Input::StoreFailed(_, failure) => Err(Self::store_failed(failure)),
            Input::Identified(ticket, ids) => self.identified(ticket, &ids),
            Input::Grown(growth) => self.grown(growth),
            Input::Fired(Timer::Quiet) => {
                self.quiet_fired();
                Ok(())
            }
            Input::Fired(Timer::Patience) => self.patience_fired(),
            Input::Close => Err(End::Closed),
            Input::PeerGone => Err(End::Gone),
        }
    }

    fn receive(&mut self, message: Message) -> Step {
        self.timers.heard = self.now;
        match (self.phase, message) {
            (_, Message::Stop(reason)) => Err(End::Stopped(reason)),
            (Phase::Greeting, Message::Hello(hello)) => self.greeted(hello),
            (Phase::Comparing | Phase::Open, Message::Heads(told)) => self.told(told),
            (Phase::Comparing | Phase::Open, Message::Mark(mark)) => self.marked(mark),
            (Phase::Open, Message::Want(wants)) => self.wanted(wants),
            (Phase::Open, Message::Entries(runs)) => self.entries(runs),
            (Phase::Open, Message::Root(roots)) => self.compared(roots),
            (_, message) => Err(Refusal::OutOfPlace(name(&message)).into()),
        }
    }

    /// A log has grown otherwise than by this session.
    fn grown(&mut self, growth: Growth) -> Step {
        let Growth { channel, log, head, frames } = growth;
        if !self.shares(&channel) {
            return Ok(());
        }
        self.ledger.admit(channel, log).map_err(|_refusal| End::Unable)?;
        self.advance(&log, head);
        let end = count(Some(&head));
        if let Some(from) = end.checked_sub(u64::try_from(frames.len()).unwrap_or(u64::MAX)) {
            self.push_at_once(Run { channel, log, from, frames });
        }
        Ok(())
    }

    /// Does whatever has become possible.
    fn proceed(&mut self) -> Step {
        if self.phase == Phase::Open {
            self.store_queued();
            self.tell();
            self.ask();
            self.load();
            self.advance_round()?;
            self.arm_quiet();
        }
        self.arm_patience();
        Ok(())
    }

    fn end(&mut self, end: End) {
        let reason = match end {
            End::Closed => Some(StopReason::Closing),
            End::Refused(_) => Some(StopReason::Refused),
            End::Unable => Some(StopReason::Unable),
            End::Stopped(_) | End::Gone => None,
        };
        if let Some(reason) = reason {
            self.send(Message::Stop(reason));
        }
        self.phase = Phase::Ended;
        self.report(Report::Ended(end));
    }

    /// Whether both sides want `channel`. Until their hello is here, whether this side does.
    fn shares(&self, channel: &ChannelId) -> bool {
        *channel == self.membership
            || self.interest.has(channel)
                && (self.phase == Phase::Greeting || self.their_interest.has(channel))
    }

    /// Whether the peer owes something.
    fn expects(&self) -> bool {
        self.phase != Phase::Open
            || self.round.is_some()
            || self.outbox.in_flight_bytes() > 0
            || !self.ledger.asking.is_empty()
    }

    fn arm_patience(&mut self) {
        let expects = self.expects();
        if expects && !self.timers.expecting {
            self.timers.heard = self.now;
        }
        self.timers.expecting = expects;
        if expects && !self.timers.patience_runs {
            self.timers.patience_runs = true;
            self.outputs.push(Output::Arm { timer: Timer::Patience, after: self.config.patience() });
        }
    }

    fn patience_fired(&mut self) -> Step {
        self.timers.patience_runs = false;
        if !self.expects() {
            return Ok(());
        }
        // While our own driver owes an answer, the peer may be waiting for us.
        let busy = self.inbox.is_storing() || self.outbox.is_loading() || self.is_identifying();
        if busy {
            self.timers.heard = self.now;
            self.timers.served = self.now;
        }
        let mut silent = self.now.since(self.timers.heard);
        if !self.ledger.asking.is_empty() {
            silent = silent.max(self.now.since(self.timers.served));
        }
        if silent >= self.config.patience() {
            return Err(Refusal::Silent.into());
        }
        self.timers.patience_runs = true;
        let after = self.config.patience().saturating_sub(silent);
        self.outputs.push(Output::Arm { timer: Timer::Patience, after });
        Ok(())
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn send(&mut self, message: Message) {
        self.outputs.push(Output::Send(message));
    }

    fn report(&mut self, report: Report) {
        self.outputs.push(Output::Report(report));
    }
}

/// What a message is called in refusals.
fn name(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "a hello",
        Message::Heads(_) => "heads",
        Message::Want(_) => "a want",
        Message::Entries(_) => "entries",
        Message::Mark(_) => "a mark",
        Message::Root(_) => "roots",
        Message::Stop(_) => "a stop",
    }
}
