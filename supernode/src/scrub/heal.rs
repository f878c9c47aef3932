//! Healing what is damaged here: a shard from any k of the others, an entry from another replica.

use cosmic_common::id::{LogId, SpaceId};
use cosmic_log::entry::{self, Entry};
use cosmic_space::covers::is_replaceable;
use cosmic_store::{Span, Store};

use super::{Fault, Scrub, Thing, check};
use crate::{
    cold, objects, replica,
    tables::{Account, ENTRIES, KEPT, PACKS, TAILS},
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
        let is_thinned = is_thinned(store, space, log, seq)?;
        let (mut why, mut bare) = (Error::Nobody, None);
        for peer in self.0.replicas.of(&space) {
            match self.0.replicas.range(peer, space, (log, seq, seq), ENTRY_BYTES).await {
                Ok(entries) => {
                    let right = entries.iter().find(|bytes| check::is_entry(bytes, &row, log, seq));
                    let right = right.and_then(|bytes| Entry::from_bytes(bytes).ok());
                    match right.map(|entry| if is_thinned { headers(entry) } else { entry }) {
                        // Another replica has dropped the body already; perhaps not all have.
                        Some(entry) if lacks_body(&entry) && !is_thinned => bare = Some(entry),
                        Some(entry) => {
                            let mut batch = store.batch();
                            batch.put_slice(&ENTRIES, &(log, seq), entry.as_bytes());
                            return Ok(store.commit(batch).await?);
                        }
                        None => {}
                    }
                }
                Err(error) => why = error.into(),
            }
        }
        let entry = bare.ok_or(why)?;
        let mut batch = store.batch();
        batch.put_slice(&ENTRIES, &(log, seq), entry.as_bytes());
        let less = i64::try_from(entry.body_bytes()).unwrap_or(i64::MAX) - entry::DROPPED_BODY_BYTES;
        self.0.context.accounts.add(&mut batch, &space, Account::EntryBytes, -less);
        Ok(store.commit(batch).await?)
    }
}

/// Whether the bodies of the run that this entry was packed in were dropped here: it is in no pack, and waits for none.
fn is_thinned(store: &Store, space: SpaceId, log: LogId, seq: u64) -> Result<bool, cosmic_store::Error> {
    let span = Span::range((space, log, seq)..=(space, log, u64::MAX));
    let run = store.scan(&PACKS, &span, 1).next().transpose()?;
    let is_packed = run.is_some_and(|(_place, (from, _pack))| from <= seq);
    let waits = store.get(&TAILS, &(space, log))?.is_some_and(|tail| tail.from <= seq);
    Ok(!is_packed && !waits)
}

/// The entry as a run that was thinned has it.
fn headers(entry: Entry) -> Entry {
    if is_replaceable(entry.core().kind) { entry.without_body() } else { entry }
}

fn lacks_body(entry: &Entry) -> bool {
    entry.core().kind.is_sealed() && entry.body().is_none()
}
