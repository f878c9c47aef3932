//! What every part of a supernode is given: its hands, its identity, its limits, and the sessions that are open.

use std::{fmt, sync::Arc, time::Duration};

use cosmic_common::id::{Hash, Incarnation, LogId, OperatorId, PeerId, SpaceId};
use cosmic_custody::{Held, Promise, Quota, Receipt};
use cosmic_erasure::Codec;
use cosmic_identity::key::SecretKey;
use cosmic_net::Handle;
use cosmic_ring::Class;
use cosmic_runtime::{clock::Clock, health::Health, tasks::Tasks};
use cosmic_store::Store;
use tokio::sync::watch;

use crate::{
    accounts::{self, Accounts},
    deletion,
    duty::RingView,
    metrics::Metrics,
    residences::Residences,
    scrub::Suspects,
    session::Sessions,
};

/// The hands and facts of one supernode. Shared as `Arc<Context>`.
pub struct Context {
    /// The tables ([`crate::tables`]).
    pub store: Store,
    /// The network.
    pub net: Handle,
    /// The clock.
    pub clock: Clock,
    /// Who waits for background work.
    pub tasks: Tasks,
    /// The key this supernode signs receipts with; its public half is [`Context::peer`].
    pub key: SecretKey,
    /// The peer this supernode is.
    pub peer: PeerId,
    /// The life of the data in [`Context::store`].
    pub incarnation: Incarnation,
    /// Configuration, members and table of the network, as last heard.
    pub ring: watch::Receiver<Arc<RingView>>,
    /// Where the data of spaces may lie.
    pub residences: Residences,
    /// What is kept of each space, and on whose account.
    pub accounts: Accounts,
    /// What is counted.
    pub metrics: Metrics,
    /// Where a part says that it cannot keep its promises.
    pub health: Health,
    /// What this supernode lets others do.
    pub limits: Limits,
    /// Sessions of devices, by their number.
    pub sessions: Sessions,
    /// Where a read that met damage says so.
    pub suspects: Suspects,
}

/// What this supernode lets others do. Part of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Spaces held in memory at once; the least recently used rest on disk.
    pub spaces_max: usize,
    /// Sessions of devices open at once.
    pub sessions_max: usize,
    /// What a space may keep here unless something else was set for it.
    pub quota: Quota,
    /// How long an object that nobody has claimed yet is kept.
    pub lease: Duration,
    /// How long an object stays that nobody claims any more.
    pub removal_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // A space in memory takes some 20 KB, a quiet session about as much: 200 MB for all of them.
        let deletion = deletion::Config::default();
        Self {
            spaces_max: 4096,
            sessions_max: 4096,
            quota: Quota::default(),
            lease: deletion.lease(),
            removal_delay: deletion.delay(),
        }
    }
}

impl Context {
    /// The network as it is known now.
    #[must_use]
    pub fn ring_view(&self) -> Arc<RingView> {
        Arc::clone(&self.ring.borrow())
    }

    /// The classes an object may lie in: those that the network has, and has had.
    #[must_use]
    pub fn codecs(&self) -> Vec<Codec> {
        let classes = Class::all(&self.ring_view().members.config().classes);
        classes.into_iter().filter_map(|class| Codec::new(class.k, class.n).ok()).collect()
    }

    /// Who sponsors `space`, or will if these are its first bytes: `peer` brings them, who may have `named` an operator.
    #[must_use]
    pub fn sponsor(&self, space: &SpaceId, peer: &PeerId, named: Option<OperatorId>) -> Option<OperatorId> {
        let known = self.accounts.sponsor(space);
        known.or_else(|| accounts::bringer(&self.ring_view().members, peer, named))
    }

    /// On whose account this supernode has others keep `space`.
    #[must_use]
    pub fn own_sponsor(&self, space: &SpaceId) -> Option<OperatorId> {
        self.sponsor(space, &self.peer, None)
    }

    /// A signed receipt for something that is durable now.
    #[must_use]
    pub fn receipt(&self, held: Held, promise: Promise, ring: Hash) -> Vec<u8> {
        let receipt = Receipt {
            held,
            promise,
            holder: self.peer,
            incarnation: self.incarnation,
            ring,
            time: self.clock.now(),
        };
        cosmic_common::record::Record::to_bytes(&cosmic_identity::signed::Signed::sign(receipt, &self.key))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("peer", &self.peer)
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}

/// The space and log a receipt is about, if it is about a log and its holder signed it.
pub(crate) fn log_of_receipt(bytes: &[u8]) -> Option<(SpaceId, LogId, Receipt)> {
    let receipt = Receipt::open(bytes).ok()?;
    match receipt.held {
        Held::Log { space, log, .. } => Some((space, log, receipt)),
        Held::Shard { .. } | Held::Object { .. } => None,
    }
}
