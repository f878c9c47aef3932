//! Putting an object: coded once, its shards given to all planned holders at once, the record of it afterwards.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use cosmic_common::{
    hash,
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{
    Assignment, ObjectCustody, Standing,
    message::{
        object::Whereabouts,
        refusal::{Refusal, RefusalCode},
    },
    owed, placement_record, shards_wanted,
};
use cosmic_erasure::{Coder, Encoded, Manifest};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};

use super::{Error, Objects, count};
use crate::{
    holders::Plan,
    shards::{self, Giving},
};

/// How often a shard is offered to a holder that seems to be there.
const GIVE_ATTEMPTS: u32 = 3;
/// The pause after the first attempt; longer after each.
const GIVE_PAUSE: Duration = Duration::from_millis(200);
/// How long holders may take to say in which class an object lies there already; whoever says it later refuses its shard.
const CLASS_PATIENCE: Duration = Duration::from_secs(1);

/// An object that was coded, and whom its shards belong to.
struct Coded {
    space: SpaceId,
    plan: Plan,
    encoded: Arc<Encoded>,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    /// Whose receipts count.
    standing: Standing,
    /// Who could not be reached when it began; whoever is missed since then may answer in a moment.
    away: BTreeSet<PeerId>,
}

impl Coded {
    /// The same shards under the name of their class: what lies at holders under the object's own is of another class.
    fn anew(&self) -> Arc<Self> {
        let manifest = self.manifest.clone().anew();
        let manifest_bytes = manifest.to_bytes();
        let (plan, encoded) = (self.plan.clone(), Arc::clone(&self.encoded));
        let (standing, away) = (self.standing.clone(), self.away.clone());
        Arc::new(Self { space: self.space, plan, encoded, manifest, manifest_bytes, standing, away })
    }
}

/// What became of the shards so far.
struct Placed {
    custody: ObjectCustody,
    standing: Standing,
    receipts: Vec<Vec<u8>>,
    no_room: Option<Refusal>,
    /// Whether a holder has the object in another class.
    is_elsewise: bool,
}

impl Placed {
    fn none(coded: &Coded) -> Self {
        let (custody, standing) = (ObjectCustody::new(&coded.manifest), coded.standing.clone());
        let receipts = Vec::with_capacity(coded.plan.shards.len());
        Self { custody, standing, receipts, no_room: None, is_elsewise: false }
    }

    /// Counts a receipt, if it is one for this object.
    fn count(&mut self, receipt: Vec<u8>) {
        if count(&receipt, &mut self.custody, &mut self.standing) {
            self.receipts.push(receipt);
        }
    }

    /// The shards that are signed for.
    fn signed(&self) -> usize {
        self.custody.verdict(&self.standing).shards.len()
    }
}

/// A shard that was offered: for whom it is kept if that is not the holder, and what the holder said.
type Offered = (Assignment, Option<PeerId>, Result<Vec<u8>, shards::Error>);

/// Shards on their way to holders, and those who step in where one does not take his.
struct Placing {
    objects: Objects,
    coded: Arc<Coded>,
    stand_ins: VecDeque<PeerId>,
    giving: FuturesUnordered<BoxFuture<'static, Offered>>,
}

impl Placing {
    /// Offers every shard to its holder, or, if he is known to be away, to who steps in for him.
    fn begin(objects: Objects, coded: Arc<Coded>, all: &[Assignment]) -> Self {
        let (there, away): (Vec<_>, Vec<_>) =
            coded.plan.stand_ins.iter().partition(|peer| !coded.away.contains(peer));
        let stand_ins = there.into_iter().chain(away).copied().collect();
        let mut placing = Self { objects, coded, stand_ins, giving: FuturesUnordered::new() };
        for shard in all {
            if !placing.coded.away.contains(&shard.holder) || !placing.step_in(*shard, shard.holder) {
                placing.offer(*shard, None);
            }
        }
        placing
    }

