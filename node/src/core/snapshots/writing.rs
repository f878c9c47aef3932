//! Writing snapshots: when a channel is looked at, what of it is covered, and whether that is worth it.

use std::collections::BTreeMap;

use cosmic_common::{
    id::{ChannelId, EntryId},
    limit::{BODY_PLAIN_MAX_BYTES, CLEAR_FIELD_MAX},
    record::Record as _,
};
use cosmic_log::{
    entry::Entry,
    kind::{Kind, Priority},
};
use cosmic_space::rights::Right;
use rusqlite::{Connection, params};

use super::super::{Core, append::NewEntry, space::Space};
use crate::{
    content::{ChangeBody, Said, SnapshotBody},
    error::Error,
};

/// Changes of this device in a channel before the channel is looked at: so many share the header of the snapshot.
pub(super) const GROWN_MIN: u64 = 256;
/// Bytes of entries that are looked at together.
const WINDOW_BYTES: usize = 1024 * 1024;
/// Changes that are longer on average were written in bulk and sealed together already: nothing is gained by doing it again.
const USUAL_BODY_MAX_BYTES: u64 = 8 * 1024;
/// Plain bytes of what a snapshot says: a body less room for the collection's name.
const SAID_MAX_BYTES: usize = BODY_PLAIN_MAX_BYTES - 4096;
/// Bytes of a snapshot's header beside the ids it covers, and what each of these takes.
const HEADER_BYTES: u64 = 256;
const ID_BYTES: u64 = 34;
/// What a snapshot has to save for each change: the headers of a pack, which takes 2 bytes for each, come back to three
/// replicas, which is half a header of 270 bytes at a pack's rate, and some more.
const SAVED_MIN_BYTES: u64 = 160;
/// Changes of a channel that no snapshot covers, the oldest first.
#[derive(Default)]
pub(super) struct Window {
    pub(super) changes: Vec<Change>,
    /// The number of the last entry that was looked at,
    last: i64,
    /// and how many were.
    looked_at: u64,
}

/// One of them.
pub(super) struct Change {
    pub(super) entry: Entry,
    /// The number of the last entry before it,
    after: i64,
    /// and how many were looked at until then.
    looked_at: u64,
}

impl Space {
    /// Reads how far each channel has grown since it was looked at.
    pub(crate) fn read_growth(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut statement = connection.prepare(
            "SELECT logs.channel, count(*) FROM entries JOIN logs ON logs.log = entries.log
             LEFT JOIN looked ON looked.space = logs.space AND looked.channel = logs.channel
             WHERE logs.space = ?1 AND logs.channel <> ?2 AND entries.number > coalesce(looked.number, 0)
             GROUP BY logs.channel",
        )?;
        let membership = self.membership_channel();
        let mut rows = statement.query(params![self.id.as_bytes(), membership.as_bytes()])?;
        while let Some(row) = rows.next()? {
            self.grown.insert(ChannelId::try_from(row.get_ref(0)?.as_blob()?)?, row.get(1)?);
        }
        Ok(())
    }

    /// Writes snapshots of the channels that have grown enough.
    pub(crate) fn take_snapshots(&mut self, core: &mut Core, connection: &Connection) -> Result<(), Error> {
        let due: Vec<(ChannelId, u64)> = self
            .grown
            .iter()
            .map(|(channel, grown)| (*channel, *grown))
            .filter(|(_, grown)| *grown >= GROWN_MIN)
            .collect();
        for (channel, grown) in due {
            if self.membership.may(&self.writer.writer_id(), Right::Write, &channel).is_ok() {
                let looked_at = self.take_snapshot(core, connection, channel)?;
                self.grown.insert(channel, grown.saturating_sub(looked_at));
            }
        }
        Ok(())
    }

    /// Looks at the oldest changes of a channel that were not looked at; how many entries were.
    fn take_snapshot(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        channel: ChannelId,
    ) -> Result<u64, Error> {
        let mut window = self.window(connection, channel)?;
        let whole: u64 = window.changes.iter().map(|change| change.entry.body_bytes()).sum();
        if whole <= USUAL_BODY_MAX_BYTES.saturating_mul(window.changes.len() as u64) {
            self.write_snapshot(core, connection, channel, &mut window)?;
        }
        if window.looked_at > 0 {
            connection
                .prepare_cached("INSERT OR REPLACE INTO looked (space, channel, number) VALUES (?1, ?2, ?3)")?
                .execute(params![self.id.as_bytes(), channel.as_bytes(), window.last])?;
        }
        // With nothing left to look at the channel begins to grow anew.
        Ok(if window.looked_at > 0 { window.looked_at } else { u64::MAX })
    }

