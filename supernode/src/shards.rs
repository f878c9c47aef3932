//! Shards: kept here, served to other supernodes, and asked of them.
//!
//! ```text
//! Shards ── ask ──▶ is it me? ──▶ Keeper ── one durable batch ──▶ tables
//!                  └──────────▶ Pool ── /cosmic/shard/1 ──▶ Server of another supernode ──▶ its Keeper
//! ```

use std::{
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{
    Placement,
    message::{
        bulk::BulkLength,
        refusal::{Refusal, RefusalCode},
        shard::{Indices, ShardAnswer, ShardRequest},
    },
};
use cosmic_erasure::{Codec, Manifest};
use cosmic_ring::{Regions, Table};

use crate::{
    cold::{self, Cold},
    context::Context,
    holders::{Holders, Latest, Plan},
    quota::Quotas,
    residences::{Elsewhere, Residences},
};

pub(crate) mod cooling;
mod keeper;
mod metrics;
mod pool;
mod serve;

pub(crate) use keeper::delete_row;
pub use keeper::{Keeper, Offer};
pub use metrics::Metrics;
pub use pool::Pool;
pub(crate) use serve::serve;

/// How long a holder may take to answer, the bytes and its disk included, before it counts as away.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Why a shard was not kept, found or given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network.
    #[error("the holder cannot be asked")]
    Net(#[from] cosmic_net::Error),
    /// The holder said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The holder said something else than it should.
    #[error("{} broke the protocol of shards: {what}", holder.short())]
    Protocol {
        /// Who.
        holder: PeerId,
        /// What it did.
        what: &'static str,
    },
    /// The own store.
    #[error("the shard cannot be stored or read here")]
    Store(#[from] cosmic_store::Error),
    /// The space keeps its data in other regions.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// The space has no room here.
    #[error(transparent)]
    Quota(#[from] crate::quota::Error),
    /// Bytes that are not the shard.
    #[error("the bytes are not the shard the manifest names")]
    Wrong(#[from] cosmic_erasure::Error),
    /// Another manifest lies beside the shards of the object here.
    #[error("object {} is kept here under another manifest", object.short())]
    OtherManifest {
        /// The object.
        object: ObjectId,
    },
    /// Its bytes cannot be had from the cold store now.
    #[error("shard {index} of object {} is kept here and unavailable now", object.short())]
    Cold {
        /// The object.
        object: ObjectId,
        /// Which shard.
        index: u8,
        /// Why not.
        source: cold::Error,
    },
    /// A shard that is not kept here.
    #[error("shard {index} of object {} is not kept here", object.short())]
    NotHere {
        /// The object.
        object: ObjectId,
        /// Which shard.
        index: u8,
    },
}

impl Error {
    /// Whether the same holder may answer in a moment.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Net(error) => error.is_transient(),
            // It may not have heard of a new member of the ring yet.
            Self::Refused(refusal) => matches!(refusal.code, RefusalCode::Busy | RefusalCode::NotInRing),
            _ => false,
        }
    }

    /// The answer for whoever asked.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Refused(refusal) => return refusal.clone(),
            // Where the bytes lie is this operator's affair.
            Self::Cold { .. } => return Refusal::new(RefusalCode::Unavailable, self),
            Self::Net(_) | Self::Protocol { .. } => RefusalCode::Unavailable,
            Self::Store(_) | Self::Quota(crate::quota::Error::Store(_)) => RefusalCode::Storage,
            Self::Quota(crate::quota::Error::Over(_)) => RefusalCode::QuotaExceeded,
            Self::Wrong(_) | Self::OtherManifest { .. } => RefusalCode::HashMismatch,
            Self::NotHere { .. } => RefusalCode::NotHere,
            Self::Elsewhere(elsewhere) => return elsewhere.clone().into(),
        };
        Refusal::new(code, cosmic_runtime::exit::sentence(self))
    }
}

/// A shard that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The manifest that lay beside it, encoded.
    pub manifest: Vec<u8>,
    /// Its bytes, not yet held against the manifest.
    pub bytes: Vec<u8>,
}

/// What one holder keeps of an object.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// The encoded manifest; empty if nothing is kept.
    pub manifest: Vec<u8>,
    /// The shards.
    pub indices: Indices,
    /// Fresh signed receipts, in the order of the shards.
    pub receipts: Vec<Vec<u8>>,
}

/// Gives and takes shards wherever they are: here, or at another supernode. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shards(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    me: PeerId,
    keeper: Keeper,
    pool: Pool,
    holders: Latest,
    residences: Residences,
    metrics: Metrics,
    silent: RwLock<BTreeSet<PeerId>>,
    distrusted: RwLock<BTreeSet<PeerId>>,
    settled: AtomicBool,
}

