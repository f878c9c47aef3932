//! One session: the sync machine between a device and the writer of a space, receipts on the way back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use cosmic_common::{
    id::{EntryId, LogId, PeerId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Packed,
    message::{
        LIST_MAX, PACKS_WANTED_MAX,
        object::Whereabouts,
        refusal::{Refusal, RefusalCode},
        space::SpaceFrame,
    },
};
use cosmic_net::{FRAME_MAX_BYTES, Offence, Stream, Vouch};
use cosmic_runtime::{clock::Monotonic, random, shutdown::Shutdown};
use cosmic_space::{
    genesis::membership_channel,
    rights::{Channels, Right},
    session::Session,
};
use cosmic_sync::{
    config::Config,
    door::{Aside, End, Input, Outcome, Output, Place, Range, Report, StoreFailure, Summary, Ticket, Timer},
    message::{Frame, Interest, Message, Run},
    refusal as sync_refusal,
    session::Session as Machine,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::broadcast::error::RecvError;
use tracing::{debug, error, warn};

use super::{
    LEAVING,
    opening::Opening,
    reading::{identify, load},
};
use crate::{
    context::Context,
    metrics::Why,
    outbox::Outbox,
    packs::{self, Packs},
    session::{Door, SessionGuard},
    source::Source,
    spaces::{
        Appended, Brought, Error as SpaceError, Event, Grown, Opened, Origin, Pending, Receipts, Space,
        Spaces,
    },
};

/// Bytes that may wait for a device: the windows of the machine stay far below.
const OUTBOX_MAX_BYTES: usize = 16 * 1024 * 1024;
/// What a device is told that is sent elsewhere because there is too much to do here.
const BUSY: &str = "this supernode has too much to do; another one serves this device better";
/// How long a device may take to hear the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a session ended otherwise than by a close.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the network failed: {0}")]
    Net(#[from] cosmic_net::Error),
    #[error("the space cannot be opened: {0}")]
    Space(#[from] SpaceError),
    #[error("the space is too large for one session: {0}")]
    Sync(#[from] sync_refusal::Error),
    #[error("{0}")]
    Refused(Refusal),
    #[error("the device does not read what it is sent")]
    Deaf,
}

/// Work of a session that came to its end.
enum Done {
    Submitted(Batch, Result<Pending<Appended>, SpaceError>),
    Stored(Batch, Result<Appended, SpaceError>),
    Loaded(Ticket, Result<Vec<Vec<Frame>>, SpaceError>),
    Identified(Ticket, Result<Vec<EntryId>, SpaceError>),
    Attested(Result<Receipts, SpaceError>),
    Rechecked(Result<(), SpaceError>),
    Packed(Result<(Packed, Whereabouts), packs::Error>),
}

/// Entries that the machine wants stored.
struct Batch {
    ticket: Ticket,
    logs: BTreeSet<LogId>,
    /// Logs this device may not bring.
    asides: BTreeMap<LogId, Aside>,
    /// When it came.
    came: Monotonic,
}

/// One session.
pub(super) struct Driver {
    context: Arc<Context>,
    packs: Packs,
    space: Space,
    session: Arc<Session>,
    guard: SessionGuard,
    number: u64,
    stream: Stream,
    /// The device has proven something, and is no stranger while it is served.
    vouch: Vouch,
}

impl Driver {
    pub(super) fn new(spaces: &Spaces, packs: Packs, opening: Opening, stream: Stream) -> Self {
        let context = Arc::clone(spaces.context());
        let Opening { space, session, number } = opening;
        let guard = context.sessions.open(stream.peer(), session.clone());
        let vouch = context.net.vouch(stream.peer());
        Self { context, packs, space, session: Arc::new(session), guard, number, stream, vouch }
    }

    pub(super) async fn run(self, stop: Shutdown) -> Result<(), Error> {
        let Self { context, packs, space, session, guard, number, stream, vouch: _vouch } = self;
        let peer = stream.peer();
        let Opened { heads, mut events, source } = space.open().await?;
        let (sender, mut receiver) = stream.split();
        let mut outbox = Outbox::new(sender);
        let opened = SpaceFrame::Opened {
            session: guard.id(),
            incarnation: context.incarnation,
            source: source.peer(context.peer),
        };
        outbox.push(opened.to_bytes());
        let began = context.clock.monotonic();
        let summary = Summary {
            membership: membership_channel(&space.id()),
            channels: heads,
            interest: interest(&session),
        };
        let (machine, outputs) = Machine::open(Config::default(), summary, Timestamp::default())?;
        let expires = session.caveats.expires.map(|at| began.after(at.since(context.clock.now())));
        let mut live = Live {
            context,
            packs,
            packs_wanted: 0,
            space,
            session,
            source,
            number,
            peer,
            machine,
            outbox,
            began,
            expires,
            leaves: None,
            timers: BTreeMap::new(),
            jobs: FuturesUnordered::new(),
            brought: BTreeSet::new(),
            brought_bytes: 0,
            arrived: VecDeque::new(),
            submitting: false,
            end: None,
        };
        live.perform(outputs);
        let mut door = live.context.sessions.door();
        live.leave(*door.borrow_and_update());
        while live.end.is_none() {
            let wake = live.wake();
            let clock = live.context.clock.clone();
            tokio::select! {
                biased;
                () = stop.triggered() => live.input(Input::Close),
                Ok(()) = door.changed() => live.leave(*door.borrow_and_update()),
                () = guard.sent_away() => live.send_away(),
                Some(done) = live.jobs.next(), if !live.jobs.is_empty() => live.done(done),
                event = events.recv() => live.event(event),
                frame = receiver.recv(FRAME_MAX_BYTES) => match frame {
                    Ok(Some(frame)) => live.received(&frame),
                    Ok(None) | Err(_) => live.input(Input::PeerGone),
                },
                sent = live.outbox.pump(), if !live.outbox.is_idle() => sent?,
                () = clock.sleep_until(wake) => live.timer(),
            }
            if live.outbox.bytes() > OUTBOX_MAX_BYTES {
                return Err(Error::Deaf);
            }
        }
        live.goodbye().await
    }
}

/// What a session may hear about and bring, besides membership.
fn interest(session: &Session) -> Interest {
    match &session.channels {
        Channels::All => Interest::All,
        Channels::Only(channels) => Interest::Only(channels.iter().copied().collect()),
    }
}

/// How a session ends.
#[derive(Debug)]
enum Ending {
    /// As the machines agreed, or the stream broke.
    Quietly,
    /// With a reason.
    Refusing(Refusal),
    /// The device lied: its connection is closed.
    Accusing(Refusal),
}

/// A session that goes on.
struct Live {
    context: Arc<Context>,
    packs: Packs,
    /// Packs this device waits for.
    packs_wanted: usize,
    space: Space,
    session: Arc<Session>,
    source: Source,
    number: u64,
    peer: PeerId,
    machine: Machine,
    outbox: Outbox,
    began: Monotonic,
    expires: Option<Monotonic>,
    /// When the device is sent elsewhere, because this supernode is about to leave.
    leaves: Option<Monotonic>,
    timers: BTreeMap<Timer, Monotonic>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Logs whose receipts this device waits for.
    brought: BTreeSet<LogId>,
    brought_bytes: u64,
    /// Batches the writer has not got yet; the window of the machine bounds them.
    arrived: VecDeque<(Batch, Vec<Brought>)>,
    submitting: bool,
    end: Option<Ending>,
}

impl Live {
    fn input(&mut self, input: Input) {
        let elapsed = self.context.clock.monotonic().since(self.began);
        let outputs = self.machine.handle(input, Timestamp::default().after(elapsed));
        self.perform(outputs);
    }

    fn perform(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(message) => self.send(&SpaceFrame::Sync(message.to_bytes())),
                Output::Load { ticket, ranges, max_bytes } => self.load(ticket, ranges, max_bytes),
                Output::Store { ticket, runs } => self.store(ticket, runs),
                Output::Identify { ticket, places } => self.identify(ticket, places),
                Output::Arm { timer, after } => {
                    self.timers.insert(timer, self.context.clock.monotonic().after(after));
                }
                Output::Report(report) => self.report(report),
            }
        }
    }

    fn send(&mut self, frame: &SpaceFrame) {
        self.outbox.push(frame.to_bytes());
    }

    fn received(&mut self, frame: &[u8]) {
        match SpaceFrame::from_bytes(frame) {
            Ok(SpaceFrame::Sync(message)) => match Message::from_bytes(&message) {
                Ok(message) => self.input(Input::Received(message)),
                Err(_malformed) => self.input(Input::Malformed),
            },
            Ok(SpaceFrame::Attest(logs)) => {
                self.brought.extend(logs.iter().copied());
                let space = self.space.clone();
                self.jobs.push(async move { Done::Attested(space.attest(logs, true).await) }.boxed());
            }
            Ok(SpaceFrame::Pack { log, seq }) => self.pack(log, seq),
            Ok(SpaceFrame::Refused(_)) => self.end = Some(Ending::Quietly),
            Ok(_) | Err(_) => self.input(Input::Malformed),
        }
    }

    /// Sees that an entry lies in a pack, and tells where that is.
    fn pack(&mut self, log: LogId, seq: u64) {
        if self.packs_wanted >= PACKS_WANTED_MAX {
            return;
        }
        self.packs_wanted += 1;
        let (packs, space) = (self.packs.clone(), self.space.id());
        self.jobs.push(async move { Done::Packed(packs.find(space, log, seq).await) }.boxed());
    }

    fn packed(&mut self, found: Result<(Packed, Whereabouts), packs::Error>) {
        self.packs_wanted -= 1;
        match found {
            Ok((packed, whereabouts)) => self.send(&SpaceFrame::Packed { packed, whereabouts }),
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                debug!(space = %self.space.id().short(), reason, "an entry is not packed yet; the device asks again");
            }
        }
    }

    fn store(&mut self, ticket: Ticket, runs: Vec<Run>) {
        let logs: BTreeSet<LogId> = runs.iter().map(|run| run.log).collect();
        let mut asides = BTreeMap::new();
        let mut entries = Vec::new();
        for Run { channel, log, from, frames } in runs {
            if !self.session.may(Right::Relay, &channel) && !self.session.may(Right::Write, &channel) {
                asides.insert(log, Aside::Declined);
                continue;
            }
            for (seq, frame) in (from..).zip(frames) {
                self.brought_bytes = self.brought_bytes.saturating_add(frame.cost());
                entries.push(Brought { frame, place: Some(Place { channel, log, seq }) });
            }
        }
        if self.session.caveats.max_bytes.is_some_and(|max| self.brought_bytes > max) {
            let refusal = Refusal::new(RefusalCode::QuotaExceeded, "the delegation allows no more bytes");
            self.end = Some(Ending::Refusing(refusal));
            return;
        }
        self.brought.extend(logs.iter().copied());
        let came = self.context.clock.monotonic();
        self.arrived.push_back((Batch { ticket, logs, asides, came }, entries));
        self.submit();
    }

    /// Hands the next batch over to the writer: one after the other, because tickets have an order.
    fn submit(&mut self) {
        if self.submitting {
            return;
        }
        let Some((batch, entries)) = self.arrived.pop_front() else { return };
        self.submitting = true;
        let (space, origin) = (self.space.clone(), Origin::Session(self.number));
        self.jobs.push(async move { Done::Submitted(batch, space.submit(entries, origin).await) }.boxed());
    }

    /// The writer has the batch; while it is written the next one may go.
    fn submitted(&mut self, batch: Batch, submitted: Result<Pending<Appended>, SpaceError>) {
        let waiting = async move {
            let result = match submitted {
                Ok(pending) => pending.wait().await,
                Err(error) => Err(error),
            };
            Done::Stored(batch, result)
        };
        self.jobs.push(waiting.boxed());
        self.submitting = false;
        self.submit();
    }

    fn load(&mut self, ticket: Ticket, ranges: Vec<Range>, max_bytes: u64) {
        let (source, space) = (self.source.clone(), self.space.clone());
        let loading = async move { Done::Loaded(ticket, load(&source, &space, &ranges, max_bytes).await) };
        self.jobs.push(loading.boxed());
    }

    fn identify(&mut self, ticket: Ticket, places: Vec<Place>) {
        let (source, space) = (self.source.clone(), self.space.clone());
        let identifying = async move { Done::Identified(ticket, identify(&source, &space, &places).await) };
        self.jobs.push(identifying.boxed());
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Submitted(batch, submitted) => self.submitted(batch, submitted),
            Done::Stored(batch, Ok(appended)) => self.stored(batch, appended),
            Done::Stored(Batch { ticket, .. }, Err(error)) => {
                warn!(space = %self.space.id().short(), "entries of a device cannot be stored: {error}");
                self.input(Input::StoreFailed(ticket, StoreFailure::Unavailable));
                self.end = Some(Ending::Refusing(error.refusal()));
            }
            Done::Loaded(ticket, Ok(frames)) => self.input(Input::Loaded(ticket, frames)),
            Done::Identified(ticket, Ok(ids)) => self.input(Input::Identified(ticket, ids)),
            Done::Loaded(ticket, Err(error)) | Done::Identified(ticket, Err(error)) => {
                warn!(space = %self.space.id().short(), "entries cannot be read for a device: {error}");
                self.input(Input::LoadFailed(ticket));
                self.end = Some(Ending::Refusing(error.refusal()));
            }
            Done::Attested(Ok(receipts)) => self.receipts(&receipts),
            Done::Attested(Err(error)) | Done::Rechecked(Err(error)) => {
                self.end = Some(Ending::Refusing(error.refusal()));
            }
            Done::Rechecked(Ok(())) => {}
            Done::Packed(found) => self.packed(found),
        }
    }

    fn stored(&mut self, Batch { ticket, logs, mut asides, came }: Batch, appended: Appended) {
        self.context.metrics.waits.add(self.context.clock.monotonic().since(came));
        self.receipts(&appended.receipts);
        if let Some(refusal) = appended.invalid {
            self.input(Input::StoreFailed(ticket, StoreFailure::Refused));
            self.end = Some(Ending::Accusing(refusal));
            return;
        }
        asides.extend(appended.asides);
        let outcome = |log: &LogId| Outcome {
            log: *log,
            head: appended.heads.get(log).copied(),
            aside: asides.get(log).copied(),
        };
        let outcomes = logs.iter().map(outcome).collect();
        self.input(Input::Stored(ticket, outcomes));
    }

    /// Passes on the receipts of logs this device brought.
    fn receipts(&mut self, receipts: &Receipts) {
        let wanted = receipts.iter().filter(|(log, _)| self.brought.contains(log));
        let wanted: Vec<Vec<u8>> = wanted.map(|(_, receipt)| receipt.to_vec()).collect();
        for part in wanted.chunks(LIST_MAX / 4) {
            self.send(&SpaceFrame::Receipts(part.to_vec()));
        }
    }

    fn event(&mut self, event: Result<Event, RecvError>) {
        match event {
            Ok(Event::Grown(grown)) => self.grown(&grown),
            Ok(Event::Receipts(receipts)) => self.receipts(&receipts),
            Err(RecvError::Lagged(_)) => {
                let refusal =
                    Refusal::new(RefusalCode::Busy, "the session fell behind; open the space again");
                self.end = Some(Ending::Refusing(refusal));
            }
            Err(RecvError::Closed) => {
                let refusal = Refusal::new(RefusalCode::Stopping, "the space was closed; open it again");
                self.end = Some(Ending::Refusing(refusal));
            }
        }
    }

    /// Others have written: the device hears of it at once.
    fn grown(&mut self, grown: &Grown) {
        if grown.membership {
            let (space, session) = (self.space.clone(), Arc::clone(&self.session));
            self.jobs.push(async move { Done::Rechecked(space.recheck(session).await) }.boxed());
        }
        // What this device brought itself the machine hears when it is stored.
        if grown.origin == Origin::Session(self.number) {
            return;
        }
        for growth in &grown.growths {
            if self.end.is_none() {
                self.input(Input::Grown(growth.clone()));
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Equal { .. } => drop(self.context.metrics.roots_equal.inc()),
            Report::Differ { stays, .. } => {
                self.context.metrics.roots_differing.inc();
                if stays {
                    error!(space = %self.space.id().short(), peer = %self.peer.short(), "roots stay different");
                }
            }
            Report::Forked { log, .. } => {
                warn!(space = %self.space.id().short(), log = %log.short(), "a device holds another branch of a log");
            }
            Report::Ended(End::Refused(refusal)) => {
                self.context.metrics.refused_session(Why::Invalid);
                self.context.net.offence(self.peer, Offence::Malformed);
                let refusal = Refusal::new(RefusalCode::Malformed, refusal);
                self.end.get_or_insert(Ending::Refusing(refusal));
            }
            Report::Ended(_) => drop(self.end.get_or_insert(Ending::Quietly)),
        }
    }

    /// The door opens or closes: devices leave at different moments, so that others are not all asked at once.
    fn leave(&mut self, door: Door) {
        let now = self.context.clock.monotonic();
        self.leaves = match door {
            Door::Open => None,
            Door::Closing { within } => {
                let part = u32::from(u16::from_be_bytes(random::bytes()));
                Some(now.after(within / 2 * part / u32::from(u16::MAX)))
            }
            Door::Closed => Some(now),
        };
    }

    /// There is too much to do here: the device is served better elsewhere.
    fn send_away(&mut self) {
        self.context.metrics.sessions_sent_away.inc();
        self.end = Some(Ending::Refusing(Refusal::new(RefusalCode::Busy, BUSY)));
    }

    fn wake(&self) -> Monotonic {
        let far = self.context.clock.monotonic().after(Duration::from_secs(3600));
        self.timers.values().copied().chain(self.expires).chain(self.leaves).min().unwrap_or(far)
    }

    fn timer(&mut self) {
        let now = self.context.clock.monotonic();
        if self.expires.is_some_and(|at| at <= now) {
            let refusal = Refusal::new(RefusalCode::NotAuthorised, "the delegation has expired");
            self.end = Some(Ending::Refusing(refusal));
            return;
        }
        if self.leaves.is_some_and(|at| at <= now) {
            self.context.metrics.sessions_sent_away.inc();
            self.end = Some(Ending::Refusing(Refusal::new(RefusalCode::Stopping, LEAVING)));
            return;
        }
        let due: Vec<Timer> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            self.timers.remove(&timer);
            self.input(Input::Fired(timer));
        }
    }

    async fn goodbye(mut self) -> Result<(), Error> {
        let clock = self.context.clock.clone();
        let (refusal, accused) = match self.end.take() {
            Some(Ending::Refusing(refusal)) => (Some(refusal), false),
            Some(Ending::Accusing(refusal)) => (Some(refusal), true),
            Some(Ending::Quietly) | None => (None, false),
        };
        if let Some(refusal) = &refusal {
            self.send(&SpaceFrame::Refused(refusal.clone()));
        }
        // A device that is gone need not hear the end.
        drop(clock.timeout(GOODBYE, self.outbox.close()).await);
        if accused {
            self.context.net.offence(self.peer, Offence::BadSignature);
            self.context.net.disconnect(self.peer).await?;
        }
        refusal.map_or(Ok(()), |refusal| Err(Error::Refused(refusal)))
    }
}
