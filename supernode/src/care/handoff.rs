//! Hand-off, the side of those who step in: what is kept for others goes home when they are heard again, and is freed when
//! they have signed for it.
//!
//! ```text
//! heard ─▶ handed (index) ─▶ verdict ── give ───▶ Put, or Which if he has it ─▶ his receipt ─▶ free
//!                              ├────── wait
//!                              └────── repair ─▶ somebody else signed for it? free : the queue of repairs
//! ```

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    id::{ObjectId, PeerId},
    record::Record as _,
};
use cosmic_custody::{HandOff, Held, Promise, Receipt, handoff::Verdict};
use cosmic_erasure::Manifest;
use cosmic_store::Span;

use super::{
    Care, Error,
    survey::Whom,
    walk::{REST, STEP_OBJECTS},
};
use crate::{
    shards::{self, Giving},
    tables::HANDED,
};

/// Owners looked up in one round: more than a ring has members.
const OWNERS_MAX: usize = 4096;

/// Where a round was interrupted at owners who may not be there: it goes on behind that.
type Places = BTreeMap<PeerId, (ObjectId, u8)>;

impl Care {
    /// Hands over for ever: whenever somebody is heard, and now and then.
    pub(super) async fn hand_off(self) {
        let clock = self.0.context.clock.clone();
        let mut places = Places::new();
        loop {
            clock.timeout(self.0.config.ping_every(), self.0.arrivals.notified()).await;
            if let Err(error) = self.hand_over(&mut places).await {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::warn!(reason, "what is kept for others could not be looked at");
            }
            clock.sleep(REST).await;
        }
    }

    /// One step for each owner.
    async fn hand_over(&self, places: &mut Places) -> Result<(), Error> {
        let owners = self.owners().await?;
        places.retain(|owner, _place| owners.contains(owner));
        self.0.metrics.owners_awaited.set(i64::try_from(owners.len()).unwrap_or(i64::MAX));
        for owner in owners {
            let after = places.remove(&owner);
            let handed = self.handed(owner, after).await?;
            if let (Some(last), true) = (handed.last(), handed.len() == STEP_OBJECTS) {
                places.insert(owner, (last.object, last.index));
                // The rest need not wait until somebody is heard again.
                self.0.arrivals.notify_one();
            }
            let (mut give, mut overdue) = (Vec::new(), Vec::new());
            {
                let (now, liveness) = (self.now(), self.liveness());
                let holders = self.0.shards.holders().borrow();
                for hand_off in handed {
                    match hand_off.verdict(false, &liveness, holders.standing(), now) {
                        Verdict::Give => give.push(hand_off),
                        Verdict::Repair => overdue.push(hand_off),
                        Verdict::Wait { .. } | Verdict::Drop => {}
                    }
                }
            }
            self.give_home(owner, give).await?;
            self.leave_to_repair(overdue).await?;
        }
        Ok(())
    }

    /// Those for whom anything is kept: one look into the index for each.
    async fn owners(&self) -> Result<BTreeSet<PeerId>, Error> {
        let store = self.0.context.store.clone();
        let reading = move || -> Result<BTreeSet<PeerId>, cosmic_store::Error> {
            let mut owners = BTreeSet::new();
            let mut span = Span::<(PeerId, ObjectId, u8)>::all();
            while owners.len() < OWNERS_MAX {
                let Some(((owner, _object, _index), ())) =
                    store.scan(&HANDED, &span, 1).next().transpose()?
                else {
                    break;
                };
                owners.insert(owner);
                span = span.after(&(owner, ObjectId::from_bytes([u8::MAX; 32]), u8::MAX));
            }
            Ok(owners)
        };
        Ok(tokio::task::spawn_blocking(reading).await.map_err(|_gone| Error::Stopping)??)
    }

    /// What is kept for `owner` behind a place; what the index names and is not kept so any more is left out.
    async fn handed(&self, owner: PeerId, after: Option<(ObjectId, u8)>) -> Result<Vec<HandOff>, Error> {
        let (store, shards) = (self.0.context.store.clone(), self.0.shards.clone());
        let reading = move || -> Result<Vec<HandOff>, Error> {
            let mut span = Span::prefix(&owner);
            if let Some((object, index)) = after {
                span = span.after(&(owner, object, index));
            }
            let mut handed = Vec::new();
            for item in store.scan(&HANDED, &span, STEP_OBJECTS) {
                let ((owner, object, index), ()) = item?;
                let row = shards.keeper().row(&object, index)?.filter(|row| row.owner == Some(owner));
                handed.extend(row.map(|row| HandOff { object, index, owner, since: row.since }));
            }
            Ok(handed)
        };
        tokio::task::spawn_blocking(reading).await.map_err(|_gone| Error::Stopping)?
    }