    /// Offers the shard to the next who can keep it for its owner; whether there is one.
    fn step_in(&mut self, shard: Assignment, owner: PeerId) -> bool {
        let Some(holder) = self.stand_ins.pop_front() else { return false };
        self.offer(Assignment { holder, ..shard }, Some(owner));
        true
    }

    fn offer(&self, shard: Assignment, owner: Option<PeerId>) {
        let (objects, coded) = (self.objects.clone(), Arc::clone(&self.coded));
        let giving = async move { (shard, owner, objects.give(&coded, shard, owner).await) };
        self.giving.push(giving.boxed());
    }

    /// Takes in the next answer; whether there was one.
    async fn next(&mut self, placed: &mut Placed) -> bool {
        let Some((shard, owner, result)) = self.giving.next().await else { return false };
        match result {
            Ok(receipt) => placed.count(receipt),
            Err(error) => {
                note(shard, &error);
                let refusal = error.refusal();
                // The shard itself was made a moment ago.
                placed.is_elsewise |= refusal.code == RefusalCode::HashMismatch;
                if refusal.code == RefusalCode::QuotaExceeded {
                    placed.no_room = Some(refusal);
                } else if !self.step_in(shard, owner.unwrap_or(shard.holder)) {
                    tracing::info!(
                        index = shard.index,
                        "nobody is left to keep a shard; repair will make it"
                    );
                }
            }
        }
        true
    }
}

impl Objects {
    /// The room to receive an object of `length` bytes in, so that coding it need not move it.
    ///
    /// # Errors
    /// [`Error::NoRing`] or [`Error::NoRegion`], or that the space has no room for its shard here.
    pub fn prepare(&self, space: SpaceId, object: ObjectId, length: usize) -> Result<Vec<u8>, Error> {
        let plan = self.plan(&space, &object)?;
        if plan.shards.iter().any(|shard| shard.holder == self.0.me) {
            self.0.shards.has_room(space, plan.codec.shard_bytes(length))?;
        }
        Ok(Vec::with_capacity(plan.codec.padded_bytes(length)))
    }

