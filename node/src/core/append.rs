//! Appending to this device's own logs: the log of the run, its dependencies, the row, and who hears of it.

use cosmic_common::{
    id::{ChannelId, EntryId, EpochId, LogId, ObjectId},
    limit::DEPENDENCIES_MAX,
    record::Record as _,
};
use cosmic_log::{
    chain::{Draft, LogState, append, open_log},
    entry::Entry,
    kind::{Kind, Priority},
    open::Open,
};
use rusqlite::{Connection, params};

use super::{Core, space::Space};
use crate::{error::Error, event::Event};

/// What a new entry of this device says.
pub(crate) struct NewEntry {
    pub(crate) kind: Kind,
    pub(crate) priority: Priority,
    pub(crate) epoch: Option<EpochId>,
    pub(crate) objects: Vec<ObjectId>,
    pub(crate) covers: Vec<EntryId>,
    pub(crate) targets: Vec<EntryId>,
}

impl NewEntry {
    /// A clear entry.
    pub(crate) const fn clear(kind: Kind) -> Self {
        Self {
            kind,
            priority: Priority::Normal,
            epoch: None,
            objects: Vec::new(),
            covers: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// A sealed entry.
    pub(crate) const fn sealed(kind: Kind, epoch: EpochId) -> Self {
        Self {
            kind,
            priority: Priority::Interactive,
            epoch: Some(epoch),
            objects: Vec::new(),
            covers: Vec::new(),
            targets: Vec::new(),
        }
    }
}

impl Space {
    /// The log this run writes in `channel`, whether or not it is open already.
    pub(crate) fn own_log(&self, core: &Core, channel: ChannelId) -> Open {
        Open {
            space: self.id,
            writer: self.writer.writer_id(),
            channel,
            incarnation: core.context.device.incarnation(),
            delegation: self.delegation,
        }
    }

    /// Appends an entry to this run's log in `channel`; `body` gets the core's bytes.
    ///
    /// # Errors
    /// [`Error`] if the entry breaks a bound or the database refuses.
    pub(crate) fn append(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        channel: ChannelId,
        new: NewEntry,
        body: impl FnOnce(&mut Core, &[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Entry, Error> {
        let log = self.open_own_log(core, connection, channel)?;
        self.append_after(core, connection, (log, channel), new, body)
    }

    /// Appends a snapshot to the log in which this run writes those of `channel`.
    ///
    /// # Errors
    /// As [`Space::append`].
    pub(crate) fn append_snapshot(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        channel: ChannelId,
        new: NewEntry,
        body: impl FnOnce(&mut Core, &[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Entry, Error> {
        let open = Open { incarnation: core.context.device.snapshots(), ..self.own_log(core, channel) };
        let log = self.open(core, connection, open)?;
        self.append_after(core, connection, (log, channel), new, body)
    }

    fn append_after(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        (log, channel): (LogId, ChannelId),
        new: NewEntry,
        body: impl FnOnce(&mut Core, &[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Entry, Error> {
        let mut dependencies = self.new_dependencies(log, channel);
        while dependencies.len() > DEPENDENCIES_MAX {
            let some = dependencies.split_off(dependencies.len() - DEPENDENCIES_MAX);
            let merge = NewEntry { priority: Priority::Background, ..NewEntry::clear(Kind::Acknowledgement) };
            self.append_to(core, connection, (log, some), merge, |_core, _bytes| Ok(Vec::new()))?;
        }
        self.append_to(core, connection, (log, dependencies), new, body)
    }

    /// Removes entries of `channel`: nobody needs what they claim any more.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub(crate) fn remove_entries(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        channel: ChannelId,
        targets: Vec<EntryId>,
    ) -> Result<(), Error> {
        let tombstone = NewEntry { targets, ..NewEntry::clear(Kind::Tombstone) };
        self.append(core, connection, channel, tombstone, |_core, _bytes| Ok(Vec::new()))?;
        Ok(())
    }

    fn open_own_log(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        channel: ChannelId,
    ) -> Result<LogId, Error> {
        if let Some(log) = self.mine.get(&channel) {
            return Ok(*log);
        }
        let open = self.own_log(core, channel);
        let log = self.open(core, connection, open)?;
        self.mine.insert(channel, log);
        Ok(log)
    }

    fn open(&mut self, core: &mut Core, connection: &Connection, open: Open) -> Result<LogId, Error> {
        let log = open.log_id();
        if !self.logs.contains_key(&log) {
            self.time = self.time.tick(core.now());
            let (state, entry) = open_log(open, self.time, &self.writer)?;
            self.store(core, connection, state, &entry, true)?;
        }
        Ok(log)
    }

    fn append_to(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        (log, dependencies): (LogId, Vec<EntryId>),
        new: NewEntry,
        body: impl FnOnce(&mut Core, &[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Entry, Error> {
        self.time = self.time.tick(core.now());
        let mut state = self.logs.get(&log).cloned().ok_or(Error::NoSpace { space: self.id.short() })?;
        let draft = Draft {
            priority: new.priority,
            epoch: new.epoch,
            objects: new.objects,
            covers: new.covers,
            targets: new.targets,
            dependencies,
            ..Draft::new(new.kind, self.time)
        };
        let mut failed = None;
        let entry = append(&state, draft, &self.writer, |bytes| {
            body(core, bytes).unwrap_or_else(|error| {
                failed = Some(error);
                Vec::new()
            })
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        state.extend(&entry);
        self.store(core, connection, state, &entry, true)?;
        Ok(entry)
    }

    /// Heads of other logs in the channel, and of the membership, that this log's last entry does not cover.
    fn new_dependencies(&mut self, log: LogId, channel: ChannelId) -> Vec<EntryId> {
        let membership_channel = self.membership_channel();
        let covered = self.covered.entry(log).or_default();
        let mut dependencies = Vec::new();
        if channel != membership_channel {
            for (other, state) in &self.logs {
                let head = state.head();
                let known = covered.heads.get(other).is_some_and(|seq| *seq >= head.seq);
                if *other != log && state.open().channel == channel && !known {
                    dependencies.push(head.entry);
                    covered.heads.insert(*other, head.seq);
                }
            }
        }
        let frontier = self.membership.frontier();
        if frontier != covered.membership {
            let own = self.logs.get(&log).map(LogState::head);
            dependencies.extend(frontier.iter().filter(|entry| Some(**entry) != own.map(|head| head.entry)));
            covered.membership = frontier;
        }
        dependencies.sort_unstable();
        dependencies.dedup();
        dependencies
    }

    /// Writes the row of an entry that extends its log, moves the log, and tells the sessions.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub(crate) fn store(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        state: LogState,
        entry: &Entry,
        applied: bool,
    ) -> Result<(), Error> {
        let (log, head, open) = (entry.core().log, state.head(), *state.open());
        let device = &core.context.device;
        let mine = [device.incarnation(), device.snapshots()].contains(&open.incarnation);
        let bytes = entry.to_bytes();
        connection
            .prepare_cached("INSERT INTO entries (log, seq, id, applied, bytes) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![log.as_bytes(), head.seq, head.entry.as_bytes(), applied, bytes])?;
        if head.seq == 0 {
            connection.execute(
                "INSERT INTO logs (log, space, channel, open, mine, seq, head) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
                params![
                    log.as_bytes(),
                    self.id.as_bytes(),
                    open.channel.as_bytes(),
                    open.to_bytes(),
                    mine,
                    head.entry.as_bytes()
                ],
            )?;
        } else {
            connection
                .prepare_cached("UPDATE logs SET seq = ?2, head = ?3 WHERE log = ?1")?
                .execute(params![log.as_bytes(), head.seq, head.entry.as_bytes()])?;
        }
        if open.channel == self.membership_channel() {
            self.membership.insert(entry)?;
            core.tell(Event::Spaces);
        } else {
            self.note_snapshots(connection, &open, entry, mine)?;
        }
        self.logs.insert(log, state);
        let frames = vec![bytes.into()];
        core.tell(Event::Grown { space: self.id, channel: open.channel, log, head, frames });
        Ok(())
    }
}