    /// Gives shards to their owner, one after the other, until he does not take one; those he signed for are freed.
    async fn give_home(&self, owner: PeerId, handed: Vec<HandOff>) -> Result<(), Error> {
        if handed.is_empty() {
            return Ok(());
        }
        let mut objects: Vec<ObjectId> = handed.iter().map(|one| one.object).collect();
        objects.dedup();
        // A question of 32 bytes may spare a shard: repair, or another keeper, may have been quicker.
        let mut answers = self.survey(BTreeMap::from([(owner, objects)])).await;
        let Some(theirs) = answers.remove(&owner) else { return Ok(()) };
        for one in handed {
            let has_it = theirs.get(&one.object).is_some_and(|kept| kept.own.contains(one.index));
            let signed = if has_it { self.signed_by(owner, one).await } else { self.give_one(one).await };
            match signed {
                Ok(true) => self.drop_one(one).await?,
                Ok(false) => {}
                Err(error) => {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::info!(owner = %owner.short(), object = %one.object.short(), index = one.index, reason, "a shard was not taken home");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Gives a shard to its owner; whether he signed for it as his own.
    async fn give_one(&self, one: HandOff) -> Result<bool, shards::Error> {
        let HandOff { object, index, owner, .. } = one;
        let keeper = self.0.shards.keeper();
        if keeper.is_doomed(&object) {
            return Ok(false);
        }
        let Some(row) = keeper.row(&object, index)? else { return Ok(false) };
        let found = keeper.shard(object, index).await?;
        let missing = || shards::Error::NotHere { object, index };
        let manifest = Manifest::from_bytes(&found.manifest).map_err(|_error| missing())?;
        let giving = Giving {
            holder: owner,
            owner: None,
            space: row.space,
            manifest: &manifest,
            manifest_bytes: &found.manifest,
            index,
            bytes: &found.bytes,
        };
        let receipt = self.0.shards.give(giving).await?;
        self.0.metrics.shards_handed_over.inc();
        Ok(promises(&receipt, owner, one, row.hash))
    }

    /// Whether `holder` signs, now, that it keeps this shard as its own.
    async fn signed_by(&self, holder: PeerId, one: HandOff) -> Result<bool, shards::Error> {
        let Some(row) = self.0.shards.keeper().row(&one.object, one.index)? else { return Ok(false) };
        let kept = self.0.shards.which(holder, one.object).await?;
        Ok(kept.receipts.iter().any(|receipt| promises(receipt, holder, one, row.hash)))
    }

    async fn drop_one(&self, one: HandOff) -> Result<(), Error> {
        self.0.shards.keeper().free(one.object, one.index, Some(one.owner)).await?;
        Ok(())
    }

    /// The owner did not come: what somebody else who should have it signed for is freed, the rest is repair's.
    async fn leave_to_repair(&self, handed: Vec<HandOff>) -> Result<(), Error> {
        let (me, mut rest) = (self.me(), Vec::new());
        for one in handed {
            let holders = std::sync::Arc::clone(&self.0.shards.holders().borrow());
            let keeper = self.0.shards.keeper();
            let (Some(bytes), Some(space)) = (keeper.manifest(&one.object)?, keeper.space_of(&one.object)?)
            else {
                continue;
            };
            let Ok(manifest) = Manifest::from_bytes(&bytes) else { continue };
            let heard = self.others_heard();
            let mut is_signed = false;
            for holder in self.0.shards.table(&holders, &space).holders(&one.object, manifest.codec().n()) {
                if holder != me && heard.contains(&holder) {
                    is_signed = is_signed || self.signed_by(holder, one).await.unwrap_or(false);
                }
            }
            if is_signed {
                self.drop_one(one).await?;
            } else {
                rest.push(one.object);
            }
        }
        rest.dedup();
        if !rest.is_empty() {
            self.compare(rest, Whom::Everyone).await?;
        }
        Ok(())
    }
}

/// Whether `receipt` is the word of `holder` that it keeps this shard for good.
fn promises(receipt: &[u8], holder: PeerId, one: HandOff, hash: cosmic_common::id::Hash) -> bool {
    let held = Held::Shard { object: one.object, index: one.index, hash };
    Receipt::open(receipt).is_ok_and(|receipt| {
        receipt.holder == holder && receipt.promise == Promise::Keeps && receipt.held == held
    })
}
