//! A running node, as its rooms share it: database, caches, network, and what is known of its sessions.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cosmic_common::{
    address::Address,
    id::{PeerId, SpaceId},
};
use cosmic_custody::{Standing, message::space::SessionId};
use cosmic_net::Handle;
use cosmic_ring::{Atlas, Regions};
use cosmic_runtime::clock::Clock;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use crate::{
    core::{Context, Core},
    database::Database,
    error::Error,
    event::Event,
    files::cache::Cache,
    metrics::Metrics,
    network::{gateways::Gateways, meeting::Meetings},
    safety::Safety,
};

/// The rooms of a running node. Cheap to clone.
#[derive(Clone)]
pub struct Node(Arc<Rooms>);

/// What a node is made of.
#[derive(Debug)]
pub struct Rooms {
    /// The database with its single writer.
    pub database: Database<Core>,
    /// What the writer shares.
    pub context: Arc<Context>,
    /// How safe everything is.
    pub safety: Safety,
    /// Sealed chunks on disk.
    pub cache: Cache,
    /// The network.
    pub net: Handle,
    /// Supernodes that can be gateways.
    pub gateways: Gateways,
    /// Other devices of the spaces.
    pub meetings: Meetings,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether the person wants to be online.
    pub online: watch::Sender<bool>,
    /// Sessions with gateways.
    pub sessions: Sessions,
}

impl std::ops::Deref for Node {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("peer", &self.context.device.peer()).finish_non_exhaustive()
    }
}

impl From<Rooms> for Node {
    fn from(rooms: Rooms) -> Self {
        Self(Arc::new(rooms))
    }
}

impl Node {
    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.context.clock
    }

    /// Runs `work` on the writer; see [`Database::write`].
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core, &Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.database.write(work).await
    }

    /// Runs `work` on a reader; see [`Database::read`].
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.database.read(work).await
    }

    /// Counts everything that was signed by these members, and lets those know who wait until something is safe.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub async fn count_in_ring(&self, standing: Standing, atlas: Arc<Atlas>) -> Result<(), Error> {
        self.safety.set_ring(standing, atlas);
        let node = self.clone();
        self.read(move |connection| node.safety.load(connection)).await?;
        // Nobody waits where nobody listens.
        let _listeners = self.context.events.send(Event::Ring);
        Ok(())
    }

    /// Where the data of a space may lie.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub async fn regions(&self, space: SpaceId) -> Result<Arc<Regions>, Error> {
        if let Some(regions) = self.safety.known_regions(&space) {
            return Ok(regions);
        }
        let node = self.clone();
        self.read(move |connection| node.safety.regions(connection, &space)).await
    }

    /// The space whose id begins with `prefix`.
    ///
    /// # Errors
    /// [`Error::NoSpace`] or [`Error::AmbiguousSpace`].
    pub async fn find_space(&self, prefix: &str) -> Result<SpaceId, Error> {
        if let Ok(space) = prefix.parse::<SpaceId>() {
            return Ok(space);
        }
        let prefix = prefix.to_owned();
        self.read(move |connection| {
            let matching: Vec<SpaceId> = space_ids(connection)?
                .into_iter()
                .filter(|space| !prefix.is_empty() && space.to_string().starts_with(&prefix))
                .collect();
            match matching.as_slice() {
                [space] => Ok(*space),
                [] => Err(Error::NoSpace { space: prefix }),
                many => Err(Error::AmbiguousSpace { prefix, count: many.len() }),
            }
        })
        .await
    }
}

/// The ids of all spaces of this device.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn space_ids(connection: &Connection) -> Result<Vec<SpaceId>, Error> {
    let mut statement = connection.prepare_cached("SELECT space FROM spaces ORDER BY created_ms, space")?;
    let mut rows = statement.query([])?;
    let mut spaces = Vec::new();
    while let Some(row) = rows.next()? {
        spaces.push(SpaceId::try_from(row.get_ref(0)?.as_blob()?)?);
    }
    Ok(spaces)
}

/// The peers a space was said to be found at, with their addresses.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn space_peers(
    connection: &Connection,
    space: &SpaceId,
) -> Result<BTreeMap<PeerId, Vec<Address>>, Error> {
    let text: String = connection.query_row(
        "SELECT peers FROM spaces WHERE space = ?1",
        params![space.as_bytes()],
        |row| row.get(0),
    )?;
    let peers: BTreeMap<String, Vec<Address>> = serde_json::from_str(&text).unwrap_or_default();
    Ok(peers.into_iter().filter_map(|(peer, addresses)| Some((peer.parse().ok()?, addresses))).collect())
}

/// A session with a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewaySession {
    /// The gateway.
    pub gateway: PeerId,
    /// Stands for the proof on object streams.
    pub session: SessionId,
    /// Whose heads the gateway speaks for.
    pub source: PeerId,
    /// Whether roots were found equal in this session.
    pub in_sync: bool,
}

/// The sessions that stand: one with a gateway for each space, watched by uploads and by the status page, and those
/// with other devices.
#[derive(Debug)]
pub struct Sessions {
    by_space: Mutex<BTreeMap<SpaceId, GatewaySession>>,
    devices: Mutex<BTreeMap<(PeerId, SessionId), SpaceId>>,
    changed: watch::Sender<u64>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { by_space: Mutex::default(), devices: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SpaceId, GatewaySession>> {
        self.by_space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of `space`, if there is one.
    #[must_use]
    pub fn get(&self, space: &SpaceId) -> Option<GatewaySession> {
        self.lock().get(space).copied()
    }

    /// A session has begun, changed, or ended.
    pub fn set(&self, space: &SpaceId, session: Option<GatewaySession>) {
        let before = match session {
            Some(session) => self.lock().insert(*space, session),
            None => self.lock().remove(space),
        };
        if before != session {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn lock_devices(&self) -> MutexGuard<'_, BTreeMap<(PeerId, SessionId), SpaceId>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session on `space` with another device has begun.
    pub fn met(&self, space: SpaceId, device: PeerId, session: SessionId) {
        self.lock_devices().insert((device, session), space);
    }

    /// A session with another device has ended.
    pub fn parted(&self, device: PeerId, session: SessionId) {
        self.lock_devices().remove(&(device, session));
    }

    /// The devices that hold a session on `space` now.
    #[must_use]
    pub fn devices(&self, space: &SpaceId) -> Vec<(PeerId, SessionId)> {
        let devices = self.lock_devices();
        devices.iter().filter(|(_, on)| *on == space).map(|(device, _)| *device).collect()
    }

    /// The space that `device` has opened, or has been opened at, by this session.
    #[must_use]
    pub fn space_of(&self, device: PeerId, session: SessionId) -> Option<SpaceId> {
        self.lock_devices().get(&(device, session)).copied()
    }

    /// Told whenever a session with a gateway begins or ends.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
