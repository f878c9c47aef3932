//! Applying stored entries to documents and files, in causal order: an entry waits for its dependencies and its key.

use std::collections::BTreeMap;

use cosmic_common::{
    id::{EntryId, LogId},
    record::Record as _,
};
use cosmic_log::{entry::Entry, kind::Kind, open::Open};
use cosmic_seal::epoch::open_copy;
use cosmic_space::{record::CopyRecord, rights::Right};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Core, ingest::is_applied, space::Space};
use crate::{
    content::{ChangeBody, FileBody, replica_of},
    documents::{engine, store},
    error::Error,
    event::{ChangeKind, Event},
    files,
};

/// Entries of one log read at once.
const ROWS: usize = 64;

/// What applying one entry came to.
enum Applied {
    Done,
    /// Something it rests on is not here.
    Waits,
}

impl Space {
    /// Applies what can be applied now, until nothing more moves.
    pub(crate) fn apply_waiting(&mut self, core: &mut Core, connection: &Connection) -> Result<(), Error> {
        let mut moved = true;
        while moved {
            moved = false;
            for log in self.waiting.clone() {
                let (applied, rest) = self.apply_log(core, connection, &log)?;
                moved |= applied > 0;
                if !rest {
                    self.waiting.remove(&log);
                }
            }
        }
        Ok(())
    }

    /// Applies entries of one log in order; how many, and whether some are left.
    fn apply_log(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        log: &LogId,
    ) -> Result<(usize, bool), Error> {
        let mut count = 0;
        let Some(open) = self.logs.get(log).map(|state| *state.open()) else { return Ok((0, false)) };
        loop {
            let rows = waiting_entries(connection, log)?;
            if rows.is_empty() {
                return Ok((count, false));
            }
            for bytes in rows {
                let entry = Entry::from_bytes(&bytes)?;
                match self.apply(core, connection, &open, &entry)? {
                    Applied::Waits => return Ok((count, true)),
                    Applied::Done => {
                        connection
                            .prepare_cached("UPDATE entries SET applied = 1 WHERE log = ?1 AND seq = ?2")?
                            .execute(params![log.as_bytes(), entry.core().seq])?;
                        count += 1;
                    }
                }
            }
        }
    }

    fn apply(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        open: &Open,
        entry: &Entry,
    ) -> Result<Applied, Error> {
        for dependency in &entry.core().dependencies {
            if !is_applied(connection, dependency)? {
                return Ok(Applied::Waits);
            }
        }
        self.time = self.time.max(entry.core().time.clamp_ahead(core.now(), CLOCK_AHEAD_MAX));
        if !entry.core().kind.is_sealed() {
            return Ok(Applied::Done);
        }
        let Some(body) = entry.body() else { return self.apply_replaced(core, connection, open, entry) };
        let Some(secret) = entry.core().epoch.and_then(|epoch| self.epochs.get(&epoch)).cloned() else {
            return Ok(Applied::Waits);
        };
        let plain = match core.opener.open(&secret, entry.core_bytes(), body) {
            Ok(plain) => plain,
            Err(error) => {
                tracing::warn!(entry = %entry.id().short(), %error, "a body does not open; the entry is kept, its content is not");
                return Ok(Applied::Done);
            }
        };
        let applied = match entry.core().kind {
            Kind::Change => ChangeBody::from_bytes(&plain)
                .map_err(Error::from)
                .and_then(|body| self.apply_change(core, connection, (open, entry), place_of(entry), &body)),
            Kind::Snapshot => self.examine_snapshot(core, connection, open, entry, &plain),
            Kind::File => self.apply_file(core, connection, entry, &plain),
            _ => Ok(()),
        };
        settled(entry, applied)
    }

    /// Applies an entry whose body was dropped: what it said stands in a snapshot that others have acknowledged. Until that
    /// and its key are here, the entry waits.
    fn apply_replaced(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        open: &Open,
        entry: &Entry,
    ) -> Result<Applied, Error> {
        if entry.core().kind == Kind::Snapshot {
            return Ok(Applied::Done);
        }
        let Some((snapshot, said)) = self.said_by_snapshot(core, connection, open, &entry.id())? else {
            return Ok(Applied::Waits);
        };
        let applied = self.apply_change(core, connection, (open, entry), snapshot, &said);
        settled(entry, applied)
    }

    /// Applies what a change says; `place` is the entry that a document is as safe as from now on.
    fn apply_change(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        (open, entry): (&Open, &Entry),
        place: (LogId, u64),
        body: &ChangeBody,
    ) -> Result<(), Error> {
        if self.secrets()?.channel_id(&body.collection) != open.channel {
            return Err(engine::Error::ForeignOperations.into());
        }
        self.name_channel(connection, open, &body.collection)?;
        let maker = match body.made_in {
            Some(incarnation) => Open { incarnation, ..*open }.log_id(),
            None => open.log_id(),
        };
        let mut changed: BTreeMap<&str, engine::Document> = BTreeMap::new();
        for update in &body.updates {
            store::check_name("a document's id", &update.document)?;
            let mut document = match changed.remove(update.document.as_str()) {
                Some(document) => document,
                None => store::open(core, connection, &self.id, &body.collection, &update.document)?,
            };
            let imported = document.import(replica_of(&maker, &update.document), &update.operations);
            changed.insert(&update.document, document);
            if let Err(error) = imported {
                tracing::warn!(entry = %entry.id().short(), %error, "an update is refused");
            }
        }
        for (id, document) in changed {
            let document_place = store::Place { space: &self.id, collection: &body.collection, document: id };
            let present = store::save(core, connection, document_place, document, Some(place))?;
            let kind = if present { ChangeKind::Put } else { ChangeKind::Delete };
            core.changed(connection, self.id, (&body.collection, id), kind)?;
        }
        Ok(())
    }