/// A shard on its way to a holder.
#[derive(Debug, Clone, Copy)]
pub struct Giving<'a> {
    /// Who shall keep it.
    pub holder: PeerId,
    /// The holder it is kept for, if that one is away.
    pub owner: Option<PeerId>,
    /// The space it is charged to.
    pub space: SpaceId,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The manifest, encoded.
    pub manifest_bytes: &'a [u8],
    /// Which shard.
    pub index: u8,
    /// Its bytes, which this supernode has just made itself.
    pub bytes: &'a [u8],
}

impl Shards {
    /// Shards in the tables and on the network of `context`.
    #[must_use]
    pub fn new(
        context: &Arc<Context>,
        holders: Latest,
        quotas: Quotas,
        cold: Cold,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            me: context.peer,
            keeper: Keeper::new(Arc::clone(context), holders.clone(), quotas, cold, metrics.clone()),
            pool: Pool::new(Arc::clone(context)),
            holders,
            residences: context.residences.clone(),
            metrics,
            silent: RwLock::default(),
            distrusted: RwLock::default(),
            settled: AtomicBool::new(false),
        }))
    }

    /// What is kept here.
    #[must_use]
    pub fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    /// The ring as it is known now.
    #[must_use]
    pub fn holders(&self) -> &Latest {
        &self.0.holders
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// How late to ask `holder`: this supernode's own disk first, then everybody, then those that did not answer lately.
    #[must_use]
    pub fn rank(&self, holder: &PeerId) -> u64 {
        if *holder == self.0.me { 0 } else { 1 + u64::from(self.is_away(holder)) }
    }

    /// Whether `holder` could not be reached lately, or has been silent for so long that it gets nothing new.
    #[must_use]
    pub fn is_away(&self, holder: &PeerId) -> bool {
        let is_silent = self.0.silent.read().unwrap_or_else(PoisonError::into_inner).contains(holder);
        is_silent || self.0.pool.is_away(holder)
    }

    /// These are the members that are silent, by those who watch them.
    pub fn set_silent(&self, silent: BTreeSet<PeerId>) {
        *self.0.silent.write().unwrap_or_else(PoisonError::into_inner) = silent;
    }

    /// These are the members that lost too much of what they signed for, by those who audit them.
    pub fn set_distrusted(&self, distrusted: BTreeSet<PeerId>) {
        *self.0.distrusted.write().unwrap_or_else(PoisonError::into_inner) = distrusted;
    }

    /// Whether the ring has had its class for long, by those who watch it: nothing was put in another one lately.
    pub fn set_settled(&self, settled: bool) {
        self.0.settled.store(settled, Ordering::Relaxed);
    }

    /// Whether it has. Else an object that comes now may have been put in another class a while ago.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.0.settled.load(Ordering::Relaxed)
    }

    /// The ring that what belongs to `space` is placed by.
    #[must_use]
    pub fn table(&self, holders: &Holders, space: &SpaceId) -> Arc<Table> {
        holders.table(space, &self.0.residences.regions(space))
    }

    /// Where the data of `space` may lie, as far as is known here.
    #[must_use]
    pub fn regions(&self, space: &SpaceId) -> Arc<Regions> {
        self.0.residences.regions(space)
    }

    /// Who shall keep the shards of `object` of `space` if it is coded now. None while nobody is in the ring it belongs to.
    #[must_use]
    pub fn plan(&self, space: &SpaceId, object: &ObjectId) -> Option<Plan> {
        self.plan_in(space, object, None)
    }

    /// The same in this codec; in that of the ring if none is given.
    #[must_use]
    pub fn plan_in(&self, space: &SpaceId, object: &ObjectId, codec: Option<Codec>) -> Option<Plan> {
        let holders = Arc::clone(&self.0.holders.borrow());
        let table = self.table(&holders, space);
        let distrusted = self.0.distrusted.read().unwrap_or_else(PoisonError::into_inner);
        holders.plan(&table, object, codec, &distrusted)
    }

    /// Whether this supernode could keep `bytes` bytes more of `space` for a device of its own; the sentence says why not.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub fn has_room(&self, space: SpaceId, bytes: usize) -> Result<(), Error> {
        let keeper = &self.0.keeper;
        keeper.has_room(space, keeper.context.own_sponsor(&space), bytes)
    }

    /// Lets a holder keep a shard; its signed receipt.
    ///
    /// # Errors
    /// [`Error`] if it refuses or cannot be asked.
    pub async fn give(&self, giving: Giving<'_>) -> Result<Vec<u8>, Error> {
        let Giving { holder, owner, space, manifest, manifest_bytes, index, bytes } = giving;
        if holder == self.0.me {
            // These bytes were hashed a moment ago, when they were coded.
            let bringer = self.0.keeper.context.own_sponsor(&space);
            let offer = Offer { space, bringer, owner, manifest, manifest_bytes, index, bytes, proven: true };
            return self.0.keeper.keep(offer).await;
        }
        let length = BulkLength::new(bytes.len())
            .map_err(|_error| Error::Protocol { holder, what: "an empty shard was to be sent" })?;
        let genesis = self.0.residences.genesis(&space).map(Vec::from);
        let manifest = manifest_bytes.to_vec();
        let sponsor = self.0.keeper.context.own_sponsor(&space);
        let request = ShardRequest::Put { space, manifest, index, owner, length, genesis, sponsor };
        match self.0.pool.ask(holder, &request, Some(bytes)).await? {
            (ShardAnswer::Kept { receipt }, _) => Ok(receipt),
            (answer, _) => Err(unexpected(holder, answer)),
        }
    }

    /// The shard `index` of a coding as `holder` has it.
    ///
    /// # Errors
    /// [`Error`] if it has none or cannot be asked.
    pub async fn take(&self, holder: PeerId, coding: ObjectId, index: u8) -> Result<Found, Error> {
        let found = self.take_of(holder, coding, index).await?;
        if is_another(&found.manifest, &coding) {
            return Err(Error::NotHere { object: coding, index });
        }
        Ok(found)
    }

    /// The shard `index` of `object` as `holder` has it: of the coding with this very name, or else of another one.
    ///
    /// # Errors
    /// [`Error`] if it has none or cannot be asked.
    pub async fn take_of(&self, holder: PeerId, object: ObjectId, index: u8) -> Result<Found, Error> {
        if holder == self.0.me {
            return self.0.keeper.shard(self.0.keeper.coding_of(object)?, index).await;
        }
        match self.0.pool.ask(holder, &ShardRequest::Get { object, index }, None).await? {
            (ShardAnswer::Follows { manifest, .. }, Some(bytes)) => Ok(Found { manifest, bytes }),
            (answer, _) => Err(unexpected(holder, answer)),
        }
    }

    /// What `holder` keeps of a coding.
    ///
    /// # Errors
    /// [`Error`] if it cannot be asked.
    pub async fn which(&self, holder: PeerId, coding: ObjectId) -> Result<Kept, Error> {
        let kept = self.which_of(holder, coding).await?;
        Ok(if is_another(&kept.manifest, &coding) { Kept::default() } else { kept })
    }

    /// What `holder` keeps of `object`: of the coding with this very name, or else of another one.
    ///
    /// # Errors
    /// [`Error`] if it cannot be asked.
    pub async fn which_of(&self, holder: PeerId, object: ObjectId) -> Result<Kept, Error> {
        if holder == self.0.me {
            return self.0.keeper.which_of(object);
        }
        match self.0.pool.ask(holder, &ShardRequest::Which { object }, None).await? {
            (ShardAnswer::Held { manifest, indices, receipts }, _) => {
                Ok(Kept { manifest, indices, receipts })
            }
            (answer, _) => Err(unexpected(holder, answer)),
        }
    }

    /// Lets `keeper` keep a placement record.
    ///
    /// # Errors
    /// [`Error`] if it refuses or cannot be asked.
    pub async fn note(&self, keeper: PeerId, placement: &Placement) -> Result<(), Error> {
        if keeper == self.0.me {
            return self.0.keeper.note(placement.clone()).await.map(drop);
        }
        match self.0.pool.ask(keeper, &ShardRequest::PutPlacement(placement.clone()), None).await? {
            (ShardAnswer::Placement(_), _) => Ok(()),
            (answer, _) => Err(unexpected(keeper, answer)),
        }
    }

    /// The placement record of `object` as `keeper` has it.
    ///
    /// # Errors
    /// [`Error`] if it cannot be asked.
    pub async fn placement(&self, keeper: PeerId, object: ObjectId) -> Result<Option<Placement>, Error> {
        if keeper == self.0.me {
            return self.0.keeper.placement(&object);
        }
        match self.0.pool.ask(keeper, &ShardRequest::GetPlacement { object }, None).await? {
            (ShardAnswer::Placement(placement), _) => Ok(placement.filter(|record| record.object == object)),
            (answer, _) => Err(unexpected(keeper, answer)),
        }
    }
}

/// Whether a manifest is that of another coding.
fn is_another(manifest: &[u8], coding: &ObjectId) -> bool {
    Manifest::from_bytes(manifest).is_ok_and(|manifest| manifest.coding() != *coding)
}

fn unexpected(holder: PeerId, answer: ShardAnswer) -> Error {
    match answer {
        ShardAnswer::Refused(refusal) => refusal.into(),
        ShardAnswer::Kept { .. }
        | ShardAnswer::Follows { .. }
        | ShardAnswer::Held { .. }
        | ShardAnswer::Placement(_) => Error::Protocol { holder, what: "it answered something else" },
    }
}
