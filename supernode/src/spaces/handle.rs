//! The handle of one space: what others may ask of its writer, and what it tells.

use std::{collections::BTreeMap, sync::Arc};

use cosmic_common::{
    heads::Head,
    id::{EntryId, LogId, PeerId, SpaceId},
};
use cosmic_custody::{
    Packed,
    message::{refusal::Refusal, replica::SpaceHeads},
};
use cosmic_identity::signed::Signed;
use cosmic_space::session::{Session, SessionProof};
use cosmic_sync::{
    door::{Aside, Growth, Place},
    message::Frame,
};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::{error::Error, forget::Forgotten, judging::Judged};
use crate::source::Source;

/// Commands that may wait for one space; who finds no room waits at his own edge.
pub(super) const COMMANDS_MAX: usize = 64;
/// Events a slow listener may lag behind before it has to begin anew.
pub(super) const EVENTS_MAX: usize = 256;

/// Who brought entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The session of a device with this number: the other replicas are told.
    Session(u64),
    /// Another supernode, which tells the other replicas itself.
    Supernode(PeerId),
    /// This supernode, from this replica, which had more.
    Pulled(PeerId),
}

/// An entry that somebody brought, and the place it was said to have.
#[derive(Debug, Clone)]
pub struct Brought {
    /// Its exact bytes.
    pub frame: Frame,
    /// Where it was said to stand; an entry that stands elsewhere is a lie.
    pub place: Option<Place>,
}

impl From<Frame> for Brought {
    fn from(frame: Frame) -> Self {
        Self { frame, place: None }
    }
}

/// What became of an append. Everything not stopped is durable.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// A signed receipt for each log that was touched and is kept.
    pub receipts: Receipts,
    /// Entries that were not stored, by their place in the request.
    pub stopped: Vec<(usize, Refusal)>,
    /// Where the touched logs end now.
    pub heads: BTreeMap<LogId, Head>,
    /// Logs of which the rest is not wanted.
    pub asides: BTreeMap<LogId, Aside>,
    /// The first entry that no honest peer would have sent.
    pub invalid: Option<Refusal>,
}

/// Signed receipts, by the log they are about.
pub type Receipts = Vec<(LogId, Arc<[u8]>)>;

/// What a space tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// Logs have grown; perhaps not durably yet.
    Grown(Arc<Grown>),
    /// This supernode or another signed for logs.
    Receipts(Arc<Receipts>),
}

/// A run of entries kept here that lies in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The run and its pack.
    pub packed: Packed,
    /// How many of its entries are meant.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A packed run whose bodies snapshots replace, and what stays of it.
#[derive(Debug, Clone)]
pub struct Thin {
    /// The run and its pack, which nobody needs any more.
    pub packed: Packed,
    /// The entries that stay, without these bodies: all but the one that opens the log.
    pub rows: Vec<(u64, Vec<u8>)>,
    /// How many entries of the run lie in the table until now,
    pub entries: u64,
    /// and their bytes.
    pub bytes: u64,
    /// Bodies that go,
    pub bodies: u64,
    /// and their bytes.
    pub body_bytes: u64,
    /// The places at which something was replaced,
    pub replaced: Vec<u64>,
    /// and the snapshots among them.
    pub snapshots: Vec<EntryId>,
}

/// Logs that have grown together.
#[derive(Debug)]
pub struct Grown {
    /// Who brought the entries.
    pub origin: Origin,
    /// Whether membership is among them.
    pub membership: bool,
    /// The new entries, log by log.
    pub growths: Vec<Growth>,
}

/// A space as it stands when somebody begins to follow it.
#[derive(Debug)]
pub struct Opened {
    /// Where its logs end.
    pub heads: SpaceHeads,
    /// Whatever happens after that.
    pub events: broadcast::Receiver<Event>,
    /// Where its entries can be read.
    pub source: Source,
}

/// What a session proof is held against, owned.
#[derive(Debug, Clone, Copy)]
pub struct Challenge {
    /// The peer the transport authenticated.
    pub client: PeerId,
    /// What it was asked to sign.
    pub nonce: [u8; 32],
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What is asked of the writer of a space.
#[derive(Debug)]
pub(super) enum Command {
    Append { entries: Vec<Brought>, origin: Origin, reply: Reply<Appended> },
    Open { reply: Reply<Opened> },
    Heads { reply: Reply<SpaceHeads> },
    Authorise { proof: Box<Signed<SessionProof>>, challenge: Challenge, reply: Reply<Session> },
    Recheck { session: Arc<Session>, reply: Reply<()> },
    Attest { logs: Vec<LogId>, everywhere: bool, reply: Reply<Receipts> },
    Settle { reply: Reply<()> },
    Packed { runs: Vec<Run>, reply: Reply<()> },
    Free { run: Run, reply: Reply<()> },
    Thin { thin: Thin, reply: Reply<()> },
    Judge { places: Vec<(LogId, u64)>, reply: Reply<Judged> },
    Forget { part: Forgotten, reply: Reply<()> },
    Reconcile { peer: PeerId, reply: Reply<()> },
    Residence,
    Rest,
}

impl Command {
    /// Says no to who asked.
    pub(super) fn refuse(self) {
        match self {
            Self::Append { reply, .. } => fail(reply),
            Self::Open { reply } => fail(reply),
            Self::Heads { reply } => fail(reply),
            Self::Authorise { reply, .. } => fail(reply),
            Self::Recheck { reply, .. }
            | Self::Settle { reply }
            | Self::Packed { reply, .. }
            | Self::Free { reply, .. }
            | Self::Thin { reply, .. }
            | Self::Forget { reply, .. }
            | Self::Reconcile { reply, .. } => fail(reply),
            Self::Attest { reply, .. } => fail(reply),
            Self::Judge { reply, .. } => fail(reply),
            Self::Residence | Self::Rest => {}
        }
    }
}

fn fail<T>(reply: Reply<T>) {
    // Who no longer waits need not hear it.
    drop(reply.send(Err(Error::Unavailable)));
}

/// The handle of one space; while there is one, the space stays in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Space {
    id: SpaceId,
    commands: mpsc::Sender<Command>,
}

