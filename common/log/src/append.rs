//! Writing to one's own log: each entry follows the last.

use cosmic_common::{
    heads::Head,
    id::{EntryId, EpochId, ObjectId},
    record::Record as _,
    time::HybridTime,
};
use cosmic_identity::key::SecretKey;

use crate::{
    entry::Entry,
    header::Core,
    kind::{Kind, Priority},
    open::Open,
    refusal::Refusal,
    state::LogState,
};

/// What a writer says about its next entry; the log adds its place. Lists may come in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it is.
    pub kind: Kind,
    /// When it is written.
    pub time: HybridTime,
    /// How urgent it is.
    pub priority: Priority,
    /// The heads its writer knows.
    pub dependencies: Vec<EntryId>,
    /// The key epoch of a sealed body.
    pub epoch: Option<EpochId>,
    /// The objects it refers to.
    pub objects: Vec<ObjectId>,
    /// The entries a snapshot replaces.
    pub covers: Vec<EntryId>,
    /// The entries a tombstone removes.
    pub targets: Vec<EntryId>,
}

impl Draft {
    /// A draft of normal priority with nothing else set.
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

/// An entry that has its place but not its body: the body is sealed to its core bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    core: Core,
    core_bytes: Vec<u8>,
}

impl Unsigned {
    /// The associated data for sealing the body.
    #[must_use]
    pub fn core_bytes(&self) -> &[u8] {
        &self.core_bytes
    }

    /// What the header will say.
    #[must_use]
    pub const fn core(&self) -> &Core {
        &self.core
    }
}

/// The writer's end of a log: its secret key and its head. One per log, or the log forks.
#[derive(Debug, Clone)]
pub struct Appender {
    key: SecretKey,
    state: LogState,
}

impl Appender {
    /// Opens a new log and returns its first entry.
    ///
    /// # Errors
    /// [`Refusal`] if `key` is not the writer's, or there are too many dependencies.
    pub fn open(
        key: SecretKey,
        open: Open,
        time: HybridTime,
        dependencies: Vec<EntryId>,
    ) -> Result<(Self, Entry), Refusal> {
        same_writer(&key, &open)?;
        let draft = Draft { dependencies, ..Draft::new(Kind::Open, time) };
        let Unsigned { core, core_bytes } = Unsigned::new(draft, &open, None)?;
        let entry = Entry::assemble(core, &core_bytes, &open.to_bytes(), &key)?;
        let state = LogState::resume(open, Head { seq: 0, entry: entry.id() })?;
        Ok((Self { key, state }, entry))
    }

    /// Continues a log whose state was kept.
    ///
    /// # Errors
    /// [`Refusal::OtherWriter`] if `key` is not the writer's.
    pub fn resume(key: SecretKey, state: LogState) -> Result<Self, Refusal> {
        same_writer(&key, state.open())?;
        Ok(Self { key, state })
    }

    /// The log as it is after the last entry.
    #[must_use]
    pub const fn state(&self) -> &LogState {
        &self.state
    }

    /// Gives the next entry its place, so that its body can be sealed to it. The log does not move yet.
    ///
    /// # Errors
    /// [`Refusal::Rule`] if the draft is not acceptable.
    pub fn prepare(&self, draft: Draft) -> Result<Unsigned, Refusal> {
        Unsigned::new(draft, self.state.open(), Some(&self.state))
    }

    /// Signs a prepared entry with its body and moves the log to it.
    ///
    /// # Errors
    /// [`Refusal`] if the body is too long, or another entry took its place since; the log does not move then.
    pub fn finish(&mut self, unsigned: Unsigned, body: &[u8]) -> Result<Entry, Refusal> {
        let Unsigned { core, core_bytes } = unsigned;
        let entry = Entry::assemble(core, &core_bytes, body, &self.key)?;
        self.state.apply(&entry)?;
        Ok(entry)
    }

    /// Writes the next entry with a body that is clear, or sealed to no core.
    ///
    /// # Errors
    /// As [`Appender::prepare`] and [`Appender::finish`].
    pub fn append(&mut self, draft: Draft, body: &[u8]) -> Result<Entry, Refusal> {
        let unsigned = self.prepare(draft)?;
        self.finish(unsigned, body)
    }
}

impl Unsigned {
    fn new(draft: Draft, open: &Open, state: Option<&LogState>) -> Result<Self, Refusal> {
        let Draft { kind, time, priority, dependencies, epoch, objects, covers, targets } = draft;
        let mut core = Core {
            log: state.map_or_else(|| open.log_id(), LogState::log),
            seq: state.map_or(0, LogState::next_seq),
            previous: state.map(|state| state.head().entry),
            dependencies,
            time,
            priority,
            kind,
            epoch,
            objects,
            covers,
            targets,
        };
        core.normalise();
        core.check()?;
        let core_bytes = core.to_bytes();
        Ok(Self { core, core_bytes })
    }
}

fn same_writer(key: &SecretKey, open: &Open) -> Result<(), Refusal> {
    if key.writer_id() == open.writer { Ok(()) } else { Err(Refusal::OtherWriter) }
}
