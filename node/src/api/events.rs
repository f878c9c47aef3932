//! Changes as they happen, over server-sent events; a client that comes back goes on where it was.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::sse::{Event as Sse, KeepAlive, Sse as Answer},
};
use cosmic_common::id::SpaceId;
use futures::{Stream, stream};
use rusqlite::params;
use serde::Deserialize;
use tokio::sync::broadcast;

use crate::{
    error::Error,
    event::{ChangeKind, Changed, Event},
    node::Node,
};

/// Changes read at once while a client catches up.
const PAGE: usize = 500;

/// Which changes.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    space: Option<String>,
}

/// A client that listens: what it was told last, and what waits to be told.
struct Listener {
    node: Node,
    space: Option<SpaceId>,
    cursor: i64,
    queue: VecDeque<Arc<Changed>>,
    live: broadcast::Receiver<Event>,
    behind: bool,
}

pub(super) async fn stream(
    State(node): State<Node>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Answer<impl Stream<Item = Result<Sse, Infallible>>>, Error> {
    let space = match which.space {
        Some(prefix) => Some(node.find_space(&prefix).await?),
        None => None,
    };
    let live = node.context.events.subscribe();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let cursor = match last {
        Some(cursor) => cursor,
        None => node.read(newest).await?,
    };
    let listener = Listener { node, space, cursor, queue: VecDeque::new(), live, behind: last.is_some() };
    let changes = stream::unfold(listener, |mut listener| async {
        let changed = listener.next().await?;
        let data = serde_json::to_string(&*changed).unwrap_or_default();
        Some((
            Ok(Sse::default().id(changed.cursor.to_string()).event(changed.kind.name()).data(data)),
            listener,
        ))
    });
    Ok(Answer::new(changes).keep_alive(KeepAlive::default()))
}

fn newest(connection: &rusqlite::Connection) -> Result<i64, Error> {
    Ok(connection.query_row("SELECT coalesce(max(cursor), 0) FROM events", [], |row| row.get(0))?)
}

impl Listener {
    /// The next change; nothing when the node ends.
    async fn next(&mut self) -> Option<Arc<Changed>> {
        loop {
            if let Some(changed) = self.queue.pop_front() {
                self.cursor = changed.cursor;
                return Some(changed);
            }
            if self.behind {
                self.catch_up().await.ok()?;
                continue;
            }
            match self.live.recv().await {
                Ok(Event::Changed(changed))
                    if changed.cursor > self.cursor
                        && self.space.is_none_or(|space| space == changed.space) =>
                {
                    self.queue.push_back(changed);
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Error> {
        let (cursor, space) = (self.cursor, self.space);
        let page = self.node.read(move |connection| read_page(connection, cursor, space)).await?;
        self.behind = page.len() == PAGE;
        self.queue.extend(page);
        Ok(())
    }
}

fn read_page(
    connection: &rusqlite::Connection,
    cursor: i64,
    space: Option<SpaceId>,
) -> Result<Vec<Arc<Changed>>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT cursor, space, collection, document, kind FROM events
         WHERE cursor > ?1 AND (?2 IS NULL OR space = ?2) ORDER BY cursor LIMIT {PAGE}"
    ))?;
    let mut rows = statement.query(params![cursor, space.map(|space| space.as_bytes().to_vec())])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(4)?;
        page.push(Arc::new(Changed {
            cursor: row.get(0)?,
            space: SpaceId::try_from(row.get_ref(1)?.as_blob()?)?,
            collection: row.get(2)?,
            document: row.get(3)?,
            kind: match kind.as_str() {
                "delete" => ChangeKind::Delete,
                "file" => ChangeKind::File,
                "remove" => ChangeKind::Remove,
                _ => ChangeKind::Put,
            },
        }));
    }
    Ok(page)
}
