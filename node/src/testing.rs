//! Devices without a network, for tests: what one has stored is handed to the other by hand.

use std::sync::Arc;

use cosmic_common::{
    id::{Incarnation, SpaceId},
    time::Timestamp,
};
use cosmic_identity::key::SecretKey;
use cosmic_runtime::clock::{Clock, Hand};
use cosmic_space::{genesis::membership_channel, rights::Role, ticket::Ticket};
use rusqlite::{Connection, params};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::{
    core::{Context, Core, ingest::Run},
    database::Database,
    device::Device,
    documents::store::{Change, Place, Stored},
    error::Error,
    event::BACKLOG,
    spaces::{Invitation, Seeds},
    uplinks::Uplinks,
};

/// The collection tests write to.
pub(crate) const NOTES: &str = "notes";

/// A device with a database and no network.
pub(crate) struct TestDevice {
    pub(crate) database: Database<Core>,
    pub(crate) directory: TempDir,
    _hand: Hand,
}

impl TestDevice {
    /// A device whose key follows from `number`.
    pub(crate) fn new(number: u8) -> Self {
        Self::on(tempfile::tempdir().unwrap(), number, number)
    }

    /// The device `number` in its run `run`, on a data directory that may have a past.
    pub(crate) fn on(directory: TempDir, number: u8, run: u8) -> Self {
        let (events, _) = broadcast::channel(BACKLOG);
        let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(1_700_000_000_000));
        let device = Device::new(SecretKey::from_seed(&[number; 32]), Incarnation::from_bytes([run; 16]));
        let context = Arc::new(Context { device, clock, uplinks: Uplinks::default(), events });
        let core = Core::new(context).unwrap();
        let (database, _writer) = Database::open(&directory.path().join("node.db"), core).unwrap();
        Self { database, directory, _hand: hand }
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core, &Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.database.write(work).await
    }

    pub(crate) async fn create_space(&self) -> SpaceId {
        self.write(|core, connection| core.create_space(connection, "Test", &Seeds::random())).await.unwrap()
    }

    pub(crate) async fn invite(&self, space: SpaceId, role: Role) -> Ticket {
        self.write(move |core, connection| {
            let invitation = Invitation { role, expires: None, peers: Vec::new() };
            core.invite(connection, &space, invitation, &Seeds::random())
        })
        .await
        .unwrap()
    }

    pub(crate) async fn join(&self, ticket: Ticket) -> SpaceId {
        self.write(move |core, connection| core.join_space(connection, &ticket)).await.unwrap()
    }

    pub(crate) async fn change(
        &self,
        space: SpaceId,
        document: &'static str,
        change: Change,
    ) -> Result<Stored, Error> {
        self.write(move |core, connection| {
            let place = Place { space: &space, collection: NOTES, document };
            core.change_document(connection, place, &change, None)
        })
        .await
    }

    pub(crate) async fn put(&self, space: SpaceId, document: &'static str, value: Value) {
        self.change(space, document, Change::Put(value)).await.unwrap();
    }

    pub(crate) async fn seal(&self, space: SpaceId) {
        self.write(move |core, connection| core.seal_all(connection, &space)).await.unwrap();
    }

    pub(crate) async fn value(&self, space: SpaceId, document: &'static str) -> Option<Value> {
        self.database
            .read(move |connection| {
                let json: Result<Option<String>, _> = connection.query_row(
                    "SELECT json FROM documents WHERE space = ?1 AND collection = ?2 AND document = ?3",
                    params![space.as_bytes(), NOTES, document],
                    |row| row.get(0),
                );
                Ok::<_, Error>(json.ok().flatten().map(|json| serde_json::from_str(&json).unwrap()))
            })
            .await
            .unwrap()
    }

    /// Every log of the space with its entries; membership first.
    pub(crate) async fn runs(&self, space: SpaceId) -> Vec<Run> {
        self.database
            .read(move |connection| {
                let mut statement =
                    connection.prepare("SELECT log, channel FROM logs WHERE space = ?1 ORDER BY log")?;
                let logs: Vec<(Vec<u8>, Vec<u8>)> = statement
                    .query_map([space.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<_, _>>()?;
                let mut runs = Vec::new();
                for (log, channel) in logs {
                    let mut statement =
                        connection.prepare("SELECT bytes FROM entries WHERE log = ?1 ORDER BY seq")?;
                    let frames = statement
                        .query_map([&log], |row| row.get(0))?
                        .collect::<Result<Vec<Vec<u8>>, _>>()?;
                    runs.push(Run {
                        channel: channel.as_slice().try_into()?,
                        log: log.as_slice().try_into()?,
                        from: 0,
                        frames,
                    });
                }
                let membership = membership_channel(&space);
                runs.sort_by_key(|run| run.channel != membership);
                Ok::<_, Error>(runs)
            })
            .await
            .unwrap()
    }

    /// Takes in everything `other` has, until nothing is new.
    pub(crate) async fn pull(&self, space: SpaceId, other: &Self) -> usize {
        let mut total = 0;
        loop {
            let runs = other.runs(space).await;
            let stored = self
                .write(move |core, connection| Ok(core.ingest(connection, &space, &runs)?.stored))
                .await
                .unwrap();
            total += stored;
            if stored == 0 {
                return total;
            }
        }
    }

    /// Ends this run and begins another on the same data.
    pub(crate) fn restart(self, number: u8, run: u8) -> Self {
        let Self { database, directory, .. } = self;
        drop(database);
        Self::on(directory, number, run)
    }
}
