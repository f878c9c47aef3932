//! Snapshots: what many small changes say, sealed together once more, so that supernodes may drop the bodies of the changes.
//! The rules are those of `cosmic_space::covers`.
//!
//! ```text
//! changes of a channel grow ─▶ snapshot of the oldest, if it is worth it ─▶ others hold it against the changes ─▶ acknowledged
//! a change without its body ─▶ what it said, from a snapshot that enough devices acknowledged
//! ```

mod writing;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use cosmic_common::{
    id::{ChannelId, EntryId, LogId, WriterId},
    record::Record as _,
};
use cosmic_log::{
    entry::Entry,
    kind::{Kind, Priority},
    open::Open,
};
use cosmic_space::{
    covers::{Witness, replaces},
    record::{ACKNOWLEDGED_MAX, AcknowledgementRecord},
    rights::Right,
};
use rusqlite::{Connection, params};

use super::{Core, append::NewEntry, apply::entry_bytes, space::Space};
use crate::{
    content::{ChangeBody, SnapshotBody},
    error::Error,
};

/// Devices that acknowledge a snapshot; more would say nothing new. One more than it takes: one may be removed.
const ACKNOWLEDGING: usize = cosmic_space::covers::DEVICES_MIN + 1;

/// A snapshot that enough devices acknowledged, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    snapshot: EntryId,
    place: (LogId, u64),
    covers: Vec<EntryId>,
    body: SnapshotBody,
}

/// Where a snapshot stands, and what a change said that it replaces.
type Replacing = ((LogId, u64), ChangeBody);

/// What a snapshot was held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The bodies of all it covers: this device can vouch for it.
    AgainstBodies,
    /// What other snapshots, or itself, say of bodies that are gone.
    AgainstOthers,
}

