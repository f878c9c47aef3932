//! Sessions of devices: what each may do, by the number that stands for it on other streams.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use cosmic_common::id::PeerId;
use cosmic_custody::message::space::SessionId;
use cosmic_runtime::random;
use cosmic_space::session::Session;
use tokio::sync::{Notify, watch};

type Open = HashMap<(PeerId, SessionId), Entry>;

#[derive(Clone)]
struct Entry {
    session: Arc<Session>,
    /// Told when its device is to go elsewhere.
    away: Arc<Notify>,
}

/// The sessions that are open. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sessions {
    open: Arc<RwLock<Open>>,
    door: Arc<watch::Sender<Door>>,
}

/// Who may open sessions, and keep them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    #[default]
    Open,
    /// No new ones are opened, and those that are open end one after the other within this time.
    Closing {
        /// From when it began.
        within: Duration,
    },
    /// No new ones are opened, and all end now.
    Closed,
}

/// Keeps a session in the registry; dropping it closes the session for every stream that leans on it.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Sessions,
    key: (PeerId, SessionId),
    away: Arc<Notify>,
}

impl Sessions {
    /// Registers what the proof of `peer` allows, under a new random number.
    #[must_use]
    pub fn open(&self, peer: PeerId, session: Session) -> SessionGuard {
        let key = (peer, SessionId(random::bytes()));
        let entry = Entry { session: Arc::new(session), away: Arc::default() };
        let away = Arc::clone(&entry.away);
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        SessionGuard { sessions: self.clone(), key, away }
    }

    /// The session that `peer` opened under this number: space, key, rights, channels and caveats.
    /// Expiry is the caller's to check against his clock.
    #[must_use]
    pub fn find(&self, peer: PeerId, id: SessionId) -> Option<Arc<Session>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&(peer, id)).map(|entry| Arc::clone(&entry.session))
    }

    /// Lets devices in, or sends them elsewhere.
    pub fn set_door(&self, door: Door) {
        self.door.send_if_modified(|known| std::mem::replace(known, door) != door);
    }

    /// Has so many sessions end, whichever they are, so that their devices go elsewhere.
    pub fn send_away(&self, count: usize) {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().take(count).for_each(|entry| entry.away.notify_one());
    }

    /// Who may open sessions, as it changes.
    #[must_use]
    pub fn door(&self) -> watch::Receiver<Door> {
        self.door.subscribe()
    }

    /// The devices that have any open.
    #[must_use]
    pub fn devices(&self) -> BTreeSet<PeerId> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .map(|(peer, _session)| *peer)
            .collect()
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SessionGuard {
    /// Waits until the device of the session is to go elsewhere.
    pub async fn sent_away(&self) {
        self.away.notified().await;
    }

    /// The number of the session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.key.1
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.open.write().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.len()).finish()
    }
}
