//! Proving that a shard is here: read whole, held against its manifest, and only the groups that were asked for are given.

use cosmic_common::record::Record as _;
use cosmic_custody::{
    Challenge,
    audit::proof::ProofError,
    message::refusal::{Refusal, RefusalCode},
};
use cosmic_erasure::Manifest;

use super::Audits;
use crate::{
    scrub::Thing,
    shards::{self, Found},
};

impl Audits {
    /// The proof that `challenge` asks for.
    ///
    /// # Errors
    /// A refusal: that the shard is not here, also if it turns out to be damaged; that too many are asked for at once.
    pub(crate) async fn prove(&self, challenge: Challenge) -> Result<Vec<u8>, Refusal> {
        let metrics = &self.0.metrics;
        let Ok(_place) = self.0.proving.try_acquire() else {
            metrics.challenges_refused.inc();
            return Err(Refusal::new(RefusalCode::Busy, "too many proofs are asked for at once"));
        };
        let (object, index) = (challenge.object, challenge.index);
        let proven = match self.0.shards.keeper().look(object, index).await {
            Ok(found) => tokio::task::spawn_blocking(move || prove(&challenge, &found))
                .await
                .map_err(|_gone| Refusal::new(RefusalCode::Stopping, "the supernode is stopping"))?,
            Err(error) => Err(error.refusal()),
        };
        match &proven {
            Ok(_proof) => {
                metrics.challenges_proved.inc();
            }
            // Bytes that are in the cold store and cannot be had now say nothing about the shard.
            Err(refusal) if refusal.code == RefusalCode::Unavailable => {
                metrics.challenges_refused.inc();
            }
            Err(refusal) => {
                metrics.challenges_refused.inc();
                // The scrub looks at what should be here and cannot be proved.
                self.0.context.suspects.report(Thing::Shard { object, index });
                tracing::warn!(object = %object.short(), index, reason = %refusal.sentence, "a shard could not be proved");
            }
        }
        proven
    }
}

fn prove(challenge: &Challenge, found: &Found) -> Result<Vec<u8>, Refusal> {
    let not_here = || {
        let (object, index) = (challenge.object, challenge.index);
        shards::Error::NotHere { object, index }.refusal()
    };
    let manifest = Manifest::from_bytes(&found.manifest).map_err(|_error| not_here())?;
    let expected = manifest.shard(challenge.index).ok_or_else(not_here)?;
    challenge.prove(&found.bytes, &expected).map_err(|error| match error {
        ProofError::NoSuchGroup { .. } => Refusal::new(RefusalCode::Malformed, error),
        // What is damaged is not here, and it is better to say so than to be found out.
        ProofError::Wrong | ProofError::Broken(_) | ProofError::TooLong { .. } => not_here(),
    })
}
