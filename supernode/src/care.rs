//! Care for what is kept: who is there, which objects are in danger, and their repair. The rules are those of
//! `cosmic_custody`; here they get their hands.
//!
//! ```text
//! watch ── who answers ──▶ Liveness ─┐
//! walk ── what lies here ── survey ──┴─▶ Queue ── turn, lease, budget ──▶ mend ── Which, Get, Put ──▶ placement record
//! handoff ── what is kept for others ── is he heard? ── Put ──▶ his receipt ──▶ freed here
//! ```

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{
    id::{ObjectId, PeerId},
    protocol::Protocol,
    time::Timestamp,
};
use cosmic_custody::{Leases, Liveness, Queue, Recoding, message::care::PROTOCOL, message::refusal::Refusal};
use cosmic_ring::State;
use cosmic_runtime::tasks::Group;
use tokio::sync::Notify;

use crate::{
    audit::Audits,
    context::Context,
    deletion::Deletion,
    objects::Objects,
    shards::{self, Shards},
};

mod ask;
mod census;
mod codings;
mod config;
mod handoff;
mod mend;
mod metrics;
mod recode;
mod repair;
mod serve;
mod status;
mod survey;
mod walk;
mod watch;

use census::Census;

pub(crate) use ask::{ask_peer, unexpected};
pub(crate) use codings::Answers;
pub use config::Config;
pub use metrics::Metrics;
pub use repair::Throttle;

