//! Packs that somebody waits for: made at once, by the replica whose turn it is, and shown with what their holders say.

use cosmic_common::id::{LogId, PeerId, SpaceId};
use cosmic_custody::{
    Packed,
    message::{
        object::Whereabouts,
        replica::{ReplicaAnswer, ReplicaRequest},
    },
    packers,
};
use cosmic_runtime::exit::sentence;

use super::{Error, Packs};
use crate::{duty, replica::client};

/// Packs of one log that may have to be made before the entry somebody waits for lies in one.
const PACKS_AT_ONCE: usize = 64;

impl Packs {
    /// The pack that an entry of a space lies in, and what its holders sign for now; for a device, at any supernode.
    ///
    /// # Errors
    /// If no replica packs it now, or nobody knows where the pack is.
    pub async fn find(&self, space: SpaceId, log: LogId, seq: u64) -> Result<(Packed, Whereabouts), Error> {
        let mut failure = Error::NoPacker;
        for packer in packers(&log, duty::replicas(&self.0.context, &space)) {
            match self.packed_by(packer, space, log, seq).await {
                Ok(packed) => return Ok((packed, self.0.objects.whereabouts(&space, packed.object).await?)),
                Err(error) => {
                    tracing::debug!(peer = %packer.short(), reason = sentence(&error), "a replica does not pack");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    async fn packed_by(&self, packer: PeerId, space: SpaceId, log: LogId, seq: u64) -> Result<Packed, Error> {
        if packer == self.0.context.peer {
            return self.wanted(space, log, seq).await;
        }
        let request = ReplicaRequest::Pack { space, log, seq };
        let answer = self.0.spaces.replicas().call(packer, request).wait().await?;
        match &answer {
            ReplicaAnswer::Packs(packs) => {
                let packed = packs.first().filter(|packed| packed.log == log && packed.contains(seq));
                packed.copied().ok_or(client::Error::OutOfPlace.into())
            }
            _ => Err(client::Error::answer(answer).into()),
        }
    }

    /// The pack that an entry kept here lies in; made now if there is none.
    ///
    /// # Errors
    /// If there is no such entry here, or it cannot be packed.
    pub async fn wanted(&self, space: SpaceId, log: LogId, seq: u64) -> Result<Packed, Error> {
        self.must_be_replica(space)?;
        let reader = self.0.spaces.reader();
        for _ in 0..PACKS_AT_ONCE {
            if let Some(packed) = reader.packed(space, log, seq)? {
                return Ok(packed);
            }
            self.0.spaces.get(space)?.settle().await?;
            if reader.range(space, log, seq, seq.saturating_add(1), 1).await?.is_empty() {
                return Err(Error::NotHere);
            }
            let made = self.pack(space, log).await?;
            if made.is_none() && reader.packed(space, log, seq)?.is_none() {
                break;
            }
        }
        Err(Error::NotHere)
    }
}
