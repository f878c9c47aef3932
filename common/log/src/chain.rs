//! The chain rule: which entry may come next in a log, and the hand that appends to one's own.
//!
//! ```text
//!            open entry                  entry with seq = next, previous = head
//!  (nothing) ----------> LogState{next 1} ------------------------------------> LogState{next + 1}
//!                             | entry with seq < next and another id: fork, the state does not move
//! ```

use cosmic_common::{
    heads::Head,
    id::{EntryId, EpochId, LogId, ObjectId},
    record::{Record, RecordError},
    time::HybridTime,
};
use cosmic_identity::{
    key::SecretKey,
    signature::{PublicKey, SignatureError},
};

use crate::{
    entry::{Core, Entry, Error},
    kind::{Kind, Priority},
    open::Open,
};

/// Why an entry may not stand in a log.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// An entry before this one is missing.
    #[error("entry {found} came before entry {expected}")]
    Gap {
        /// The next sequence number of the log.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// It belongs elsewhere.
    #[error("the entry belongs to another log")]
    OtherLog,
    /// It names another entry as the one before it than the log has.
    #[error("the entry does not follow the head of the log")]
    BrokenChain,
    /// The first entry is not an open entry with its body.
    #[error("a log starts with an open entry, and its body must be there")]
    Opening,
    /// The open entry's body is malformed.
    #[error("the open entry is malformed")]
    OpenRecord(#[from] RecordError),
    /// The log's writer did not sign it.
    #[error("the log's writer did not sign this entry")]
    Signature(#[from] SignatureError),
}

/// Where an entry falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is the next one.
    Extends,
    /// A place that is taken: the caller compares ids and finds a duplicate or a fork.
    Taken,
}

/// What is known of one log: who writes it and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    open: Open,
    log: LogId,
    head: Head,
    /// The writer's key made ready for many signatures; none if the writer's name is no key.
    key: Option<PublicKey>,
}

impl LogState {
    /// The log that `entry` opens.
    ///
    /// # Errors
    /// [`Refusal`] if it is no signed open entry whose log id follows from its body.
    pub fn from_open(entry: &Entry) -> Result<Self, Refusal> {
        if entry.core().kind != Kind::Open {
            return Err(Refusal::Opening);
        }
        let open = Open::from_bytes(entry.body().ok_or(Refusal::Opening)?)?;
        let state = Self::restore(open, Head { seq: 0, entry: entry.id() });
        if state.log != entry.core().log {
            return Err(Refusal::OtherLog);
        }
        state.verify(entry)?;
        Ok(state)
    }

    /// The state as it was stored: what an open entry said, and the head since then.
    #[must_use]
    pub fn restore(open: Open, head: Head) -> Self {
        let key = PublicKey::from_bytes(open.writer.as_bytes()).ok();
        Self { log: open.log_id(), open, head, key }
    }

    /// Who writes, where, by which delegation.
    #[must_use]
    pub const fn open(&self) -> &Open {
        &self.open
    }

    /// The id of the log.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// The place of the next entry.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.head.seq.saturating_add(1)
    }

    /// The last entry.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Where `entry` falls in this log. An extension is also verified to be the writer's, so nobody else
    /// needs to; an entry whose place is taken is not, because a duplicate needs no proof.
    ///
    /// # Errors
    /// [`Refusal`] if it cannot stand here.
    pub fn check(&self, entry: &Entry) -> Result<Step, Refusal> {
        let core = entry.core();
        if core.log != self.log {
            return Err(Refusal::OtherLog);
        }
        let expected = self.next_seq();
        if core.seq < expected {
            return Ok(Step::Taken);
        }
        if core.seq > expected {
            return Err(Refusal::Gap { expected, found: core.seq });
        }
        if core.previous != Some(self.head.entry) {
            return Err(Refusal::BrokenChain);
        }
        self.verify(entry)?;
        Ok(Step::Extends)
    }

    /// Whether the log's writer signed `entry`: what a competing entry needs before it proves a fork.
    ///
    /// # Errors
    /// [`SignatureError`] if not.
    pub fn verify(&self, entry: &Entry) -> Result<(), SignatureError> {
        entry.verify_with(self.key.as_ref().ok_or(SignatureError::PublicKey)?)
    }

    /// Moves the head to an entry that [`LogState::check`] said extends the log.
    pub const fn extend(&mut self, entry: &Entry) {
        self.head = Head { seq: entry.core().seq, entry: entry.id() };
    }
}

/// What a new entry says, before it has its place. Ids may come in any order.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it is.
    pub kind: Kind,
    /// When.
    pub time: HybridTime,
    /// How urgent.
    pub priority: Priority,
    /// Heads of other logs it was made after.
    pub dependencies: Vec<EntryId>,
    /// The epoch of a sealed body.
    pub epoch: Option<EpochId>,
    /// Objects that must be kept.
    pub objects: Vec<ObjectId>,
    /// Entries a snapshot replaces.
    pub covers: Vec<EntryId>,
    /// Entries a tombstone removes.
    pub targets: Vec<EntryId>,
}

impl Draft {
    /// A draft of `kind` at `time`, with nothing else said.
    #[must_use]
    pub const fn new(kind: Kind, time: HybridTime) -> Self {
        Self {
            kind,
            time,
            priority: Priority::Normal,
            dependencies: Vec::new(),
            epoch: None,
            objects: Vec::new(),
            covers: Vec::new(),
            targets: Vec::new(),
        }
    }
}

/// Opens a log of one's own.
///
/// # Errors
/// [`Error`] if an entry cannot be made (it can: an open body is small).
pub fn open_log(open: Open, time: HybridTime, key: &SecretKey) -> Result<(LogState, Entry), Error> {
    let core = core_at(open.log_id(), 0, None, Draft::new(Kind::Open, time));
    let entry = Entry::create(core, open.to_bytes(), key)?;
    Ok((LogState::restore(open, Head { seq: 0, entry: entry.id() }), entry))
}

/// Makes the next entry of one's own log. `seal` gets the core's bytes and returns the body.
/// The state does not move: the caller [`LogState::extend`]s it once the entry is durable or staged.
///
/// # Errors
/// [`Error`] if draft or body break a bound.
pub fn append(
    state: &LogState,
    draft: Draft,
    key: &SecretKey,
    seal: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<Entry, Error> {
    let core = core_at(state.log, state.next_seq(), Some(state.head.entry), draft);
    core.check()?;
    let core_bytes = core.to_bytes();
    let body = seal(&core_bytes);
    Entry::assemble(core, &core_bytes, &body, key)
}

fn core_at(log: LogId, seq: u64, previous: Option<EntryId>, draft: Draft) -> Core {
    let Draft { kind, time, priority, dependencies, epoch, objects, covers, targets } = draft;
    let mut core =
        Core { log, seq, previous, dependencies, time, priority, kind, epoch, objects, covers, targets };
    core.sort();
    core
}
