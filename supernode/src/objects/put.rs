//! Putting an object: coded once, its shards given to all planned holders at once, the record of it afterwards.

use std::sync::Arc;

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
    placement_record, shards_wanted,
};
use cosmic_erasure::{Coder, Encoded};
use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{Error, Objects, count};
use crate::{
    holders::Plan,
    shards::{self, Giving, Shards},
};

/// An object that was coded, and whom its shards belong to.
struct Coded {
    space: SpaceId,
    plan: Plan,
    encoded: Encoded,
    manifest_bytes: Vec<u8>,
}

/// What became of the shards so far.
struct Placed {
    custody: ObjectCustody,
    standing: Standing,
    receipts: Vec<Vec<u8>>,
    no_room: Option<Refusal>,
}

impl Objects {
    /// The room to receive an object of `length` bytes in, so that coding it need not move it.
    ///
    /// # Errors
    /// [`Error::NoRing`], or that the space has no room for its shard here.
    pub fn prepare(&self, space: SpaceId, object: ObjectId, length: usize) -> Result<Vec<u8>, Error> {
        let plan = self.0.shards.holders().borrow().plan(&object).ok_or(Error::NoRing)?;
        if plan.shards.iter().any(|shard| shard.holder == self.0.me) {
            self.0.shards.keeper().has_room(space, plan.codec.shard_bytes(length))?;
        }
        Ok(Vec::with_capacity(plan.codec.padded_bytes(length)))
    }

    /// Whether `object` is here or recorded here, so that asking what became of it may spare sending it again.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn stored(&self, object: ObjectId) -> Result<Option<Whereabouts>, Error> {
        let keeper = self.0.shards.keeper();
        if keeper.manifest(&object)?.is_none() && keeper.placement(&object)?.is_none() {
            return Ok(None);
        }
        let whereabouts = self.whereabouts(object).await?;
        Ok(self.is_safe(&whereabouts).then_some(whereabouts))
    }

    /// Codes `bytes`, which must be `object`, and places the shards; what the holders signed.
    ///
    /// # Errors
    /// [`Error`] if the bytes are others, or fewer shards found a place than an object needs.
    pub async fn put(&self, space: SpaceId, object: ObjectId, bytes: Vec<u8>) -> Result<Whereabouts, Error> {
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let plan = holders.plan(&object).ok_or(Error::NoRing)?;
        let coder = self.coder(object, plan.codec)?;
        let encoded = code(coder, object, bytes).await?;
        let manifest_bytes = encoded.manifest().to_bytes();
        let coded = Arc::new(Coded { space, plan, encoded, manifest_bytes });
        let mut placed = Placed {
            custody: ObjectCustody::new(coded.encoded.manifest()),
            standing: holders.standing().clone(),
            receipts: Vec::with_capacity(coded.plan.shards.len()),
            no_room: None,
        };
        self.place(&coded, &mut placed).await;
        let got = placed.custody.verdict(&placed.standing).shards.len();
        let needed = coded.plan.codec.k();
        if let Some(refusal) = placed.no_room.take_if(|_| got < shards_wanted(coded.plan.codec)) {
            return Err(Error::Room(refusal));
        }
        if got < needed {
            return Err(Error::TooFew { object, what: "placed", got, needed });
        }
        self.0.shards.metrics().objects_stored.inc();
        self.record(&coded, &placed);
        Ok(Whereabouts { manifest: coded.manifest_bytes.clone(), receipts: placed.receipts })
    }

    /// Gives every shard to its holder. Returns when as many are signed for as a write waits for, or all were tried;
    /// stragglers go on in the background.
    async fn place(&self, coded: &Arc<Coded>, placed: &mut Placed) {
        let wanted = shards_wanted(coded.plan.codec);
        let mut stand_ins = coded.plan.stand_ins.iter().copied();
        let give = |shard: Assignment, owner: Option<PeerId>| {
            let (shards, coded) = (self.0.shards.clone(), Arc::clone(coded));
            Box::pin(async move { (shard, owner, give(&shards, &coded, shard, owner).await) })
        };
        let mut giving: FuturesUnordered<_> =
            coded.plan.shards.iter().map(|shard| give(*shard, None)).collect();
        while let Some((shard, owner, result)) = giving.next().await {
            match result {
                Ok(receipt) => {
                    if count(&receipt, &mut placed.custody, &mut placed.standing) {
                        placed.receipts.push(receipt);
                    }
                }
                Err(error) => {
                    note(shard, &error);
                    let refusal = error.refusal();
                    if refusal.code == RefusalCode::QuotaExceeded {
                        placed.no_room = Some(refusal);
                    } else if let Some(holder) = stand_ins.next() {
                        giving.push(give(Assignment { holder, ..shard }, owner.or(Some(shard.holder))));
                    }
                }
            }
            if placed.custody.verdict(&placed.standing).shards.len() >= wanted {
                break;
            }
        }
        if !giving.is_empty() {
            self.afterwards(async move {
                while let Some((shard, _owner, result)) = giving.next().await {
                    if let Err(error) = result {
                        note(shard, &error);
                    }
                }
            });
        }
    }

    /// Tells the keepers of the placement record who has what, after the answer: the record is advice.
    fn record(&self, coded: &Coded, placed: &Placed) {
        let Plan { ring, shards: plan, keepers, .. } = &coded.plan;
        let now = self.0.clock.now();
        let placement = placement_record(plan, &placed.custody, &placed.standing, *ring, now);
        let (shards, keepers) = (self.0.shards.clone(), keepers.clone());
        self.afterwards(async move {
            let mut notes: FuturesUnordered<_> =
                keepers.iter().map(|keeper| shards.note(*keeper, &placement)).collect();
            while let Some(result) = notes.next().await {
                if let Err(error) = result {
                    tracing::debug!(%error, "a placement record was not kept");
                }
            }
        });
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

async fn give(
    shards: &Shards,
    coded: &Coded,
    shard: Assignment,
    owner: Option<PeerId>,
) -> Result<Vec<u8>, shards::Error> {
    let Assignment { index, holder } = shard;
    let bytes = coded.encoded.shard(index).unwrap_or_default();
    let Coded { space, encoded, manifest_bytes, .. } = coded;
    let manifest = encoded.manifest();
    shards.give(Giving { holder, owner, space: *space, manifest, manifest_bytes, index, bytes }).await
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
