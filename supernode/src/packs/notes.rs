//! What other replicas say of packs, and what they ask.

use cosmic_common::id::{LogId, ObjectId, SpaceId};
use cosmic_custody::{
    Packed,
    message::{
        refusal::{Refusal, RefusalCode},
        replica::PACKS_MAX,
    },
    pack::bytes,
};

use cosmic_log::entry::Entry;

use super::Packs;
use crate::{
    duty, objects,
    replica::client,
    spaces::{self, Run},
};

/// Entries of a run are read in parts of this size.
const PART_BYTES: u64 = 1024 * 1024;

/// Why something was not packed, noted or freed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pack could not be placed or asked about.
    #[error("the pack could not be placed")]
    Object(#[from] objects::Error),
    /// Too few holders signed.
    #[error("pack {} is not safe yet: too few holders signed for it", object.short())]
    NotSafe {
        /// The pack.
        object: ObjectId,
    },
    /// The space.
    #[error(transparent)]
    Space(#[from] spaces::Error),
    /// The tables.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
    /// Another replica.
    #[error("another replica of the space does not answer")]
    Replica(#[from] client::Error),
    /// No replica made it.
    #[error("no replica of the space packs the entry now")]
    NoPacker,
    /// Another supernode is responsible.
    #[error("this supernode is no replica of the space")]
    NoReplica,
    /// The entry is not here.
    #[error("the entry is not kept here")]
    NotHere,
    /// The process is ending.
    #[error("the supernode is stopping")]
    Stopping,
}

impl Error {
    /// The same for a peer.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Object(error) => return error.refusal(),
            Self::Space(error) => return error.refusal(),
            Self::NotSafe { .. } | Self::Replica(_) | Self::NoPacker => RefusalCode::Unavailable,
            Self::Store(_) => RefusalCode::Storage,
            Self::NoReplica => RefusalCode::NotResponsible,
            Self::NotHere => RefusalCode::NotHere,
            Self::Stopping => RefusalCode::Stopping,
        };
        Refusal::new(code, self)
    }
}

fn lacks_body(entry: &Entry) -> bool {
    entry.core().kind.is_sealed() && entry.body().is_none()
}

impl Packs {
    /// Notes packs that are made of entries kept here, and says which of them are noted now.
    ///
    /// # Errors
    /// If the own entries cannot be read.
    pub async fn note(&self, space: SpaceId, packs: Vec<Packed>) -> Result<Vec<Packed>, Error> {
        self.must_be_replica(space)?;
        let reader = self.0.spaces.reader();
        let mut noted = Vec::new();
        for packed in packs {
            let known = reader.packs(space, packed.log, packed.to, 1)?;
            if known.first() == Some(&packed) {
                noted.push(packed);
            } else if let Some(run) = self.verify(space, packed).await? {
                self.0.spaces.get(space)?.packed(vec![run]).await?;
                self.0.metrics.noted.inc();
                noted.push(packed);
            }
        }
        Ok(noted)
    }

    /// The packs of a log that end at `from` or behind it, as many as one message may name.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn known(&self, space: SpaceId, log: LogId, from: u64) -> Result<Vec<Packed>, Error> {
        let max = usize::try_from(PACKS_MAX).unwrap_or(usize::MAX);
        Ok(self.0.spaces.reader().packs(space, log, from, max)?)
    }

    pub(super) fn must_be_replica(&self, space: SpaceId) -> Result<(), Error> {
        let context = &self.0.context;
        let is_replica = duty::is_replica(context, &context.peer, &space);
        is_replica.then_some(()).ok_or(Error::NoReplica)
    }

    /// Holds a pack against the entries kept here; none if they are not all here, or make another pack.
    async fn verify(&self, space: SpaceId, packed: Packed) -> Result<Option<Run>, Error> {
        let Packed { log, from, to, .. } = packed;
        let Some(count) = packed.count() else {
            self.0.metrics.refused.inc();
            return Ok(None);
        };
        let reader = self.0.spaces.reader();
        let (mut entries, mut entry_bytes) = (Vec::new(), 0_u64);
        while (entries.len() as u64) < count {
            let next = from.saturating_add(entries.len() as u64);
            let part = reader.range(space, log, next, to.saturating_add(1), PART_BYTES).await?;
            entry_bytes += part.iter().map(|frame| frame.len() as u64).sum::<u64>();
            if part.is_empty() || bytes::length(count, entry_bytes) > bytes::PACK_MAX_BYTES as u64 {
                return Ok(None);
            }
            entries.extend(part);
        }
        if entries.iter().any(|entry| Entry::from_bytes(entry).is_ok_and(|entry| lacks_body(&entry))) {
            // Snapshots replace what is in it: nobody needs it here.
            return Ok(None);
        }
        let comparing = tokio::task::spawn_blocking(move || packed.is_made_of(&entries));
        if !comparing.await.map_err(|_gone| Error::Stopping)? {
            self.0.metrics.refused.inc();
            tracing::warn!(space = %space.short(), log = %log.short(), "a pack is not made of the entries it names");
            return Ok(None);
        }
        Ok(Some(Run { packed, entries: count, bytes: entry_bytes }))
    }
}
