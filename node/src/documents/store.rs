//! Documents in the database: opened from their bytes, changed by an app or an entry, saved with their JSON.

use cosmic_common::id::{LogId, SpaceId};
use cosmic_log::open::Open;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::engine::{Document, ReplicaId};
use crate::{
    content::{NAME_MAX_BYTES, replica_of},
    core::{Core, seal_pending::UPDATE_MAX_BYTES},
    error::Error,
    event::ChangeKind,
};

/// Where a document stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The space.
    pub space: &'a SpaceId,
    /// The collection.
    pub collection: &'a str,
    /// The document's id.
    pub document: &'a str,
}

/// What an app does to a document.
#[derive(Debug, Clone)]
pub enum Change {
    /// Create or replace.
    Put(Value),
    /// A JSON merge patch.
    Patch(Value),
    /// Delete.
    Delete,
}

/// A document after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its version.
    pub version: String,
    /// Whether it was there before.
    pub existed: bool,
}

/// Refuses names that are empty, too long or unprintable.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES || name.chars().any(char::is_control) {
        return Err(Error::Name { what, limit: NAME_MAX_BYTES });
    }
    Ok(())
}

impl Core {
    /// Carries out an app's change: document row and pending change in the caller's transaction.
    ///
    /// # Errors
    /// [`Error`] if the change is refused; nothing is changed then.
    pub fn change_document(
        &mut self,
        connection: &Connection,
        place: Place<'_>,
        change: &Change,
        expected: Option<&str>,
    ) -> Result<Stored, Error> {
        check_name("a collection's name", place.collection)?;
        check_name("a document's id", place.document)?;
        let (replica, id) = self.with_space(connection, place.space, |core, space| {
            let channel = space.secrets()?.channel_id(place.collection);
            space
                .membership
                .may(&space.writer.writer_id(), cosmic_space::rights::Right::Write, &channel)
                .map_err(Error::NotAllowed)?;
            let open: Open = space.own_log(core, channel);
            space.name_channel(connection, &open, place.collection)?;
            Ok((replica_of(&open.log_id(), place.document), space.id))
        })?;
        let mut document = open(self, connection, &id, place.collection, place.document)?;
        let existed = document.value().is_some();
        if let Err(refused) = check_version(&document, existed, place, change, expected) {
            self.documents.put(&id, place.collection, place.document, document);
            return Err(refused);
        }
        let update = apply(&mut document, replica, change)?;
        let stored = Stored { version: document.version(), existed };
        let Some(update) = update else {
            self.documents.put(&id, place.collection, place.document, document);
            return Ok(stored);
        };
        if update.len() > UPDATE_MAX_BYTES {
            return Err(Error::TooLarge { found: update.len(), limit: UPDATE_MAX_BYTES });
        }
        let present = save(self, connection, place, document, None)?;
        self.add_pending(connection, place, update)?;
        let kind = if present { ChangeKind::Put } else { ChangeKind::Delete };
        self.changed(connection, id, (place.collection, place.document), kind)?;
        Ok(stored)
    }

    fn add_pending(
        &mut self,
        connection: &Connection,
        place: Place<'_>,
        update: Vec<u8>,
    ) -> Result<(), Error> {
        connection
            .prepare_cached(
                "INSERT INTO pending (space, collection, document, incarnation, content) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                place.space.as_bytes(),
                place.collection,
                place.document,
                self.context.device.incarnation().as_bytes(),
                update
            ])?;
        self.touch(*place.space);
        self.with_space(connection, place.space, |_core, space| {
            space.pending_bytes += update.len();
            Ok(())
        })
    }
}

fn check_version(
    document: &Document,
    existed: bool,
    place: Place<'_>,
    change: &Change,
    expected: Option<&str>,
) -> Result<(), Error> {
    let found = if existed { document.version() } else { "none".to_owned() };
    if let Some(expected) = expected.filter(|expected| *expected != found && !(existed && *expected == "*")) {
        return Err(Error::Version { found, expected: expected.to_owned() });
    }
    if matches!(change, Change::Delete) && !existed {
        return Err(Error::NoDocument {
            collection: place.collection.to_owned(),
            document: place.document.to_owned(),
        });
    }
    Ok(())
}

fn apply(document: &mut Document, replica: ReplicaId, change: &Change) -> Result<Option<Vec<u8>>, Error> {
    Ok(match change {
        Change::Put(value) => document.put(replica, value)?,
        Change::Patch(patch) => document.patch(replica, patch)?,
        Change::Delete => document.delete(replica)?,
    })
}

/// The document, from memory or from its bytes; a new one if there is none.
///
/// # Errors
/// [`Error`] if the database refuses or the bytes are damaged.
pub fn open(
    core: &mut Core,
    connection: &Connection,
    space: &SpaceId,
    collection: &str,
    id: &str,
) -> Result<Document, Error> {
    if let Some(document) = core.documents.take(space, collection, id) {
        return Ok(document);
    }
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached("SELECT crdt FROM documents WHERE space = ?1 AND collection = ?2 AND document = ?3")?
        .query_row(params![space.as_bytes(), collection, id], |row| row.get(0))
        .optional()?;
    match bytes {
        Some(bytes) => Ok(Document::from_bytes(&bytes)?),
        None => Ok(Document::default()),
    }
}

/// Writes the row of a changed document and keeps it open; whether it is present. `newest` is the entry of its
/// newest change, nothing while that is pending.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn save(
    core: &mut Core,
    connection: &Connection,
    place: Place<'_>,
    document: Document,
    newest: Option<(LogId, u64)>,
) -> Result<bool, Error> {
    let json = document.value().map(|value| value.to_string());
    let present = json.is_some();
    let (log, seq) = newest.map_or((None, None), |(log, seq)| (Some(log.as_bytes().to_vec()), Some(seq)));
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO documents (space, collection, document, json, crdt, version, updated_ms, log, seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            place.space.as_bytes(),
            place.collection,
            place.document,
            json,
            document.to_bytes()?,
            document.version(),
            i64::try_from(core.now().unix_ms()).unwrap_or(i64::MAX),
            log,
            seq
        ])?;
    core.documents.put(place.space, place.collection, place.document, document);
    Ok(present)
}
