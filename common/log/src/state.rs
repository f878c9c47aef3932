//! What one replica knows of one log, and whether an entry fits it.

use cosmic_common::{
    heads::Head,
    id::{EntryId, LogId},
    record::Record as _,
};
use cosmic_identity::signature::PublicKey;

use crate::{entry::Entry, kind::Kind, open::Open, refusal::Refusal};

/// One log as far as it is known: who writes it, and its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    open: Open,
    log: LogId,
    key: PublicKey,
    head: Head,
}

/// How an entry stands to a log. Neither says that its signature was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is the next one; [`LogState::apply`] takes it.
    Extends,
    /// It is in the log already; there is nothing to verify or keep.
    Known,
    /// Another entry has its place: with our entry it makes a [`crate::fork::ForkProof`].
    Fork {
        /// Our entry at that place.
        ours: EntryId,
    },
}

impl LogState {
    /// The log that `entry` opens. [`LogState::verify`] the entry before you believe it.
    ///
    /// # Errors
    /// [`Refusal`] if it is no open record with its body, or names another log than it opens.
    pub fn from_open(entry: &Entry) -> Result<Self, Refusal> {
        let core = entry.core();
        let body = match (core.kind, entry.body()) {
            (Kind::Open, Some(body)) => body,
            (kind, _) => return Err(Refusal::NotAnOpening { kind, seq: core.seq }),
        };
        let state = Self::resume(Open::from_bytes(body)?, Head { seq: 0, entry: entry.id() })?;
        state.same_log(entry)?;
        Ok(state)
    }

    /// The log as it was kept: its open record and its head.
    ///
    /// # Errors
    /// [`Refusal::Signature`] if the writer's name is no public key.
    pub fn resume(open: Open, head: Head) -> Result<Self, Refusal> {
        let key = PublicKey::from_bytes(open.writer.as_bytes())?;
        Ok(Self { log: open.log_id(), open, key, head })
    }

    /// What the log's first entry says.
    #[must_use]
    pub const fn open(&self) -> &Open {
        &self.open
    }

    /// The id of the log.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// The last entry.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The place of the next entry.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.head.seq.saturating_add(1)
    }

    /// Checks that the writer of this log signed `entry`. Needed once, and only for what [`Step`] says is not known.
    ///
    /// # Errors
    /// [`Refusal::Signature`] if somebody else did, or nobody.
    pub fn verify(&self, entry: &Entry) -> Result<(), Refusal> {
        Ok(entry.verify_with(&self.key)?)
    }

    /// How `entry` stands to this log, by its place in the chain alone. `ours` is the id of our entry at its
    /// place; it is needed only below the head.
    ///
    /// # Errors
    /// [`Refusal`] if it belongs elsewhere, comes too early or follows another branch.
    pub fn check(&self, entry: &Entry, ours: Option<EntryId>) -> Result<Step, Refusal> {
        self.same_log(entry)?;
        let core = entry.core();
        let seq = core.seq;
        if seq > self.head.seq {
            let expected = self.next_seq();
            if seq != expected {
                return Err(Refusal::Gap { expected, found: seq });
            }
            return if core.previous == Some(self.head.entry) {
                Ok(Step::Extends)
            } else {
                Err(Refusal::OtherBranch { seq, ours: self.head.entry })
            };
        }
        let ours = if seq == self.head.seq { Some(self.head.entry) } else { ours };
        let ours = ours.ok_or(Refusal::OursNeeded { seq })?;
        Ok(if ours == entry.id() { Step::Known } else { Step::Fork { ours } })
    }

    /// Takes the next entry, whose signature was verified.
    ///
    /// # Errors
    /// [`Refusal`] if it is not the next one; nothing changes then.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let seq = entry.core().seq;
        match self.check(entry, None) {
            Ok(Step::Extends) => {
                self.head = Head { seq, entry: entry.id() };
                Ok(())
            }
            Ok(_) | Err(Refusal::OursNeeded { .. }) => Err(Refusal::NotNext { seq }),
            Err(refusal) => Err(refusal),
        }
    }

    fn same_log(&self, entry: &Entry) -> Result<(), Refusal> {
        let found = entry.core().log;
        if found == self.log { Ok(()) } else { Err(Refusal::OtherLog { expected: self.log, found }) }
    }
}