    fn apply_file(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        entry: &Entry,
        plain: &[u8],
    ) -> Result<(), Error> {
        let body = FileBody::from_bytes(plain)?;
        store::check_name("a file's name", &body.name)?;
        match files::rows::apply(core, connection, &self.id, entry, &body)? {
            Some(superseded) => self.give_up(core, connection, superseded),
            None => Ok(()),
        }
    }

    /// Removes an entry of this device's that a newer one about the same file has superseded. Who wrote that may not have
    /// known of ours; if he did, he has removed it already, and twice is not more than once.
    fn give_up(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        superseded: files::rows::Superseded,
    ) -> Result<(), Error> {
        let writer = self.writer.writer_id();
        let Some(open) = self.logs.get(&superseded.log).map(|state| *state.open()) else { return Ok(()) };
        if open.writer != writer || self.membership.may(&writer, Right::Write, &open.channel).is_err() {
            return Ok(());
        }
        self.remove_entries(core, connection, open.channel, vec![superseded.entry])
    }

    /// Remembers which collection a channel is.
    pub(crate) fn name_channel(
        &self,
        connection: &Connection,
        open: &Open,
        collection: &str,
    ) -> Result<(), Error> {
        connection
            .prepare_cached("INSERT OR IGNORE INTO channels (space, channel, name) VALUES (?1, ?2, ?3)")?
            .execute(params![self.id.as_bytes(), open.channel.as_bytes(), collection])?;
        Ok(())
    }

    /// Opens copies of epoch secrets made for this device (or its ticket) that are not opened yet.
    pub(crate) fn take_secrets(&mut self, core: &mut Core, connection: &Connection) -> Result<(), Error> {
        let without = self.secrets.is_none();
        let mut keys = vec![self.kem.clone()];
        keys.extend(self.ticket_kem()?);
        for key in keys {
            for copy in self.membership.copies_for(&key.public().hash()) {
                if self.epochs.contains_key(&copy.epoch) {
                    continue;
                }
                self.take_secret(connection, &key, copy.place.entry)?;
            }
        }
        if without && self.secrets.is_some() {
            core.tell(Event::Spaces);
        }
        self.redeem(core, connection)
    }

    fn take_secret(
        &mut self,
        connection: &Connection,
        key: &cosmic_seal::kem::KemSecret,
        entry: EntryId,
    ) -> Result<(), Error> {
        let Some(bytes) = entry_bytes(connection, &entry)? else { return Ok(()) };
        let entry = Entry::from_bytes(&bytes)?;
        let Some(body) = entry.body() else { return Ok(()) };
        let copy = CopyRecord::from_bytes(body)?;
        let Some(epoch) = self.membership.epochs().into_iter().find(|epoch| epoch.id == copy.epoch) else {
            return Ok(());
        };
        match open_copy(key, &self.id, &epoch.record, &copy) {
            Ok(secrets) => {
                connection.execute(
                    "INSERT OR REPLACE INTO epochs (space, epoch, secret) VALUES (?1, ?2, ?3)",
                    params![self.id.as_bytes(), copy.epoch.as_bytes(), secrets.epoch.as_bytes()],
                )?;
                connection.execute(
                    "UPDATE spaces SET constant = ?2 WHERE space = ?1",
                    params![self.id.as_bytes(), secrets.space.as_bytes()],
                )?;
                self.epochs.insert(copy.epoch, secrets.epoch);
                self.secrets = Some(secrets.space);
            }
            Err(error) => {
                tracing::warn!(space = %self.id.short(), %error, "a copy of the space's keys does not open");
            }
        }
        Ok(())
    }
}

const fn place_of(entry: &Entry) -> (LogId, u64) {
    (entry.core().log, entry.core().seq)
}

/// What an entry came to whose content was looked at.
fn settled(entry: &Entry, applied: Result<(), Error>) -> Result<Applied, Error> {
    match applied {
        Ok(()) => Ok(Applied::Done),
        // A member wrote what no honest node writes. The entry stays, so that roots stay equal.
        Err(error @ (Error::Damaged(_) | Error::Document(_) | Error::Name { .. })) => {
            tracing::warn!(entry = %entry.id().short(), %error, "the content of an entry is refused");
            Ok(Applied::Done)
        }
        Err(error) => Err(error),
    }
}

/// How far a peer's clock may run ahead of ours before its times are cut.
const CLOCK_AHEAD_MAX: std::time::Duration = std::time::Duration::from_secs(300);

fn waiting_entries(connection: &Connection, log: &LogId) -> Result<Vec<Vec<u8>>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT bytes FROM entries WHERE log = ?1 AND applied = 0 ORDER BY seq LIMIT {ROWS}"
    ))?;
    let rows = statement.query_map([log.as_bytes()], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The bytes of an entry, if it is here.
pub(crate) fn entry_bytes(connection: &Connection, entry: &EntryId) -> Result<Option<Vec<u8>>, Error> {
    Ok(connection
        .prepare_cached("SELECT bytes FROM entries WHERE id = ?1")?
        .query_row([entry.as_bytes()], |row| row.get(0))
        .optional()?)
}
