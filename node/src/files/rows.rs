//! Files in the database: the row of each file and of the objects it needs.

use cosmic_common::{
    id::{ObjectId, SpaceId},
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
    /// Writes the entry of a file whose chunks are in the cache, and queues them for upload.
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
            let mut objects: Vec<ObjectId> = body.chunks.iter().map(|chunk| chunk.object).collect();
            objects.sort_unstable();
            objects.dedup();
            let new = NewEntry { objects, ..NewEntry::sealed(Kind::File, epoch) };
            let plain = body.to_bytes();
            space.append(core, connection, channel, new, |core, bytes| {
                Ok(core.sealer.seal(&secret, bytes, &plain)?)
            })
        })?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO objects (object, space, bytes, mine, cached) VALUES (?1, ?2, ?3, 1, 1)
             ON CONFLICT (object) DO UPDATE SET cached = 1, mine = 1",
        )?;
        for chunk in chunks {
            insert.execute(params![chunk.reference.object.as_bytes(), id.as_bytes(), chunk.sealed_bytes])?;
        }
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

/// Makes the file what `body` says, if no newer entry has spoken: the later time wins, then the higher entry id.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn apply(
    core: &mut Core,
    connection: &Connection,
    space: &SpaceId,
    entry: &Entry,
    body: &FileBody,
) -> Result<(), Error> {
    let time = entry.core().time.bits().cast_signed();
    let standing: Option<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT time, entry FROM files WHERE space = ?1 AND name = ?2")?
        .query_row(params![space.as_bytes(), body.name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if standing.is_some_and(|standing| standing >= (time, entry.id().as_bytes().to_vec())) {
        return Ok(());
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
            entry.id().as_bytes(),
            entry.core().log.as_bytes(),
            entry.core().seq
        ])?;
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO objects (object, space, bytes, mine, cached) VALUES (?1, ?2, ?3, 0, 0)",
    )?;
    for chunk in &body.chunks {
        insert.execute(params![chunk.object.as_bytes(), space.as_bytes(), chunk.length])?;
    }
    let kind = if body.removed { ChangeKind::Remove } else { ChangeKind::File };
    core.changed(connection, *space, ("", &body.name), kind)
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
