//! Objects: sealed chunks from devices, coded into shards at holders, and made whole again from any k of them.
//!
//! A gateway holds an object only while it codes or rebuilds it. A fixed number may be in flight; callers wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{
    Duty, ObjectCustody, Standing,
    message::{
        object::Whereabouts,
        refusal::{Refusal, RefusalCode},
    },
    receipt::Receipt,
};
use cosmic_erasure::{Codec, Coder, Manifest, coded_anew};
use cosmic_ring::Regions;
use cosmic_runtime::{clock::Clock, config::Mistakes, tasks::Group};
use futures::{StreamExt as _, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    cold::Cold,
    context::Context,
    holders::{Holders, Plan},
    shards::{self, Metrics, Shards},
};

mod get;
mod put;
mod restore;
mod serve;

pub(crate) use serve::serve;

/// Codecs whose matrices are kept: a network uses one, and has used a few.
const CODERS_MAX: usize = 8;
/// Things that go on after the answer was given: late shards, placement records, mending.
const AFTERWARDS_MAX: usize = 64;
/// How long holders may take to say what they keep, before the answer is given without them.
const WHICH_PATIENCE: Duration = Duration::from_secs(2);

/// The settings of the objects half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Objects in memory at once; each takes up to 9 MB. Devices wait for their turn.
    pub in_flight_max: usize,
    /// How long a holder may take to give a shard before another one is asked as well.
    pub hedge_after_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        // Eight keep two cores and a gigabit busy. A shard of 1.4 MB takes 12 ms at a gigabit; ten times that is slow.
        Self { in_flight_max: 8, hedge_after_ms: 150 }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if !(1..=1024).contains(&self.in_flight_max) {
            mistakes.refuse("in_flight_max", "must lie between 1 and 1024");
        }
    }
}

/// Why an object was not kept or given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes that came are not those that were named.
    #[error("the bytes are not object {}", object.short())]
    Hash {
        /// The object.
        object: ObjectId,
    },
    /// Nobody is in the ring.
    #[error("the ring has no members yet; try again when the supernode has joined its network")]
    NoRing,
    /// Nobody stands where the space may lie.
    #[error("no supernode stands where the space keeps its data: {regions}")]
    NoRegion {
        /// Where its data may lie.
        regions: Arc<Regions>,
    },
    /// Holders refused for want of room.
    #[error("the holders have no room for it: {0}")]
    Room(#[source] Refusal),
    /// Too few holders answered.
    #[error("only {got} of {needed} shards of object {} could be {what}", object.short())]
    TooFew {
        /// The object.
        object: ObjectId,
        /// What was tried.
        what: &'static str,
        /// Shards stored or found.
        got: usize,
        /// Shards needed at least.
        needed: usize,
    },
    /// No manifest of the object was found.
    #[error("object {} is not kept by any supernode that answers", object.short())]
    NotHere {
        /// The object.
        object: ObjectId,
    },
    /// The codec.
    #[error("object {} cannot be coded", object.short())]
    Coding {
        /// The object.
        object: ObjectId,
        /// What the coder says.
        source: cosmic_erasure::Error,
    },
    /// The own shard.
    #[error(transparent)]
    Shard(#[from] shards::Error),
    /// The process is ending.
    #[error("the supernode is stopping")]
    Stopping,
}

impl Error {
    /// The answer for the device.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Hash { .. } => RefusalCode::HashMismatch,
            Self::Room(_) => RefusalCode::QuotaExceeded,
            Self::NoRing | Self::NoRegion { .. } | Self::TooFew { .. } => RefusalCode::Unavailable,
            Self::NotHere { .. } => RefusalCode::NotHere,
            Self::Coding { .. } => RefusalCode::Malformed,
            Self::Shard(error) => return error.refusal(),
            Self::Stopping => RefusalCode::Stopping,
        };
        Refusal::new(code, cosmic_runtime::exit::sentence(self))
    }
}

/// Puts, gets and finds objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: Shards,
    clock: Clock,
    me: PeerId,
    hedge_after: Duration,
    in_flight: Semaphore,
    coders: Mutex<HashMap<Codec, Arc<Coder>>>,
    afterwards: Group,
}

impl Objects {
    /// Objects over the shards of the ring.
    #[must_use]
    pub fn new(context: &Arc<Context>, shards: Shards, config: &Config) -> Self {
        Self(Arc::new(Inner {
            shards,
            clock: context.clock.clone(),
            me: context.peer,
            hedge_after: Duration::from_millis(config.hedge_after_ms),
            in_flight: Semaphore::new(config.in_flight_max),
            coders: Mutex::default(),
            afterwards: context.tasks.group("objects afterwards", AFTERWARDS_MAX),
        }))
    }

