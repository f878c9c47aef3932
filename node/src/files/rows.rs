//! Files in the database: the row of each file and of the objects it needs.

use cosmic_common::{
    id::{EntryId, LogId, ObjectId, SpaceId},
    record::Record as _,
};
use cosmic_log::{entry::Entry, kind::Kind};
use cosmic_seal::chunk::ChunkReference;
use cosmic_space::rights::Right;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    content::{CHUNKS_MAX, FileBody},
    core::{Core, append::NewEntry},
    documents::store::check_name,
    error::Error,
    event::{ChangeKind, Event},
    safety::packs,
};

/// A file as it stands.
#[derive(Debug, Clone)]
pub struct FileRow {
    /// What its entry says.
    pub body: FileBody,
    /// The log of that entry.
    pub log: Vec<u8>,
    /// Its place there.
    pub seq: u64,
}

/// A chunk that this device has sealed and cached.
#[derive(Debug, Clone, Copy)]
pub struct NewChunk {
    /// What opens it.
    pub reference: ChunkReference,
    /// Sealed bytes.
    pub sealed_bytes: usize,
}

impl Core {
    /// Writes the entry of a file whose chunks are in the cache, and queues them for upload; or of one that is removed. The
    /// entry that said what the file was before is removed with it.
    ///
    /// # Errors
    /// [`Error`] if the name or the number of chunks is out of bounds, or the right is missing.
    pub fn put_file(
        &mut self,
        connection: &Connection,
        id: &SpaceId,
        body: &FileBody,
        chunks: &[NewChunk],
    ) -> Result<(), Error> {
        check_name("a file's name", &body.name)?;
        if body.chunks.len() > CHUNKS_MAX {
            let limit_bytes = (CHUNKS_MAX * cosmic_seal::chunk::CHUNK_PLAIN_MAX_BYTES) as u64;
            return Err(Error::FileTooLarge { limit_bytes });
        }
        let entry = self.with_space(connection, id, |core, space| {
            let channel = space.secrets()?.files_channel_id();
            space
                .membership
                .may(&space.writer.writer_id(), Right::Write, &channel)
                .map_err(Error::NotAllowed)?;
            let (epoch, secret) = space.current_epoch()?;
            let replaced = Standing::find(connection, id, &body.name)?;
            let needed = body.chunks.iter().filter(|_| claims(body));
            let mut objects: Vec<ObjectId> = needed.map(|chunk| chunk.object).collect();
            objects.sort_unstable();
            objects.dedup();
            let new = NewEntry { objects, ..NewEntry::sealed(Kind::File, epoch) };
            let plain = body.to_bytes();
            let entry = space.append(core, connection, channel, new, |core, bytes| {
                Ok(core.sealer.seal(&secret, bytes, &plain)?)
            })?;
            if let Some(replaced) = replaced.and_then(|standing| standing.claimant()) {
                space.remove_entries(core, connection, channel, vec![replaced.entry])?;
            }
            Ok(entry)
        })?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO objects (object, space, bytes, mine, cached) VALUES (?1, ?2, ?3, 1, 1)
             ON CONFLICT (object) DO UPDATE SET cached = 1, mine = 1",
        )?;
        for chunk in chunks {
            insert.execute(params![chunk.reference.object.as_bytes(), id.as_bytes(), chunk.sealed_bytes])?;
        }
        // What it superseded is removed already.
        apply(self, connection, id, &entry, body)?;
        if !body.removed {
            // A file is as safe as the entry that says where its chunks are.
            packs::want(connection, id, &entry.core().log, entry.core().seq)?;
            self.tell(Event::Wanted { space: *id });
        }
        self.tell(Event::Upload { space: *id });
        Ok(())
    }
}

/// An entry that claims chunks, and that a newer one about the same file has superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    /// The entry.
    pub entry: EntryId,
    /// Its log.
    pub log: LogId,
}

/// The row of a file, removed or not.
struct Standing {
    body: FileBody,
    time: i64,
    of: Superseded,
}