/// `/cosmic/care/1`.
pub const CARE: Protocol = Protocol::new(PROTOCOL);
/// Repairs, and questions about leases, at once; the queue itself lets far fewer repairs run.
const WORK_MAX: usize = 256;
/// Members that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Why care could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network.
    #[error("the supernode cannot be asked")]
    Net(#[from] cosmic_net::Error),
    /// The other one said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The other one said something else than it should.
    #[error("{} broke the protocol of care: {what}", peer.short())]
    Protocol {
        /// Who.
        peer: PeerId,
        /// What it did.
        what: &'static str,
    },
    /// A shard.
    #[error(transparent)]
    Shard(#[from] shards::Error),
    /// The own store.
    #[error("what is kept here cannot be read")]
    Store(#[from] cosmic_store::Error),
    /// The process is ending.
    #[error("the supernode is stopping")]
    Stopping,
}

/// Looks after what this supernode keeps. Cheap to clone.
#[derive(Clone)]
pub struct Care(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    shards: Shards,
    objects: Objects,
    audits: Audits,
    deletion: Deletion,
    config: Config,
    liveness: Mutex<Liveness>,
    queue: Mutex<Queue>,
    leases: Mutex<Leases>,
    /// Since when the ring that this supernode stands in has the class it has.
    recoding: Mutex<Recoding>,
    census: Mutex<Census>,
    /// Told whenever somebody is heard: what is kept for him can go home.
    arrivals: Notify,
    throttle: Mutex<Throttle>,
    metrics: Metrics,
    work: Group,
}

impl fmt::Debug for Care {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Care").field("peer", &self.0.context.peer).finish_non_exhaustive()
    }
}

impl Care {
    /// Begins to take care, and to answer others who do.
    ///
    /// # Errors
    /// [`cosmic_net::Error::NotServed`] if somebody else serves the protocol.
    pub fn start(
        context: &Arc<Context>,
        shards: Shards,
        objects: Objects,
        (audits, deletion): (Audits, Deletion),
        config: &Config,
        metrics: Metrics,
    ) -> Result<Self, cosmic_net::Error> {
        let now = context.clock.now();
        let throttle = Throttle::of(config);
        let class = shards.holders().borrow().atlas().ring_of(&context.peer).class();
        let care = Self(Arc::new(Inner {
            context: Arc::clone(context),
            shards,
            objects,
            audits,
            deletion,
            liveness: Mutex::new(Liveness::new(config.patience())),
            queue: Mutex::new(Queue::new(context.peer, config.settings(), now)),
            leases: Mutex::default(),
            census: Mutex::default(),
            recoding: Mutex::new(codings::remembered(&context.store, class, now)),
            arrivals: Notify::new(),
            throttle: Mutex::new(throttle),
            config: config.clone(),
            metrics,
            work: context.tasks.group("care", WORK_MAX),
        }));
        care.learn_members();
        serve::serve(&care)?;
        let tasks = &context.tasks;
        let watching = care.clone();
        tasks.spawn("watch", |shutdown| async move {
            shutdown.unless(watching.watch()).await;
        });
        let walking = care.clone();
        tasks.spawn("walk", |shutdown| async move {
            shutdown.unless(walking.walk()).await;
        });
        let handing = care.clone();
        tasks.spawn("hand-off", |shutdown| async move {
            shutdown.unless(handing.hand_off()).await;
        });
        let auditing = care.clone();
        tasks.spawn("audit", |shutdown| async move {
            shutdown.unless(auditing.0.audits.clone().run(auditing)).await;
        });
        let driving = care.clone();
        tasks.spawn("repair", |shutdown| async move {
            shutdown.unless(driving.drive()).await;
        });
        Ok(care)
    }

    /// What is removed.
    #[must_use]
    pub fn deletion(&self) -> &Deletion {
        &self.0.deletion
    }

    /// How objects are read.
    pub(crate) fn objects(&self) -> &Objects {
        &self.0.objects
    }

    /// What is known of the honesty of others.
    #[must_use]
    pub fn audits(&self) -> &Audits {
        &self.0.audits
    }

    /// How often everybody is asked whether it is there.
    pub(crate) fn ping_every(&self) -> Duration {
        self.0.config.ping_every()
    }

    fn now(&self) -> Timestamp {
        self.0.context.clock.now()
    }

    fn me(&self) -> PeerId {
        self.0.context.peer
    }

    /// Who is there; this supernode itself always is.
    fn liveness(&self) -> MutexGuard<'_, Liveness> {
        let mut liveness = lock(&self.0.liveness);
        liveness.heard(&self.me(), self.now());
        liveness
    }

    /// Somebody said something that only he can.
    fn heard(&self, peer: &PeerId) {
        lock(&self.0.liveness).heard(peer, self.now());
        self.0.arrivals.notify_one();
    }

    /// Who is there, as it is known now.
    #[must_use]
    pub fn present(&self) -> Liveness {
        self.liveness().clone()
    }

    /// Takes over who is a member now.
    fn learn_members(&self) {
        let view = self.0.context.ring_view();
        let (mut active, mut retired) = (Vec::new(), Vec::new());
        for record in view.members.records() {
            let member = record.unverified();
            match member.state {
                State::Active => active.push(member.peer),
                State::Retired => retired.push(member.peer),
                State::Lost => {}
            }
        }
        lock(&self.0.liveness).members(active, retired, self.now());
    }

    /// The active members, and the retired ones that were heard lately, without this one: who retired long ago is gone.
    fn others(&self) -> Vec<PeerId> {
        let (me, now) = (self.me(), self.now());
        let liveness = lock(&self.0.liveness);
        let active: BTreeSet<&PeerId> = liveness.active().collect();
        let others = liveness.known().filter(|peer| **peer != me);
        others.filter(|peer| active.contains(peer) || !liveness.is_offline(peer, now)).copied().collect()
    }

    /// Those of them that are not offline: whoever retired has what it had, until it has passed it on.
    pub(crate) fn keepers_heard(&self) -> Vec<PeerId> {
        let now = self.now();
        let mut others = self.others();
        let liveness = lock(&self.0.liveness);
        others.retain(|peer| !liveness.is_offline(peer, now));
        others
    }

    /// The active members that are not offline, without this one.
    pub(crate) fn others_heard(&self) -> Vec<PeerId> {
        let (me, now) = (self.me(), self.now());
        let liveness = lock(&self.0.liveness);
        liveness.active().filter(|peer| **peer != me && !liveness.is_offline(peer, now)).copied().collect()
    }

    /// Those who keep the placement record of `object`, of which something is kept here: who has none cannot know where it
    /// belongs. Whatever its coding is called: all belong to one partition.
    fn keepers(&self, object: &ObjectId) -> Vec<PeerId> {
        let Ok(Some(space)) = self.0.shards.keeper().space_of(object) else { return Vec::new() };
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let table = self.0.shards.table(&holders, &space);
        table.replicas(table.partition_of(object.as_bytes())).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