impl Space {
    pub(super) const fn new(id: SpaceId, commands: mpsc::Sender<Command>) -> Self {
        Self { id, commands }
    }

    /// The space.
    #[must_use]
    pub const fn id(&self) -> SpaceId {
        self.id
    }

    /// Admits and stores entries. Those of one log are in order, and membership comes first.
    ///
    /// # Errors
    /// If nothing was stored.
    pub async fn append(&self, entries: Vec<Brought>, origin: Origin) -> Result<Appended, Error> {
        self.submit(entries, origin).await?.wait().await
    }

    /// Hands entries over, and returns once they have their place before all that is handed over later.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn submit(&self, entries: Vec<Brought>, origin: Origin) -> Result<Pending<Appended>, Error> {
        self.send(|reply| Command::Append { entries, origin, reply }).await
    }

    /// The space as it stands, and whatever happens to it from then on.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn open(&self) -> Result<Opened, Error> {
        self.ask(|reply| Command::Open { reply }).await
    }

    /// Where its logs end.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn heads(&self) -> Result<SpaceHeads, Error> {
        self.ask(|reply| Command::Heads { reply }).await
    }

    /// What a session proof allows.
    ///
    /// # Errors
    /// If it does not hold.
    pub async fn authorise(
        &self,
        proof: Signed<SessionProof>,
        challenge: Challenge,
    ) -> Result<Session, Error> {
        self.ask(|reply| Command::Authorise { proof: Box::new(proof), challenge, reply }).await
    }

    /// Whether a session still stands after membership has moved.
    ///
    /// # Errors
    /// If it does not.
    pub async fn recheck(&self, session: Arc<Session>) -> Result<(), Error> {
        self.ask(|reply| Command::Recheck { session, reply }).await
    }

    /// Signs again for logs; `everywhere` asks the other replicas too, whose receipts come as events.
    ///
    /// # Errors
    /// If it cannot be done.
    pub async fn attest(&self, logs: Vec<LogId>, everywhere: bool) -> Result<Receipts, Error> {
        self.ask(|reply| Command::Attest { logs, everywhere, reply }).await
    }

    /// Waits until everything admitted so far is durable.
    ///
    /// # Errors
    /// If writing failed.
    pub async fn settle(&self) -> Result<(), Error> {
        self.ask(|reply| Command::Settle { reply }).await
    }

    /// Notes durably that these runs, which were held against the entries kept here, lie in packs.
    ///
    /// # Errors
    /// [`Error::NoReplica`], or if writing failed.
    pub async fn packed(&self, runs: Vec<Run>) -> Result<(), Error> {
        self.ask(|reply| Command::Packed { runs, reply }).await
    }

    /// Forgets the entries of a run that lies in a pack: they are read from there from now on.
    ///
    /// # Errors
    /// [`Error::NoReplica`], or if writing failed.
    pub async fn free(&self, run: Run) -> Result<(), Error> {
        self.ask(|reply| Command::Free { run, reply }).await
    }

    /// Forgets bodies of a packed run, and with them the pack.
    ///
    /// # Errors
    /// [`Error::NoReplica`], or if writing failed.
    pub async fn thin(&self, thin: Thin) -> Result<(), Error> {
        self.ask(|reply| Command::Thin { thin, reply }).await
    }

    /// Which of the entries at these places count, and how long what they remove or replace is kept.
    ///
    /// # Errors
    /// [`Error::NoReplica`].
    pub async fn judge(&self, places: Vec<(LogId, u64)>) -> Result<Judged, Error> {
        self.ask(|reply| Command::Judge { places, reply }).await
    }

    /// Forgets logs of a space that is others' by the ring, or all that is left of it.
    ///
    /// # Errors
    /// [`Error::StillReplica`] if the ring, or a log, is not as it was when everybody was asked; or if writing failed.
    pub async fn forget(&self, part: Forgotten) -> Result<(), Error> {
        self.ask(|reply| Command::Forget { part, reply }).await
    }

    /// Tells the writer that its space keeps its data elsewhere than was believed. One that is too busy to hear it learns it
    /// from the next entries.
    pub(super) fn residence_changed(&self) {
        drop(self.commands.try_send(Command::Residence));
    }

    /// Compares heads with another replica, pulls what is missing here and pushes what is missing there.
    ///
    /// # Errors
    /// If the other replica does not answer.
    pub async fn reconcile(&self, peer: PeerId) -> Result<(), Error> {
        self.ask(|reply| Command::Reconcile { peer, reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        self.send(command).await?.wait().await
    }

    async fn send<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<Pending<T>, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_closed| Error::Closed)?;
        Ok(Pending(answer))
    }
}

/// An answer that will come.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// What the writer says, or [`Error::Closed`] if it ended first.
    pub async fn wait(self) -> Result<T, Error> {
        self.0.await.map_err(|_dropped| Error::Closed)?
    }
}