    pub(super) fn window(&self, connection: &Connection, channel: ChannelId) -> Result<Window, Error> {
        // In the order of the numbers, so that what was looked at is not passed again; a cross join keeps SQLite to it.
        let mut statement = connection.prepare_cached(&format!(
            "SELECT entries.number, entries.bytes FROM entries CROSS JOIN logs ON logs.log = entries.log
             WHERE logs.space = ?1 AND logs.channel = ?2 AND entries.applied = 1 AND entries.number >
                 coalesce((SELECT number FROM looked WHERE space = ?1 AND channel = ?2), 0)
             AND NOT EXISTS (SELECT 1 FROM covers JOIN snapshots ON snapshots.snapshot = covers.snapshot
                 WHERE covers.entry = entries.id AND snapshots.verified = 1)
             ORDER BY entries.number LIMIT {CLEAR_FIELD_MAX}"
        ))?;
        let mut rows = statement.query(params![self.id.as_bytes(), channel.as_bytes()])?;
        let (mut window, mut bytes) = (Window::default(), 0);
        while let Some(row) = rows.next()? {
            let entry = row.get_ref(1)?.as_blob()?;
            bytes += entry.len();
            if bytes > WINDOW_BYTES && window.looked_at > 0 {
                break;
            }
            let entry = Entry::from_bytes(entry)?;
            if entry.core().kind == Kind::Change && entry.body().is_some() {
                window.changes.push(Change { entry, after: window.last, looked_at: window.looked_at });
            }
            window.last = row.get(0)?;
            window.looked_at += 1;
        }
        Ok(window)
    }

    /// Writes a snapshot of the changes in a window, as many as fit, if that is worth it.
    fn write_snapshot(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        channel: ChannelId,
        window: &mut Window,
    ) -> Result<(), Error> {
        let (mut said, mut collection) = (BTreeMap::new(), None);
        let (mut plain, mut freed) = (0, 0);
        for Change { entry, after, looked_at } in &window.changes {
            let Some(change) = self.read_change(core, entry)? else { continue };
            plain += length(&change);
            if plain > SAID_MAX_BYTES && !said.is_empty() {
                // The next one begins here.
                (window.last, window.looked_at) = (*after, *looked_at);
                break;
            }
            freed += entry.body_bytes();
            collection.get_or_insert(change.collection);
            said.insert(entry.id(), Said { made_in: change.made_in, updates: change.updates });
        }
        let Some(collection) =
            collection.filter(|name| self.secrets().is_ok_and(|s| s.channel_id(name) == channel))
        else {
            return Ok(());
        };
        let (covers, said): (Vec<EntryId>, Vec<Said>) = said.into_iter().unzip();
        let body = SnapshotBody { collection, said }.to_bytes();
        let (epoch, secret) = self.current_epoch()?;
        let sealed = core.sealer.seal(&secret, &[], &body)?.len() as u64;
        let cost = sealed + HEADER_BYTES + ID_BYTES * covers.len() as u64;
        if cost + SAVED_MIN_BYTES * covers.len() as u64 > freed {
            return Ok(());
        }
        tracing::debug!(space = %self.id.short(), covers = covers.len(), freed, cost, "a snapshot is written");
        let new =
            NewEntry { covers, priority: Priority::Background, ..NewEntry::sealed(Kind::Snapshot, epoch) };
        self.append_snapshot(core, connection, channel, new, |core, bytes| {
            Ok(core.sealer.seal(&secret, bytes, &body)?)
        })?;
        Ok(())
    }
}

/// About how many bytes a change takes in a snapshot, rather too many.
fn length(change: &ChangeBody) -> usize {
    /// Heads of arrays and strings, and the incarnation.
    const AROUND: usize = 32;
    let updates = change.updates.iter();
    updates.map(|update| update.document.len() + update.operations.len() + AROUND).sum::<usize>() + AROUND
}
