//! Audits: other holders prove that they have what they signed for. The rules are those of `cosmic_custody::audit`; here they
//! get their hands.
//!
//! ```text
//! rounds ── whose turn? ── Survey, Which, Challenge ──▶ question ── proof ──▶ Docket ◀── findings ── Report, repairs
//!                                                                               │ counts as lost
//!                                                     evidence: table, to all ◀─┴─▶ survey and repair (`crate::care`)
//! ```

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::id::{ObjectId, OperatorId, PeerId};
use cosmic_custody::{Docket, HeldCopy, Suspect};
use cosmic_runtime::tasks::Group;
use tokio::sync::Semaphore;

use crate::{context::Context, shards::Shards};

mod evidence;
mod metrics;
mod prove;
mod question;
mod rounds;
mod status;

pub use metrics::Metrics;

/// Proofs made at once: each reads a shard of up to 4 MiB and hashes it.
const PROOFS_MAX: usize = 4;
/// Reports under way at once; more findings than that in a moment are told by others, or by the next audit.
const REPORTS_MAX: usize = 64;

/// What this supernode knows of the honesty and health of other holders. Cheap to clone.
#[derive(Clone)]
pub struct Audits(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    shards: Shards,
    every: Duration,
    docket: Mutex<Docket>,
    /// Shards that others complained about and of whose objects this supernode has a part.
    hints: Mutex<BTreeSet<Suspect>>,
    /// Objects that lost a shard and are not looked at yet.
    lost: Mutex<BTreeSet<ObjectId>>,
    proving: Semaphore,
    reports: Group,
    metrics: Metrics,
}

impl fmt::Debug for Audits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audits").field("peer", &self.0.context.peer).finish_non_exhaustive()
    }
}

impl Audits {
    /// Audits of everybody once in `every`, by one of all the others.
    #[must_use]
    pub fn new(context: &Arc<Context>, shards: Shards, every: Duration, metrics: Metrics) -> Self {
        let nobody = OperatorId::from_bytes([0; 32]);
        Self(Arc::new(Inner {
            context: Arc::clone(context),
            shards,
            every,
            docket: Mutex::new(Docket::new(nobody).with_pause(every)),
            hints: Mutex::default(),
            lost: Mutex::default(),
            proving: Semaphore::new(PROOFS_MAX),
            reports: context.tasks.group("reports", REPORTS_MAX),
            metrics,
        }))
    }

    /// Whether a holder may get new shards.
    #[must_use]
    pub fn is_trusted(&self, holder: &PeerId) -> bool {
        self.docket().repute(holder).is_trusted(self.0.context.clock.now())
    }

    /// Whether there are findings enough that this holder lost this shard, though it may say that it has it.
    #[must_use]
    pub fn is_found_lost(&self, suspect: &Suspect) -> bool {
        self.docket().is_found_lost(suspect)
    }

    /// Leaves of `copies`, all of one object, those that do not count as lost.
    pub(crate) fn believe(&self, object: ObjectId, copies: &mut Vec<HeldCopy>) {
        let (docket, now) = (self.docket(), self.0.context.clock.now());
        let suspect = |copy: &HeldCopy| Suspect { holder: copy.holder, object, index: copy.index };
        copies.retain(|copy| copy.holder == self.0.context.peer || !docket.is_lost(&suspect(copy), now));
    }

    /// Those of `copies`, all of one object, that there are findings enough about: they are asked once more before anybody
    /// acts, because another may have given them again.
    pub(crate) fn found_lost(&self, object: ObjectId, copies: &[HeldCopy]) -> Vec<Suspect> {
        let docket = self.docket();
        let suspects = copies.iter().map(|copy| Suspect { holder: copy.holder, object, index: copy.index });
        suspects.filter(|suspect| docket.is_found_lost(suspect)).collect()
    }

    /// The findings.
    pub(crate) fn docket(&self) -> MutexGuard<'_, Docket> {
        lock(&self.0.docket)
    }

    /// Who runs a member of the ring.
    fn operator(&self, peer: &PeerId) -> Option<OperatorId> {
        self.0.context.ring_view().members.get(peer).map(|member| member.operator)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
