//! One asking about a stray: who should have the rest proves that he has the heir of the copy, and all sign again.

use cosmic_common::id::PeerId;
use cosmic_custody::{
    Assignment, Keep, ObjectCustody, Receipt, Suspect, placement_record,
    release::{Asked, shard_needless},
};
use futures::{StreamExt as _, stream};

use super::{Moves, shards::Moving};

/// Holders asked at once.
const ASKED_AT_ONCE: usize = 16;

impl Moves {
    /// What speaks for keeping the copy `mine`, by what everybody says now. When nothing does, the keepers of the placement
    /// record are told where the shards are.
    pub(super) async fn ask(&self, moving: &Moving, mine: Assignment) -> Result<(), Keep> {
        let (object, target) = (moving.manifest.coding(), &moving.target);
        // What is signed for is not always there.
        if let Some(heir) = target.shards.iter().find(|shard| shard.index == mine.index) {
            let suspect = Suspect { holder: heir.holder, object, index: heir.index };
            self.0.care.audits().question(&self.0.care, &moving.manifest, suspect).await;
        }
        let shards = &self.0.shards;
        let asked: Vec<PeerId> = target.shards.iter().map(|shard| shard.holder).collect();
        let asking =
            asked.into_iter().map(|holder| async move { (holder, shards.which(holder, object).await) });
        let mut answers = stream::iter(asking).buffer_unordered(ASKED_AT_ONCE);
        let mut standing = moving.holders.standing().clone();
        let mut fresh = ObjectCustody::new(&moving.manifest);
        while let Some((holder, answer)) = answers.next().await {
            let Ok(kept) = answer else { continue };
            for bytes in kept.receipts {
                let Ok(receipt) = Receipt::open(&bytes) else { continue };
                if receipt.holder == holder {
                    // Of another object, or of somebody who is no member any more: it does not count.
                    drop(fresh.hear(&receipt, &mut standing));
                }
            }
        }
        let now = self.0.context.clock.now();
        let reasons = {
            let (liveness, docket) = (self.0.care.present(), self.0.care.audits().docket());
            let asked = Asked {
                target,
                fresh: &fresh,
                standing: &standing,
                liveness: &liveness,
                docket: &docket,
                now,
            };
            shard_needless(mine, moving.manifest.codec(), &asked)
        };
        if reasons.is_ok() {
            let ring = moving.holders.digest();
            let record = placement_record(&target.shards, &fresh, &standing, ring, now);
            self.0.care.note(&record).await;
        }
        reasons
    }
}
