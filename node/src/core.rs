//! The state of the single writer: spaces, open documents, and what is to be told when the group is on disk.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cosmic_common::{id::SpaceId, time::Timestamp};
use cosmic_runtime::clock::Clock;
use cosmic_seal::body::{BodyOpener, BodySealer};
use rusqlite::{Connection, params};
use tokio::sync::broadcast;

pub(crate) mod append;
pub(crate) mod apply;
pub mod ingest;
pub(crate) mod open_documents;
pub(crate) mod seal_pending;
pub(crate) mod snapshots;
pub(crate) mod space;

use self::{open_documents::OpenDocuments, space::Space};
use crate::{
    database::{self, State},
    device::Device,
    error::Error,
    event::{ChangeKind, Changed, Event},
    uplinks::Uplinks,
};

/// What the writer shares with the rest of the node.
#[derive(Debug)]
pub struct Context {
    /// This device.
    pub device: Device,
    /// The time.
    pub clock: Clock,
    /// Who is there to take what is written.
    pub uplinks: Uplinks,
    /// Told once a write is on disk.
    pub events: broadcast::Sender<Event>,
}

/// The writer's state; owned by the database's writer thread.
pub struct Core {
    pub(crate) context: Arc<Context>,
    spaces: BTreeMap<SpaceId, Space>,
    pub(crate) documents: OpenDocuments,
    pub(crate) sealer: BodySealer,
    pub(crate) opener: BodyOpener,
    /// The snapshot that was opened last: what it covers is looked for entry by entry.
    pub(crate) opened: Option<snapshots::Opened>,
    outbox: Vec<Event>,
    /// Spaces with pending changes that were touched in this group.
    touched: Vec<SpaceId>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("spaces", &self.spaces.len()).finish_non_exhaustive()
    }
}

impl Core {
    /// A writer that has read nothing yet.
    ///
    /// # Errors
    /// [`Error::Seal`] if the compressor gets no memory.
    pub fn new(context: Arc<Context>) -> Result<Self, Error> {
        Ok(Self {
            context,
            spaces: BTreeMap::new(),
            documents: OpenDocuments::default(),
            sealer: BodySealer::new()?,
            opener: BodyOpener::new()?,
            opened: None,
            outbox: Vec::new(),
            touched: Vec::new(),
        })
    }

    /// The time on this device's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// The space, taken out so that it can be changed beside the rest; give it back with [`Core::keep`].
    pub(crate) fn take(&mut self, connection: &Connection, id: &SpaceId) -> Result<Space, Error> {
        match self.spaces.remove(id) {
            Some(space) => Ok(space),
            None => Space::load(connection, &self.context.device, id),
        }
    }

    /// Puts a space back after its changes stand in the database.
    pub(crate) fn keep(&mut self, space: Space) {
        self.spaces.insert(space.id, space);
    }

    /// Runs `work` on a space; whatever it cached is forgotten if it fails.
    pub(crate) fn with_space<T>(
        &mut self,
        connection: &Connection,
        id: &SpaceId,
        work: impl FnOnce(&mut Self, &mut Space) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut space = self.take(connection, id)?;
        let result = work(self, &mut space)?;
        self.keep(space);
        Ok(result)
    }

    /// Forgets what is cached of a space that was left.
    pub(crate) fn forget(&mut self, id: &SpaceId) {
        self.spaces.remove(id);
        self.documents.clear();
    }

    /// To be told when the group is on disk.
    pub(crate) fn tell(&mut self, event: Event) {
        self.outbox.push(event);
    }

    /// Notes that `space` has pending changes.
    pub(crate) fn touch(&mut self, space: SpaceId) {
        if !self.touched.contains(&space) {
            self.touched.push(space);
        }
    }

    /// Writes a change into the list apps can go on from, and tells it.
    pub(crate) fn changed(
        &mut self,
        connection: &Connection,
        space: SpaceId,
        (collection, document): (&str, &str),
        kind: ChangeKind,
    ) -> Result<(), Error> {
        let at_ms = i64::try_from(self.now().unix_ms()).unwrap_or(i64::MAX);
        connection
            .prepare_cached(
                "INSERT INTO events (space, collection, document, kind, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![space.as_bytes(), collection, document, kind.name(), at_ms])?;
        let cursor = connection.last_insert_rowid();
        if cursor % EVENTS_TRIM_EVERY == 0 {
            connection.execute("DELETE FROM events WHERE cursor <= ?1", [cursor - EVENTS_KEPT])?;
        }
        let changed =
            Changed { cursor, space, collection: collection.to_owned(), document: document.to_owned(), kind };
        self.tell(Event::Changed(Arc::new(changed)));
        Ok(())
    }
}

/// Changes an app can go back to after a break.
const EVENTS_KEPT: i64 = 100_000;
/// How often the list is shortened.
const EVENTS_TRIM_EVERY: i64 = 1000;

impl State for Core {
    fn mark(&self) -> usize {
        self.outbox.len()
    }

    fn rolled_back(&mut self, mark: usize) {
        self.spaces.clear();
        self.documents.clear();
        self.outbox.truncate(mark);
    }

    fn before_commit(&mut self, connection: &Connection) -> Result<(), database::Error> {
        for space in std::mem::take(&mut self.touched) {
            match self.seal_if_due(connection, &space) {
                Ok(()) => {}
                Err(Error::Database(error)) => return Err(error),
                // The changes stay pending and are tried again with the next write.
                Err(error) => {
                    tracing::error!(space = %space.short(), %error, "pending changes could not be sealed");
                }
            }
        }
        Ok(())
    }

    fn committed(&mut self) {
        for event in self.outbox.drain(..) {
            // Nobody listening is fine: whoever comes later reads the database.
            drop(self.context.events.send(event));
        }
    }
}
