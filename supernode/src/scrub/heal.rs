//! Healing what is damaged here: a shard from any k of the others, an entry from another replica.

use super::{Fault, Scrub, Thing, check};
use crate::{
    cold, objects, replica,
    tables::{ENTRIES, KEPT},
};

/// Bytes asked for at least; the largest entry comes whatever this says.
const ENTRY_BYTES: u32 = 1;

/// Why something stays damaged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The shard cannot be made from the others.
    #[error("the shard cannot be made from the others")]
    Object(#[from] objects::Error),
    /// No replica gave it.
    #[error("no replica gave the entry")]
    Replica(#[from] replica::client::Error),
    /// Nobody else has it.
    #[error("no other supernode has it")]
    Nobody,
    /// The store failed.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
    /// The cold store.
    #[error(transparent)]
    Cold(#[from] cold::Error),
    /// A thread ended.
    #[error("the supernode is stopping")]
    Stopping,
    /// Rows that say what is kept.
    #[error(
        "rows that say what is kept cannot be read; stop the supernode, set its store aside and start it again"
    )]
    Rows,
}

impl Scrub {
    /// Puts right what is wrong with `thing`; done if nothing is.
    pub(super) async fn heal(&self, thing: &Thing) -> Result<(), Error> {
        if self.check(*thing).await?.is_none() {
            return Ok(());
        }
        let store = &self.0.context.store;
        match *thing {
            Thing::Shard { object, index } => {
                let Some(row) = store.get(&KEPT, &(object, index))? else { return Ok(()) };
                Ok(self.0.objects.restore(object, index, &row).await?)
            }
            Thing::Entry { .. } => self.heal_entry(thing).await,
            Thing::Rows { .. } => Err(Error::Rows),
        }
    }

    /// What is wrong with `thing`, wherever its bytes lie.
    pub(super) async fn check(&self, thing: Thing) -> Result<Option<Fault>, Error> {
        let store = self.0.context.store.clone();
        let checked = tokio::task::spawn_blocking(move || check::thing(&store, &thing)).await;
        match (checked.map_err(|_gone| Error::Stopping)?, thing) {
            (None, Thing::Shard { object, index }) => {
                Ok(self.0.objects.cold().examine((object, index)).await?)
            }
            (found, _) => Ok(found),
        }
    }

    async fn heal_entry(&self, thing: &Thing) -> Result<(), Error> {
        let Thing::Entry { space, channel, log, seq } = *thing else { return Ok(()) };
        let store = &self.0.context.store;
        let Some(row) = check::row(store, space, channel, log)? else { return Ok(()) };
        let mut why = Error::Nobody;
        for peer in self.0.replicas.of(&space) {
            match self.0.replicas.range(peer, space, (log, seq, seq), ENTRY_BYTES).await {
                Ok(entries) => {
                    let right = entries.into_iter().find(|bytes| check::is_entry(bytes, &row, log, seq));
                    if let Some(bytes) = right {
                        let mut batch = store.batch();
                        batch.put_slice(&ENTRIES, &(log, seq), &bytes);
                        return Ok(store.commit(batch).await?);
                    }
                }
                Err(error) => why = error.into(),
            }
        }
        Err(why)
    }
}