impl Space {
    /// Notes what a new entry says of snapshots, and that a channel has grown.
    pub(crate) fn note_snapshots(
        &mut self,
        connection: &Connection,
        open: &Open,
        entry: &Entry,
        mine: bool,
    ) -> Result<(), Error> {
        let (core, id) = (entry.core(), entry.id());
        match core.kind {
            Kind::Change if mine => *self.grown.entry(open.channel).or_default() += 1,
            Kind::Snapshot => {
                // What this device says of what it has needs no second look.
                connection
                    .prepare_cached("INSERT INTO snapshots (snapshot, space, log, seq, verified) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![id.as_bytes(), self.id.as_bytes(), core.log.as_bytes(), core.seq, mine])?;
                let mut covers =
                    connection.prepare_cached("INSERT INTO covers (entry, snapshot) VALUES (?1, ?2)")?;
                for covered in &core.covers {
                    covers.execute(params![covered.as_bytes(), id.as_bytes()])?;
                }
            }
            Kind::Acknowledgement => {
                for snapshot in AcknowledgementRecord::of(entry) {
                    connection
                        .prepare_cached(
                            "INSERT OR IGNORE INTO acknowledged (snapshot, log, seq) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![snapshot.as_bytes(), core.log.as_bytes(), core.seq])?;
                    self.rely_on(connection, open.channel, &snapshot)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a change says, if its body is here and opens.
    fn read_change(&self, core: &mut Core, entry: &Entry) -> Result<Option<ChangeBody>, Error> {
        let secret = entry.core().epoch.and_then(|epoch| self.epochs.get(&epoch));
        let (Some(secret), Some(body)) = (secret, entry.body()) else { return Ok(None) };
        let plain = core.opener.open(secret, entry.core_bytes(), body).ok();
        Ok(plain.and_then(|plain| ChangeBody::from_bytes(&plain).ok()))
    }

    /// Holds a snapshot of another device against the entries it covers, all of which were applied before it.
    pub(super) fn examine_snapshot(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        open: &Open,
        entry: &Entry,
        plain: &[u8],
    ) -> Result<(), Error> {
        let body = SnapshotBody::from_bytes(plain)?;
        let Some(held) = self.hold(core, connection, open, &entry.core().covers, &body)? else {
            tracing::warn!(snapshot = %entry.id().short(), "a snapshot does not say what the entries it covers say");
            return Ok(());
        };
        connection
            .prepare_cached("UPDATE snapshots SET verified = 1 WHERE snapshot = ?1")?
            .execute([entry.id().as_bytes()])?;
        if held == Held::AgainstBodies && open.writer != self.writer.writer_id() {
            self.verified.entry(open.channel).or_default().push(entry.id());
        }
        Ok(())
    }

    fn hold(
        &self,
        core: &mut Core,
        connection: &Connection,
        open: &Open,
        covers: &[EntryId],
        body: &SnapshotBody,
    ) -> Result<Option<Held>, Error> {
        if self.secrets()?.channel_id(&body.collection) != open.channel || covers.len() != body.said.len() {
            return Ok(None);
        }
        let mut held = Held::AgainstBodies;
        for (id, said) in covers.iter().zip(&body.said) {
            let Some(bytes) = entry_bytes(connection, id)? else { return Ok(None) };
            let entry = Entry::from_bytes(&bytes)?;
            let Some(log) = self.logs.get(&entry.core().log) else { return Ok(None) };
            if entry.core().kind != Kind::Change || log.open().channel != open.channel {
                return Ok(None);
            }
            let change = if entry.body().is_some() {
                self.read_change(core, &entry)?
            } else {
                held = Held::AgainstOthers;
                self.said_by_snapshot(core, connection, log.open(), id)?.map(|(_place, said)| said)
            };
            let same = change.is_some_and(|change| {
                change.collection == body.collection
                    && change.made_in == said.made_in
                    && change.updates == said.updates
            });
            if !same {
                return Ok(None);
            }
        }
        Ok(Some(held))
    }

    /// Acknowledges the snapshots that were held against what is here, unless enough others did.
    pub(crate) fn acknowledge(&mut self, core: &mut Core, connection: &Connection) -> Result<(), Error> {
        for (channel, snapshots) in std::mem::take(&mut self.verified) {
            let mut wanted = Vec::new();
            for snapshot in snapshots {
                let devices: BTreeSet<WriterId> = self
                    .witnesses(connection, &snapshot)?
                    .into_iter()
                    .filter(|witness| witness.channel == Some(channel))
                    .map(|witness| witness.writer)
                    .collect();
                if devices.len() < ACKNOWLEDGING && !devices.contains(&self.writer.writer_id()) {
                    wanted.push(snapshot);
                }
            }
            if self.membership.may(&self.writer.writer_id(), Right::Write, &channel).is_err() {
                continue;
            }
            for some in wanted.chunks(ACKNOWLEDGED_MAX) {
                let body = AcknowledgementRecord { snapshots: some.to_vec() }.to_bytes();
                let new =
                    NewEntry { priority: Priority::Background, ..NewEntry::clear(Kind::Acknowledgement) };
                self.append(core, connection, channel, new, |_core, _bytes| Ok(body))?;
            }
        }
        Ok(())
    }

    /// Documents are as safe as the snapshot from now on that replaces their newest change, if enough devices vouch for it:
    /// what packs its body lies in may go.
    fn rely_on(&self, connection: &Connection, channel: ChannelId, snapshot: &EntryId) -> Result<(), Error> {
        if !self.is_vouched_for(connection, channel, snapshot)? {
            return Ok(());
        }
        connection
            .prepare_cached(
                "UPDATE documents SET (log, seq) = (SELECT log, seq FROM snapshots WHERE snapshot = ?1)
                 WHERE (log, seq) IN (SELECT entries.log, entries.seq FROM covers
                     JOIN entries ON entries.id = covers.entry WHERE covers.snapshot = ?1)",
            )?
            .execute([snapshot.as_bytes()])?;
        Ok(())
    }

    fn is_vouched_for(
        &self,
        connection: &Connection,
        channel: ChannelId,
        snapshot: &EntryId,
    ) -> Result<bool, Error> {
        let mut witnesses = self.witnesses(connection, snapshot)?.into_iter();
        let author = witnesses.next().filter(|author| author.channel == Some(channel));
        Ok(author.is_some_and(|author| replaces(author, witnesses)))
    }

    /// Who speaks for a snapshot, its writer first; nobody if it is not here.
    fn witnesses(&self, connection: &Connection, snapshot: &EntryId) -> Result<Vec<Witness>, Error> {
        let mut statement = connection.prepare_cached(
            "SELECT log, seq FROM (SELECT 0 AS place, log, seq FROM snapshots WHERE snapshot = ?1 AND space = ?2
             UNION ALL SELECT 1 AS place, log, seq FROM acknowledged WHERE snapshot = ?1) ORDER BY place",
        )?;
        let mut rows = statement.query(params![snapshot.as_bytes(), self.id.as_bytes()])?;
        let mut witnesses = Vec::new();
        while let Some(row) = rows.next()? {
            let log = LogId::try_from(row.get_ref(0)?.as_blob()?)?;
            if let Some(state) = self.logs.get(&log) {
                witnesses.push(self.membership.witness(state.open(), row.get(1)?));
            }
        }
        Ok(witnesses)
    }

    /// What an entry of the log `open` said whose body is gone, by a snapshot that enough devices acknowledged, and where that
    /// stands.
    pub(super) fn said_by_snapshot(
        &self,
        core: &mut Core,
        connection: &Connection,
        open: &Open,
        entry: &EntryId,
    ) -> Result<Option<Replacing>, Error> {
        let mut statement = connection.prepare_cached(
            "SELECT covers.snapshot FROM covers JOIN snapshots ON snapshots.snapshot = covers.snapshot
             WHERE covers.entry = ?1 AND snapshots.space = ?2",
        )?;
        let rows = statement
            .query_map(params![entry.as_bytes(), self.id.as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
        for snapshot in rows {
            let snapshot = EntryId::try_from(snapshot?.as_slice())?;
            if core.opened.as_ref().is_none_or(|opened| opened.snapshot != snapshot) {
                let Some(opened) = self.open_snapshot(core, connection, open.channel, snapshot)? else {
                    continue;
                };
                core.opened = Some(opened);
            }
            let said = core.opened.as_ref().and_then(|Opened { place, covers, body, .. }| {
                let said = body.said.get(covers.binary_search(entry).ok()?)?;
                let (made_in, updates) = (said.made_in, said.updates.clone());
                Some((*place, ChangeBody { collection: body.collection.clone(), made_in, updates }))
            });
            if said.is_some() {
                return Ok(said);
            }
        }
        Ok(None)
    }

    fn open_snapshot(
        &self,
        core: &mut Core,
        connection: &Connection,
        channel: ChannelId,
        snapshot: EntryId,
    ) -> Result<Option<Opened>, Error> {
        if !self.is_vouched_for(connection, channel, &snapshot)? {
            return Ok(None);
        }
        let bytes: Option<Vec<u8>> = entry_bytes(connection, &snapshot)?;
        let Some(entry) = bytes.map(Entry::from_vec).transpose()? else { return Ok(None) };
        let secret = entry.core().epoch.and_then(|epoch| self.epochs.get(&epoch));
        let (Some(secret), Some(body)) = (secret, entry.body()) else { return Ok(None) };
        let plain = core.opener.open(secret, entry.core_bytes(), body).ok();
        let body = plain.and_then(|plain| SnapshotBody::from_bytes(&plain).ok());
        let place = (entry.core().log, entry.core().seq);
        Ok(body.map(|body| Opened { snapshot, place, covers: entry.core().covers.clone(), body }))
    }
}