    /// What the holders signed for `object`, if it need not be sent: it is safe, or could be made safe from the shards
    /// that are there already.
    ///
    /// # Errors
    /// If the disk fails, or nobody is in the ring.
    pub async fn stored(&self, space: SpaceId, object: ObjectId) -> Result<Option<Whereabouts>, Error> {
        let keeper = self.0.shards.keeper();
        if keeper.manifests(&object)?.is_empty() && keeper.placement(&object)?.is_none() {
            return Ok(None);
        }
        let whereabouts = self.whereabouts(&space, object).await?;
        if self.is_safe(&whereabouts) {
            return Ok(Some(whereabouts));
        }
        match self.complete(space, object, whereabouts).await {
            Ok(completed) => Ok(Some(completed).filter(|completed| self.is_safe(completed))),
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(object = %object.short(), reason, "it has to be sent again");
                Ok(None)
            }
        }
    }

    /// Codes `bytes`, which must be `object`, and places the shards; what the holders signed.
    ///
    /// # Errors
    /// [`Error`] if the bytes are others, or fewer shards found a place than an object needs.
    pub async fn put(&self, space: SpaceId, object: ObjectId, bytes: Vec<u8>) -> Result<Whereabouts, Error> {
        let coding = self.code(space, object, bytes, None);
        let (coded, lies_elsewise) = tokio::join!(coding, self.lies_elsewise(&space, object));
        let mut coded = coded?;
        if lies_elsewise {
            coded = coded.anew();
        }
        let mut placed = Placed::none(&coded);
        let all = coded.plan.shards.clone();
        let mut stragglers = self.place(&coded, &mut placed, &all).await;
        if placed.is_elsewise
            && !coded.manifest.is_anew()
            && placed.signed() < shards_wanted(coded.plan.codec)
        {
            coded = coded.anew();
            placed = Placed::none(&coded);
            stragglers = self.place(&coded, &mut placed, &all).await;
        }
        self.finish(&coded, placed, stragglers)
    }

    /// Whether holders have the object under its own name in another class than that of the ring: what a put left there
    /// that did not come to its end before the class changed, or what was not coded anew since. A name has one manifest.
    async fn lies_elsewise(&self, space: &SpaceId, object: ObjectId) -> bool {
        let shards = &self.0.shards;
        if shards.is_settled() {
            return false;
        }
        let Some(plan) = shards.plan(space, &object) else { return false };
        let is_of_another_class = |manifest: &Manifest| {
            !manifest.is_anew() && manifest.object() == object && manifest.codec() != plan.codec
        };
        let asked = plan.shards.iter().filter(|shard| !shards.is_away(&shard.holder));
        let mut asked: FuturesUnordered<_> = asked.map(|shard| shards.which(shard.holder, object)).collect();
        let listening = async {
            while let Some(answer) = asked.next().await {
                let manifest = answer.ok().and_then(|kept| Manifest::from_bytes(&kept.manifest).ok());
                if manifest.as_ref().is_some_and(is_of_another_class) {
                    return true;
                }
            }
            false
        };
        self.0.clock.timeout(CLASS_PATIENCE, listening).await.unwrap_or_default()
    }

    /// Rebuilds an object that an interrupted put left with too few shards, and places those that are missing.
    async fn complete(
        &self,
        space: SpaceId,
        object: ObjectId,
        found: Whereabouts,
    ) -> Result<Whereabouts, Error> {
        let _turn = self.turn().await?;
        let rebuilt = self.get(space, object).await?;
        let beside = Manifest::from_bytes(&found.manifest).map_err(|_error| Error::NotHere { object })?;
        let coded = self.code(space, object, rebuilt.into_vec(), Some(beside)).await?;
        if coded.manifest_bytes != found.manifest {
            return Err(Error::NotHere { object });
        }
        let mut placed = Placed::none(&coded);
        found.receipts.into_iter().for_each(|receipt| placed.count(receipt));
        let missing = owed(&coded.plan.shards, &placed.custody, &placed.standing);
        let stragglers = self.place(&coded, &mut placed, &missing).await;
        self.finish(&coded, placed, stragglers)
    }

    /// Codes an object: as new ones are, or as it is coded already.
    async fn code(
        &self,
        space: SpaceId,
        object: ObjectId,
        bytes: Vec<u8>,
        beside: Option<Manifest>,
    ) -> Result<Arc<Coded>, Error> {
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let codec = beside.as_ref().map(Manifest::codec);
        let plan = self.plan_in(&space, &object, codec)?;
        let all = plan.shards.iter().map(|shard| shard.holder).chain(plan.stand_ins.iter().copied());
        let away = all.filter(|peer| self.0.shards.is_away(peer)).collect();
        let coder = self.coder(object, plan.codec)?;
        let encoded = code(coder, object, bytes).await?;
        let manifest = encoded.manifest().clone();
        let manifest = if beside.is_some_and(|beside| beside.is_anew()) { manifest.anew() } else { manifest };
        let manifest_bytes = manifest.to_bytes();
        let encoded = Arc::new(encoded);
        let standing = holders.standing().clone();
        Ok(Arc::new(Coded { space, plan, encoded, manifest, manifest_bytes, standing, away }))
    }

    fn finish(
        &self,
        coded: &Arc<Coded>,
        mut placed: Placed,
        stragglers: Option<Placing>,
    ) -> Result<Whereabouts, Error> {
        let object = coded.manifest.object();
        let (got, needed) = (placed.signed(), coded.plan.codec.k());
        if let Some(refusal) = placed.no_room.take_if(|_| got < shards_wanted(coded.plan.codec)) {
            return Err(Error::Room(refusal));
        }
        if got < needed {
            return Err(Error::TooFew { object, what: "placed", got, needed });
        }
        self.0.shards.metrics().objects_stored.inc();
        let receipts = placed.receipts.clone();
        let (objects, coded) = (self.clone(), Arc::clone(coded));
        let manifest = coded.manifest_bytes.clone();
        self.afterwards(async move {
            objects.record(&coded, &placed).await;
            if let Some(mut stragglers) = stragglers {
                while stragglers.next(&mut placed).await {}
                objects.record(&coded, &placed).await;
            }
        });
        Ok(Whereabouts { manifest, receipts })
    }

    /// Gives shards to their holders, all at once. Returns when as many are signed for as a write waits for, or all were
    /// tried; those that still go on are returned.
    async fn place(&self, coded: &Arc<Coded>, placed: &mut Placed, all: &[Assignment]) -> Option<Placing> {
        let wanted = shards_wanted(coded.plan.codec);
        let mut placing = Placing::begin(self.clone(), Arc::clone(coded), all);
        while placed.signed() < wanted && placing.next(placed).await {}
        (!placing.giving.is_empty()).then_some(placing)
    }

    /// Gives one shard; a holder that was there a moment ago is asked again before somebody else steps in.
    async fn give(
        &self,
        coded: &Coded,
        shard: Assignment,
        owner: Option<PeerId>,
    ) -> Result<Vec<u8>, shards::Error> {
        let shards = &self.0.shards;
        let attempts = if coded.away.contains(&shard.holder) { 1 } else { GIVE_ATTEMPTS };
        let mut attempt = 1;
        loop {
            let Assignment { index, holder } = shard;
            let bytes = coded.encoded.shard(index).unwrap_or_default();
            let (manifest, manifest_bytes) = (&coded.manifest, &coded.manifest_bytes[..]);
            let giving = Giving { holder, owner, space: coded.space, manifest, manifest_bytes, index, bytes };
            match shards.give(giving).await {
                Err(error) if error.may_pass() && attempt < attempts => {
                    note(shard, &error);
                    self.0.clock.sleep(GIVE_PAUSE * attempt).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Tells the keepers of the placement record who has what, after the answer: the record is advice.
    async fn record(&self, coded: &Coded, placed: &Placed) {
        let Plan { ring, shards: plan, keepers, .. } = &coded.plan;
        let now = self.0.clock.now();
        let placement = placement_record(plan, &placed.custody, &placed.standing, *ring, now);
        let mut notes: FuturesUnordered<_> =
            keepers.iter().map(|keeper| self.0.shards.note(*keeper, &placement)).collect();
        while let Some(result) = notes.next().await {
            if let Err(error) = result {
                tracing::debug!(%error, "a placement record was not kept");
            }
        }
    }

    /// Goes on with `work` when the answer was given. Too much of it is left undone: all of it is advice or repair.
    pub(super) fn afterwards(&self, work: impl Future<Output = ()> + Send + 'static) {
        let started = self.0.afterwards.spawn(|shutdown| async move {
            if shutdown.unless(work).await.is_none() {
                tracing::debug!("stopped before all records of an object were written");
            }
        });
        if started.is_err() {
            tracing::debug!("too busy for the records of an object");
        }
    }
}

/// Checks the hash and codes, on a thread where computing hinders nobody.
async fn code(coder: Arc<Coder>, object: ObjectId, bytes: Vec<u8>) -> Result<Encoded, Error> {
    let coding = move || {
        if hash::plain(&bytes).as_bytes() != object.as_bytes() {
            return Err(Error::Hash { object });
        }
        coder.encode_known(object, bytes).map_err(|source| Error::Coding { object, source })
    };
    tokio::task::spawn_blocking(coding).await.map_err(|_gone| Error::Stopping)?
}

fn note(shard: Assignment, error: &shards::Error) {
    let reason = cosmic_runtime::exit::sentence(error);
    tracing::info!(holder = %shard.holder.short(), index = shard.index, reason, "a shard was not placed");
}