impl Standing {
    fn find(connection: &Connection, space: &SpaceId, name: &str) -> Result<Option<Self>, Error> {
        type Row = (Vec<u8>, i64, Vec<u8>, Vec<u8>);
        let row: Option<Row> = connection
            .prepare_cached("SELECT content, time, entry, log FROM files WHERE space = ?1 AND name = ?2")?
            .query_row(params![space.as_bytes(), name], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((content, time, entry, log)) = row else { return Ok(None) };
        let entry = EntryId::try_from(entry.as_slice())?;
        let of = Superseded { entry, log: LogId::try_from(log.as_slice())? };
        Ok(Some(Self { body: FileBody::from_bytes(&content)?, time, of }))
    }

    /// Its entry, if that claims chunks.
    fn claimant(&self) -> Option<Superseded> {
        Some(self.of).filter(|_| claims(&self.body))
    }
}

/// Whether the entry of a file with this body claims chunks. A removed one still says which were its.
const fn claims(body: &FileBody) -> bool {
    !body.removed && !body.chunks.is_empty()
}

/// Makes the file what `body` says, if no newer entry has spoken: the later time wins, then the higher entry id. The entry
/// that lost, if it claims chunks.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn apply(
    core: &mut Core,
    connection: &Connection,
    space: &SpaceId,
    entry: &Entry,
    body: &FileBody,
) -> Result<Option<Superseded>, Error> {
    let time = entry.core().time.bits().cast_signed();
    let own = Superseded { entry: entry.id(), log: entry.core().log };
    let standing = Standing::find(connection, space, &body.name)?;
    if standing.as_ref().is_some_and(|standing| (standing.time, standing.of.entry) >= (time, own.entry)) {
        let is_another = standing.is_some_and(|standing| standing.of != own);
        return Ok(Some(own).filter(|_| is_another && claims(body)));
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO files (space, name, content, time, entry, log, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            space.as_bytes(),
            body.name,
            body.to_bytes(),
            time,
            own.entry.as_bytes(),
            own.log.as_bytes(),
            entry.core().seq
        ])?;
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO objects (object, space, bytes, mine, cached) VALUES (?1, ?2, ?3, 0, 0)",
    )?;
    for chunk in body.chunks.iter().filter(|_| claims(body)) {
        insert.execute(params![chunk.object.as_bytes(), space.as_bytes(), chunk.length])?;
    }
    if let Some(standing) = &standing {
        release(connection, space, &standing.body, body)?;
    }
    let kind = if body.removed { ChangeKind::Remove } else { ChangeKind::File };
    core.changed(connection, *space, ("", &body.name), kind)?;
    Ok(standing.and_then(|standing| standing.claimant()))
}

/// Lets go of the chunks of a file that is `new` now. What no file needs is uploaded no more, and its receipts are void; what
/// another file needs is offered again, since it may have been removed before that was known.
fn release(connection: &Connection, space: &SpaceId, old: &FileBody, new: &FileBody) -> Result<(), Error> {
    for chunk in old.chunks.iter().filter(|_| claims(old)) {
        if claims(new) && new.chunks.iter().any(|kept| kept.object == chunk.object) {
            continue;
        }
        let object = chunk.object.as_bytes();
        if is_needed(connection, space, &chunk.object)? {
            connection
                .prepare_cached("UPDATE objects SET mine = 1, durable = 0 WHERE object = ?1 AND cached = 1")?
                .execute([object])?;
        } else {
            connection
                .prepare_cached(
                    "UPDATE objects SET mine = 0, durable = 0, manifest = NULL WHERE object = ?1",
                )?
                .execute([object])?;
            connection.prepare_cached("DELETE FROM shard_receipts WHERE object = ?1")?.execute([object])?;
        }
    }
    Ok(())
}

/// Whether a file of the space has this chunk.
fn is_needed(connection: &Connection, space: &SpaceId, object: &ObjectId) -> Result<bool, Error> {
    // Only rows whose bytes contain the id are read.
    let mut statement =
        connection.prepare_cached("SELECT content FROM files WHERE space = ?1 AND instr(content, ?2) > 0")?;
    let mut rows = statement.query(params![space.as_bytes(), object.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let body = FileBody::from_bytes(row.get_ref(0)?.as_blob()?)?;
        if claims(&body) && body.chunks.iter().any(|chunk| chunk.object == *object) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The chunks of a file that was removed, those left out that another file needs.
///
/// # Errors
/// [`Error::NoFile`] if there never was such a file, or it is there.
pub fn removed_chunks(connection: &Connection, space: &SpaceId, name: &str) -> Result<Vec<ObjectId>, Error> {
    let standing = Standing::find(connection, space, name)?.filter(|standing| standing.body.removed);
    let body = standing.ok_or_else(|| Error::NoFile { name: name.to_owned() })?.body;
    let mut objects: Vec<ObjectId> = body.chunks.iter().map(|chunk| chunk.object).collect();
    objects.sort_unstable();
    objects.dedup();
    let mut removed = Vec::with_capacity(objects.len());
    for object in objects {
        if !is_needed(connection, space, &object)? {
            removed.push(object);
        }
    }
    Ok(removed)
}

/// The file called `name`.
///
/// # Errors
/// [`Error::NoFile`] if there is none or it was removed.
pub fn find(connection: &Connection, space: &SpaceId, name: &str) -> Result<FileRow, Error> {
    let row: Option<(Vec<u8>, Vec<u8>, u64)> = connection
        .prepare_cached("SELECT content, log, seq FROM files WHERE space = ?1 AND name = ?2")?
        .query_row(params![space.as_bytes(), name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let missing = || Error::NoFile { name: name.to_owned() };
    let (content, log, seq) = row.ok_or_else(missing)?;
    let body = FileBody::from_bytes(&content)?;
    if body.removed { Err(missing()) } else { Ok(FileRow { body, log, seq }) }
}

/// All files of a space, by name.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn list(connection: &Connection, space: &SpaceId) -> Result<Vec<FileRow>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT content, log, seq FROM files WHERE space = ?1 ORDER BY name")?;
    let mut rows = statement.query([space.as_bytes()])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        let body = FileBody::from_bytes(row.get_ref(0)?.as_blob()?)?;
        if !body.removed {
            files.push(FileRow { body, log: row.get(1)?, seq: row.get(2)? });
        }
    }
    Ok(files)
}
