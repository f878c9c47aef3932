//! The chain rule: which entry may come next in a log, and the hand that appends to one's own.
//!
//! ```text
//!            open entry                  entry with seq = next, previous = head
//!  (nothing) ----------> LogState{next 1} ------------------------------------> LogState{next + 1}
//!                             | entry with seq < next and another id: fork, the state does not move
//! ```

use cosmic_common::{
    heads::Head,
    id::{EntryId, EpochId, ObjectId},
    record::{Record, RecordError},
    time::HybridTime,
};
use cosmic_identity::{key::SecretKey, signature::SignatureError};

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
    /// The first entry is not an open entry, or a later one is.
    #[error("a log starts with one open entry, and has no other")]
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
    head: Head,
}

impl LogState {
    /// The log that `entry` opens.
    ///
    /// # Errors
    /// [`Refusal`] if it is no signed open entry whose log id follows from its body.
    pub fn from_open(entry: &Entry) -> Result<Self, Refusal> {
        let core = entry.core();
        if core.kind != Kind::Open || core.seq != 0 {
            return Err(Refusal::Opening);
        }
        let open = Open::from_bytes(entry.body().ok_or(Refusal::Opening)?)?;
        if open.log_id() != core.log {
            return Err(Refusal::OtherLog);
        }
        entry.verify_signature(&open.writer)?;
        Ok(Self { open, head: Head { seq: 0, entry: entry.id() } })
    }

    /// The state as it was stored: what an open entry said, and the head since then.
    #[must_use]
    pub const fn restore(open: Open, head: Head) -> Self {
        Self { open, head }
    }

    /// Who writes, where, by which delegation.
    #[must_use]
    pub const fn open(&self) -> &Open {
        &self.open
    }

    /// The last entry.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Where `entry` falls in this log; an extension is also verified to be the writer's.
    ///
    /// # Errors
    /// [`Refusal`] if it cannot stand here.
    pub fn check(&self, entry: &Entry) -> Result<Step, Refusal> {
        let core = entry.core();
        if core.log != self.open.log_id() {
            return Err(Refusal::OtherLog);
        }
        let expected = self.head.seq.saturating_add(1);
        if core.seq < expected {
            return Ok(Step::Taken);
        }
        if core.seq > expected {
            return Err(Refusal::Gap { expected, found: core.seq });
        }
        if core.kind == Kind::Open {
            return Err(Refusal::Opening);
        }
        if core.previous != Some(self.head.entry) {
            return Err(Refusal::BrokenChain);
        }
        entry.verify_signature(&self.open.writer)?;
        Ok(Step::Extends)
    }

    /// Moves the head to an entry that [`LogState::check`] said extends the log.
    pub const fn extend(&mut self, entry: &Entry) {
        self.head = Head { seq: entry.core().seq, entry: entry.id() };
    }
}

/// What a new entry says, before it has its place.
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
    let core = core_at(&open, 0, None, Draft::new(Kind::Open, time));
    let entry = Entry::create(core, open.to_bytes(), key)?;
    Ok((LogState { open, head: Head { seq: 0, entry: entry.id() } }, entry))
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
    let core = core_at(&state.open, state.head.seq.saturating_add(1), Some(state.head.entry), draft);
    let body = seal(&core.to_bytes());
    Entry::create(core, body, key)
}

fn core_at(open: &Open, seq: u64, previous: Option<EntryId>, draft: Draft) -> Core {
    let Draft { kind, time, priority, dependencies, epoch, objects, covers, targets } = draft;
    Core {
        log: open.log_id(),
        seq,
        previous,
        dependencies,
        time,
        priority,
        kind,
        epoch,
        objects,
        covers,
        targets,
    }
}
