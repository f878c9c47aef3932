//! Entries for the machine of a session, out of the database.

use cosmic_common::id::EntryId;
use cosmic_sync::{
    door::{Input, Place, Range, Ticket},
    message::Frame,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{error::Error, node::Node};

pub(super) async fn load(node: &Node, ticket: Ticket, ranges: Vec<Range>, max_bytes: u64) -> Input {
    let loaded = node.read(move |connection| load_ranges(connection, &ranges, max_bytes)).await;
    match loaded {
        Ok(frames) => Input::Loaded(ticket, frames),
        Err(error) => {
            tracing::error!(%error, "entries cannot be read");
            Input::LoadFailed(ticket)
        }
    }
}

pub(super) async fn name_places(node: &Node, ticket: Ticket, places: Vec<Place>) -> Input {
    let ids = node.read(move |connection| identify(connection, &places)).await;
    match ids {
        Ok(ids) => Input::Identified(ticket, ids),
        Err(error) => {
            tracing::error!(%error, "entries cannot be named");
            Input::LoadFailed(ticket)
        }
    }
}

fn load_ranges(connection: &Connection, ranges: &[Range], max_bytes: u64) -> Result<Vec<Vec<Frame>>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT bytes FROM entries WHERE log = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq")?;
    let (mut loaded, mut bytes) = (Vec::new(), 0u64);
    for range in ranges {
        let mut rows = statement.query(params![range.log.as_bytes(), range.from, range.to])?;
        let mut frames: Vec<Frame> = Vec::new();
        while let Some(row) = rows.next()? {
            let entry = row.get_ref(0)?.as_blob()?;
            bytes += entry.len() as u64;
            let first_of_all = frames.is_empty() && loaded.is_empty();
            if bytes > max_bytes && !first_of_all {
                break;
            }
            frames.push(Frame::from(entry));
        }
        let complete = frames.len() as u64 == range.to.saturating_sub(range.from);
        loaded.push(frames);
        if !complete {
            break;
        }
    }
    Ok(loaded)
}

fn identify(connection: &Connection, places: &[Place]) -> Result<Vec<EntryId>, Error> {
    let mut statement = connection.prepare_cached("SELECT id FROM entries WHERE log = ?1 AND seq = ?2")?;
    places
        .iter()
        .map(|place| {
            let id: Option<Vec<u8>> =
                statement.query_row(params![place.log.as_bytes(), place.seq], |row| row.get(0)).optional()?;
            Ok(EntryId::try_from(id.unwrap_or_default().as_slice())?)
        })
        .collect()
}
