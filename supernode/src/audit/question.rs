//! One question to one holder: what it signed for, a challenge, and what its answer means.

use cosmic_common::id::PeerId;
use cosmic_custody::{
    Challenge, Held, Promise, Receipt, Suspect,
    audit::evidence::Finding,
    message::{
        care::{CareAnswer, CareRequest},
        refusal::RefusalCode,
    },
};
use cosmic_erasure::Manifest;
use cosmic_runtime::random;

use super::Audits;
use crate::care::{self, Care};

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The holder has the shard.
    Proved,
    /// It does not, or does not show it.
    Failed(Finding),
    /// It says itself that it does not keep the shard, and so did not promise it to anybody.
    NotKept,
    /// It did not answer, or was too busy: presence deals with that.
    Nothing,
}

impl Audits {
    /// Asks `suspect.holder` to prove that it has the shard, by the manifest that lies here. What is found is noted, and told.
    pub(crate) async fn question(&self, care: &Care, manifest: &Manifest, suspect: Suspect) -> Answered {
        let Suspect { holder, object, index } = suspect;
        let Ok(kept) = self.0.shards.which(holder, object).await else {
            self.0.metrics.audits_unanswered.inc();
            return Answered::Nothing;
        };
        // It keeps what it may not promise any more: a shard on its way out, of an object that is being removed.
        let is_given_up =
            kept.receipts.iter().any(|bytes| is_receipt(bytes, manifest, &suspect, Promise::Forwards));
        let receipt =
            kept.receipts.into_iter().find(|bytes| is_receipt(bytes, manifest, &suspect, Promise::Keeps));
        let answered = match (&receipt, kept.indices.contains(index)) {
            (None, false) => Answered::NotKept,
            (None, true) if is_given_up => Answered::NotKept,
            // It says that it has the shard and signs for another, or for nothing.
            (None, true) => Answered::Failed(Finding::Denied),
            (Some(_), _) => self.challenge(care, manifest, suspect).await,
        };
        match answered {
            Answered::Proved => self.proved(suspect).await,
            Answered::Failed(finding) => self.found(care, suspect, receipt, finding).await,
            // Nothing is owed any more where nothing is promised.
            Answered::NotKept => self.restored(suspect).await,
            Answered::Nothing => {
                self.0.metrics.audits_unanswered.inc();
            }
        }
        answered
    }

    async fn challenge(&self, care: &Care, manifest: &Manifest, suspect: Suspect) -> Answered {
        let Suspect { holder, object, index } = suspect;
        let Some(expected) = manifest.shard(index) else { return Answered::Nothing };
        let length = manifest.shard_bytes();
        let challenge = Challenge::draw(object, index, length, &holder, &random::seed());
        match care.ask(holder, &CareRequest::Challenge(challenge.clone())).await {
            Ok(CareAnswer::Proof(proof)) => match challenge.check(&proof, &expected, length) {
                Ok(()) => Answered::Proved,
                Err(error) => {
                    tracing::debug!(holder = %holder.short(), object = %object.short(), index, %error, "a proof was none");
                    Answered::Failed(Finding::Wrong)
                }
            },
            Ok(_other) => Answered::Failed(Finding::Wrong),
            Err(care::Error::Refused(refusal)) if refusal.code == RefusalCode::NotHere => {
                Answered::Failed(Finding::Denied)
            }
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(holder = %holder.short(), reason, "an audit was not answered");
                Answered::Nothing
            }
        }
    }
}

/// Whether `bytes` are the holder's promise of this kind about just this shard.
fn is_receipt(bytes: &[u8], manifest: &Manifest, suspect: &Suspect, promise: Promise) -> bool {
    let Suspect { holder, object, index } = *suspect;
    let promised = |receipt: &Receipt| match receipt.held {
        Held::Shard { object: of, index: which, hash } => {
            (of, which) == (object, index) && manifest.shard(index) == Some(hash)
        }
        Held::Log { .. } | Held::Object { .. } => false,
    };
    let is_from = |peer: &PeerId| *peer == holder;
    Receipt::open(bytes)
        .is_ok_and(|receipt| is_from(&receipt.holder) && receipt.promise == promise && promised(&receipt))
}
