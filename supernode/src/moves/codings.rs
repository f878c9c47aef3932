//! Shards of a coding that the ring gave up: they go when the object lies safely in the class of the ring, signed for twice, a
//! delay apart, and when this supernode itself has read the object from there and made the manifest again. Nobody has to
//! believe who coded it anew.

use std::collections::BTreeMap;

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{
    Assignment, Keep, ObjectCustody, Receipt, Release, Subject, Target,
    release::{Asked, coding_needless},
};
use cosmic_erasure::Manifest;
use cosmic_runtime::exit::sentence;
use futures::{StreamExt as _, stream};

use super::{
    Error, Moves,
    shards::{Moving, Rounds, lock},
};

/// Holders asked at once.
const ASKED_AT_ONCE: usize = 16;

impl Moves {
    /// Asks whether a shard of a coding that was given up may go for `heir`, and lets it.
    pub(super) async fn yield_to(
        &self,
        moving: &Moving,
        heir: &Subject,
        mine: Assignment,
        before: Release,
        round: &Rounds,
    ) -> Result<(), Error> {
        let (clock, delay) = (&self.0.context.clock, self.0.config.free_after());
        let coding = moving.manifest.coding();
        let mut asked = self.ask_heirs(moving, heir).await;
        let is_last = before.settled.is_some() && before.rests_until(delay, clock.now()).is_none();
        if let (true, Ok(manifest)) = (is_last, &asked) {
            let Some(row) = self.0.shards.keeper().row(&coding, mine.index)? else { return Ok(()) };
            if !self.is_true(row.space, manifest).await? {
                tracing::warn!(object = %coding.short(), "an object was coded anew wrongly; what it was coded from stays");
                asked = Err(Keep::Owed(Vec::new()));
            } else {
                asked = self.ask_heirs(moving, heir).await;
            }
        }
        let mut release = before;
        let Err(keep) = release.ask(asked.map(drop), delay, clock.now()) else {
            if self.0.shards.keeper().let_go(coding, mine.index, before).await? {
                self.0.metrics.shards_freed.inc();
            }
            return Ok(());
        };
        lock(round).keeps(&keep);
        if release != before {
            self.0.shards.keeper().settle(coding, mine.index, Some(release)).await?;
        }
        Ok(())
    }

    /// The manifest of the new coding, if enough of those who should have its shards sign for them now. No asking lasts as long
    /// as the delay, or what was said first could be history.
    async fn ask_heirs(&self, moving: &Moving, heir: &Subject) -> Result<Manifest, Keep> {
        let late = Err(Keep::Owed(Vec::new()));
        let asking = self.ask_all(moving, heir);
        self.0.context.clock.timeout(self.0.config.free_after(), asking).await.unwrap_or(late)
    }

    async fn ask_all(&self, moving: &Moving, heir: &Subject) -> Result<Manifest, Keep> {
        let (coding, codec) = (heir.object, heir.codec);
        let own = heir.copies.iter().filter(|copy| !copy.handed_off);
        let held: Vec<Assignment> =
            own.map(|copy| Assignment { index: copy.index, holder: copy.holder }).collect();
        let may_take = |peer: &PeerId| self.0.care.audits().is_trusted(peer);
        let target = Target::of(&moving.table, &coding, codec, &held, may_take);
        let (manifest, receipts) =
            self.signed(coding, &target).await.ok_or_else(|| Keep::Owed(target.shards.clone()))?;
        let mut standing = moving.holders.standing().clone();
        let mut fresh = ObjectCustody::new(&manifest);
        // Of somebody who is no member any more, or of another manifest: it does not count.
        receipts.iter().for_each(|receipt| drop(fresh.hear(receipt, &mut standing)));
        let (liveness, docket) = (self.0.care.present(), self.0.care.audits().docket());
        let asked = Asked {
            target: &target,
            fresh: &fresh,
            standing: &standing,
            liveness: &liveness,
            docket: &docket,
            now: self.0.context.clock.now(),
        };
        coding_needless(codec, &asked).map(|()| manifest)
    }

    /// The manifest most of those have who should have a shard, and what they sign.
    async fn signed(&self, coding: ObjectId, target: &Target) -> Option<(Manifest, Vec<Receipt>)> {
        let shards = &self.0.shards;
        let asked: Vec<PeerId> = target.shards.iter().map(|shard| shard.holder).collect();
        let asking =
            asked.into_iter().map(|holder| async move { (holder, shards.which(holder, coding).await) });
        let mut answers = stream::iter(asking).buffer_unordered(ASKED_AT_ONCE);
        let mut by_manifest: BTreeMap<Vec<u8>, Vec<Receipt>> = BTreeMap::new();
        while let Some((holder, answer)) = answers.next().await {
            let Ok(kept) = answer else { continue };
            let receipts = kept.receipts.iter().filter_map(|bytes| Receipt::open(bytes).ok());
            let own = receipts.filter(|receipt| receipt.holder == holder);
            by_manifest.entry(kept.manifest).or_default().extend(own);
        }
        let most = by_manifest.into_iter().max_by_key(|(_manifest, receipts)| receipts.len());
        let (bytes, receipts) = most?;
        let manifest = Manifest::from_bytes(&bytes).ok().filter(|manifest| manifest.coding() == coding)?;
        Some((manifest, receipts))
    }

    /// Whether the object can be read from the new coding, and its manifest is what it should be.
    async fn is_true(&self, space: SpaceId, manifest: &Manifest) -> Result<bool, Error> {
        self.afford(u64::try_from(manifest.length()).unwrap_or(u64::MAX)).await;
        let objects = self.0.care.objects();
        let read = async {
            let _turn = objects.turn().await?;
            let rebuilt = objects.get(space, manifest.coding()).await?;
            Ok::<_, crate::objects::Error>((rebuilt, objects.coder(manifest.object(), manifest.codec())?))
        };
        let (rebuilt, coder) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::info!(object = %manifest.object().short(), reason = sentence(&error), "an object could not be read as it was coded anew");
                return Ok(false);
            }
        };
        let making = tokio::task::spawn_blocking(move || coder.manifest(&rebuilt.into_vec())).await;
        let Ok(made) = making.map_err(|_gone| Error::Stopping)? else { return Ok(false) };
        Ok(*manifest == if manifest.is_anew() { made.anew() } else { made })
    }
}
