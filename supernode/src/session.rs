//! Sessions of devices: what each may do, by the number that stands for it on other streams.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use cosmic_common::id::PeerId;
use cosmic_custody::message::space::SessionId;
use cosmic_runtime::random;
use cosmic_space::session::Session;

type Open = HashMap<(PeerId, SessionId), Arc<Session>>;

/// The sessions that are open. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sessions(Arc<RwLock<Open>>);

/// Keeps a session in the registry; dropping it closes the session for every stream that leans on it.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Sessions,
    key: (PeerId, SessionId),
}

impl Sessions {
    /// Registers what the proof of `peer` allows, under a new random number.
    #[must_use]
    pub fn open(&self, peer: PeerId, session: Session) -> SessionGuard {
        let key = (peer, SessionId(random::bytes()));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::new(session));
        SessionGuard { sessions: self.clone(), key }
    }

    /// The session that `peer` opened under this number: space, key, rights, channels and caveats.
    /// Expiry is the caller's to check against his clock.
    #[must_use]
    pub fn find(&self, peer: PeerId, id: SessionId) -> Option<Arc<Session>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&(peer, id)).cloned()
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SessionGuard {
    /// The number of the session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.key.1
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.len()).finish()
    }
}