    /// Waits for a place among the objects in flight.
    ///
    /// # Errors
    /// [`Error::Stopping`].
    pub async fn turn(&self) -> Result<Turn<'_>, Error> {
        let permit = self.0.in_flight.acquire().await.map_err(|_closed| Error::Stopping)?;
        let metrics = self.0.shards.metrics();
        metrics.objects_in_flight.inc();
        Ok(Turn { metrics, _permit: permit })
    }

    /// What the holders keep of `object` now: its manifest and fresh receipts, the manifest most of them agree on.
    /// Empty if nobody who answers keeps anything. After a change of the ring some of it is where it was before: all others
    /// are asked as well while the holders by the table do not make it safe.
    ///
    /// # Errors
    /// [`Error::NoRing`] or [`Error::NoRegion`].
    pub async fn whereabouts(&self, space: &SpaceId, object: ObjectId) -> Result<Whereabouts, Error> {
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let plan = self.plan(space, &object)?;
        let planned: Vec<PeerId> = plan.shards.iter().map(|shard| shard.holder).collect();
        let mut found = self.which(object, planned.clone()).await;
        // One that lies in two codings has some answer for the one and some for the other.
        if !found.manifest.is_empty() && !self.is_safe(&found) {
            let anew = self.which(coded_anew(&object, plan.codec), planned.clone()).await;
            if self.is_safe(&anew) {
                return Ok(anew);
            }
        }
        let others = holders.standing().members().filter(|peer| !planned.contains(peer));
        let others: Vec<PeerId> = others.copied().collect();
        if others.is_empty() || self.is_safe(&found) {
            return Ok(found);
        }
        let elsewhere = self.which(object, others).await;
        if found.manifest.is_empty() {
            return Ok(elsewhere);
        }
        if elsewhere.manifest == found.manifest {
            found.receipts.extend(elsewhere.receipts);
        }
        Ok(found)
    }

    /// Who shall keep the shards of `object` of `space`.
    fn plan(&self, space: &SpaceId, object: &ObjectId) -> Result<Plan, Error> {
        self.plan_in(space, object, None)
    }

    /// The same in this codec; in that of the ring if none is given.
    fn plan_in(&self, space: &SpaceId, object: &ObjectId, codec: Option<Codec>) -> Result<Plan, Error> {
        let shards = &self.0.shards;
        shards.plan_in(space, object, codec).ok_or_else(|| match shards.regions(space) {
            regions if regions.is_all() => Error::NoRing,
            regions => Error::NoRegion { regions },
        })
    }

    async fn which(&self, object: ObjectId, holders: Vec<PeerId>) -> Whereabouts {
        let shards = &self.0.shards;
        let mut asked: FuturesUnordered<_> =
            holders.into_iter().map(|holder| shards.which_of(holder, object)).collect();
        let mut by_manifest: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
        let listening = async {
            while let Some(answer) = asked.next().await {
                if let Ok(kept) = answer
                    && Manifest::from_bytes(&kept.manifest).is_ok_and(|manifest| is_meant(&manifest, &object))
                {
                    by_manifest.entry(kept.manifest).or_default().extend(kept.receipts);
                }
            }
        };
        if self.0.clock.timeout(WHICH_PATIENCE, listening).await.is_none() {
            tracing::debug!(object = %object.short(), "not every holder said what it keeps");
        }
        let most =
            by_manifest.into_iter().max_by_key(|(manifest, receipts)| (receipts.len(), manifest.clone()));
        most.map(|(manifest, receipts)| Whereabouts { manifest, receipts }).unwrap_or_default()
    }

    /// Where the bytes of old shards lie.
    pub(crate) fn cold(&self) -> &Cold {
        self.0.shards.keeper().cold()
    }

    /// The ring as it is known now.
    #[must_use]
    pub fn holders(&self) -> Arc<Holders> {
        Arc::clone(&self.0.shards.holders().borrow())
    }

    /// The replicas of a space, by this and by earlier tables.
    #[must_use]
    pub fn duty(&self, space: &SpaceId) -> Duty {
        let shards = &self.0.shards;
        shards.holders().borrow().duty(space, &shards.regions(space))
    }

    /// Whether the receipts show the object as safe as its class makes it.
    #[must_use]
    pub fn is_safe(&self, whereabouts: &Whereabouts) -> bool {
        let Ok(manifest) = Manifest::from_bytes(&whereabouts.manifest) else { return false };
        let mut standing = self.0.shards.holders().borrow().standing().clone();
        let mut custody = ObjectCustody::new(&manifest);
        for receipt in &whereabouts.receipts {
            count(receipt, &mut custody, &mut standing);
        }
        let verdict = custody.verdict(&standing);
        verdict.shards.len() >= verdict.wanted
    }

    /// Whether every place among the objects in flight is taken, so that devices wait.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.0.in_flight.available_permits() == 0
    }

    pub(crate) fn coder(&self, object: ObjectId, codec: Codec) -> Result<Arc<Coder>, Error> {
        let mut coders = self.0.coders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(coder) = coders.get(&codec) {
            return Ok(Arc::clone(coder));
        }
        let coder = Arc::new(Coder::new(codec).map_err(|source| Error::Coding { object, source })?);
        if coders.len() >= CODERS_MAX {
            coders.clear();
        }
        coders.insert(codec, Arc::clone(&coder));
        Ok(coder)
    }
}

/// A place among the objects in flight.
#[derive(Debug)]
pub struct Turn<'a> {
    metrics: &'a Metrics,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.metrics.objects_in_flight.dec();
    }
}

/// Whether a manifest is that of `object`: of this very coding, or of any if it is the object's id.
fn is_meant(manifest: &Manifest, object: &ObjectId) -> bool {
    manifest.object() == *object || manifest.coding() == *object
}

/// Counts a signed receipt, if it is one and speaks of this object.
fn count(bytes: &[u8], custody: &mut ObjectCustody, standing: &mut Standing) -> bool {
    let counted = Receipt::open(bytes).and_then(|receipt| custody.hear(&receipt, standing));
    if let Err(error) = &counted {
        tracing::warn!(%error, "a receipt for a shard does not count");
    }
    counted.is_ok()
}
