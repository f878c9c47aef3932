//! What the network says of itself: every supernode tells the aggregators of its region how it is, they merge what they are told,
//! and regions are exchanged. The rules are those of `cosmic_summary`; here they get their hands.
//!
//! ```text
//! tell ── own word, every 30 s ──▶ aggregators of the region: Reports
//!                                        │ merge, every 2 min
//!                                  own region ──▶ Collection ◀── other regions, every 10 min, or when somebody asks
//!                                                     └── World ──▶ `status --network`, metrics
//! ```

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{id::PeerId, protocol::Protocol};
use cosmic_ring::Label;
use cosmic_runtime::clock::Monotonic;
use cosmic_summary::{
    Collection, LatencySketch, Reports, Rhythm, Why, aggregators, hour, message::PROTOCOL,
    reports::duty_hours,
};

use crate::{care::Care, context::Context, duty::RingView, retire::Leaving};

mod ask;
mod config;
mod gather;
mod merging;
mod metrics;
mod own;
mod serve;
mod status;

pub use config::Config;
pub use metrics::Metrics;
use own::Counted;

/// `/cosmic/summary/1`.
pub const SUMMARY: Protocol = Protocol::new(PROTOCOL);
/// Members that are asked or told at once.
const AT_ONCE: usize = 16;
/// Sketches of latency that are remembered, one for each word: five minutes at the usual pace.
const WAITS_MAX: usize = 10;

/// Why something could not be asked or told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network.
    #[error("the supernode cannot be asked")]
    Net(#[from] cosmic_net::Error),
    /// The other one said no.
    #[error("{} refused a summary: {}", peer.short(), why.sentence())]
    Refused {
        /// Who.
        peer: PeerId,
        /// Why.
        why: Why,
    },
    /// The other one said something else than it should.
    #[error("{} broke the protocol of summaries: {what}", peer.short())]
    Protocol {
        /// Who.
        peer: PeerId,
        /// What it did.
        what: &'static str,
    },
}

/// Summaries of this supernode, its region and the world. Cheap to clone.
#[derive(Clone)]
pub struct Summaries(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    care: Care,
    leaving: Leaving,
    rhythm: Rhythm,
    /// Who was heard so lately is there.
    heard_within: Duration,
    reports: Mutex<Reports>,
    collection: Mutex<Collection>,
    counted: Mutex<Counted>,
    waits: Mutex<VecDeque<LatencySketch>>,
    /// Held by whoever asks others on somebody's behalf, so that many who want to know ask once.
    asking: tokio::sync::Mutex<Option<Monotonic>>,
    metrics: Metrics,
}

impl fmt::Debug for Summaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summaries").field("peer", &self.0.context.peer).finish_non_exhaustive()
    }
}

impl Summaries {
    /// Begins to tell, to merge, and to answer others.
    ///
    /// # Errors
    /// [`cosmic_net::Error::NotServed`] if somebody else serves the protocol.
    pub fn start(
        context: &Arc<Context>,
        (care, leaving): (Care, Leaving),
        config: &Config,
        metrics: Metrics,
    ) -> Result<Self, cosmic_net::Error> {
        let rhythm = config.rhythm();
        let summaries = Self(Arc::new(Inner {
            context: Arc::clone(context),
            // Everybody is asked whether it is there at the pace of care; one answer may be lost.
            heard_within: rhythm.report_age() + care.ping_every() * 2,
            care,
            leaving,
            rhythm,
            reports: Mutex::default(),
            collection: Mutex::default(),
            counted: Mutex::default(),
            waits: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            metrics,
        }));
        serve::serve(&summaries)?;
        let tasks = &context.tasks;
        let telling = summaries.clone();
        tasks.spawn("summary", |stop| async move {
            stop.unless(telling.tell()).await;
        });
        let merging = summaries.clone();
        tasks.spawn("summaries of the region", |stop| async move {
            stop.unless(merging.merge()).await;
        });
        let watching = summaries.clone();
        tasks.spawn("summaries of the world", |stop| async move {
            stop.unless(watching.watch()).await;
        });
        Ok(summaries)
    }

    fn region(&self, view: &RingView) -> Option<Label> {
        view.atlas.region_of(&self.0.context.peer).cloned()
    }

    /// Those who merge `region` now, without this supernode.
    fn aggregators(&self, view: &RingView, region: &Label) -> Vec<PeerId> {
        let mut peers = aggregators(&view.members, region, hour(self.0.context.clock.now()));
        peers.retain(|peer| *peer != self.0.context.peer);
        peers
    }

    /// Those who are told of this supernode: who merges its region now, and around the turn of the hour who is next.
    fn told(&self, view: &RingView, region: &Label) -> BTreeSet<PeerId> {
        let hours = duty_hours(self.0.context.clock.now(), &self.0.rhythm);
        hours.into_iter().flat_map(|hour| aggregators(&view.members, region, hour)).collect()
    }

    /// Whether this supernode merges `region` now.
    fn merges(&self, view: &RingView, region: &Label) -> bool {
        aggregators(&view.members, region, hour(self.0.context.clock.now())).contains(&self.0.context.peer)
    }

    fn reports(&self) -> MutexGuard<'_, Reports> {
        lock(&self.0.reports)
    }

    fn collection(&self) -> MutexGuard<'_, Collection> {
        lock(&self.0.collection)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
