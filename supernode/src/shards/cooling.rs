//! Where the bytes of a kept shard lie: here, or in the cold store. Read from either, and moved between them.

use bytes::Bytes;
use cosmic_common::{hash, id::ObjectId};
use cosmic_store::Batch;

use super::{
    Error, Found,
    keeper::{Keeper, put_row},
};
use crate::{
    accounts::Accounts,
    cold::{self, Cold},
    scrub::Thing,
    tables::{Account, DISCARDS, KEPT, KeptRow, MANIFESTS, SHARDS},
};

/// How often a read begins anew because the shard was moved while it was read: once there, once back.
const READS_MAX: usize = 3;

/// Where a shard lies.
enum Lies {
    /// Here, with its manifest.
    Here { manifest: Bytes, bytes: Bytes },
    /// In the cold store, under this number.
    Cold { manifest: Bytes, row: KeptRow, number: u64 },
    /// Nowhere.
    Nowhere,
}

impl Keeper {
    /// The cold tier.
    pub(crate) fn cold(&self) -> &Cold {
        &self.cold
    }

    /// The shard and the manifest beside it. Bytes from this disk come as they lie there: whoever asked holds them against
    /// the manifest. A cold shard that is asked for often comes back.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Cold`], or if the disk fails.
    pub async fn shard(&self, object: ObjectId, index: u8) -> Result<Found, Error> {
        let (found, is_cold) = self.read(object, index).await?;
        if is_cold {
            self.cold.was_wanted((object, index));
        }
        Ok(found)
    }

    /// The same for somebody who only wants to know whether it is there.
    ///
    /// # Errors
    /// As [`shard`](Self::shard).
    pub async fn look(&self, object: ObjectId, index: u8) -> Result<Found, Error> {
        Ok(self.read(object, index).await?.0)
    }

    async fn read(&self, object: ObjectId, index: u8) -> Result<(Found, bool), Error> {
        let suspect = || self.context.suspects.report(Thing::Shard { object, index });
        let found = |manifest: Bytes, bytes: Bytes| Found { manifest: manifest.into(), bytes: bytes.into() };
        for _ in 0..READS_MAX {
            // The scrub looks at what should be here and is not.
            match self.lies(object, index).await.inspect_err(|_error| suspect())? {
                Lies::Here { manifest, bytes } => return Ok((found(manifest, bytes), false)),
                Lies::Nowhere => break,
                Lies::Cold { manifest, row, number } => {
                    match self.cold.read((object, index), number, &row).await {
                        Ok(bytes) => return Ok((found(manifest, bytes), true)),
                        Err(source) if !source.is_damage() => {
                            return Err(Error::Cold { object, index, source });
                        }
                        // It may just have come back; otherwise it is gone.
                        Err(_damage) => match self.cold.is_damaged((object, index), number) {
                            Ok(false) => {}
                            Ok(true) => return Err(Error::NotHere { object, index }),
                            Err(source) => return Err(Error::Cold { object, index, source }),
                        },
                    }
                }
            }
        }
        suspect();
        Err(Error::NotHere { object, index })
    }

    async fn lies(&self, object: ObjectId, index: u8) -> Result<Lies, Error> {
        let store = self.context.store.clone();
        let looking = tokio::task::spawn_blocking(move || -> Result<Lies, cosmic_store::Error> {
            let bytes = store.get(&SHARDS, &(object, index))?;
            let Some(manifest) = store.get(&MANIFESTS, &object)? else { return Ok(Lies::Nowhere) };
            if let Some(bytes) = bytes {
                return Ok(Lies::Here { manifest, bytes });
            }
            let Some(row) = store.get(&KEPT, &(object, index))? else { return Ok(Lies::Nowhere) };
            if let Some(number) = row.cold {
                return Ok(Lies::Cold { manifest, row, number });
            }
            // It may have come back between the two looks.
            let bytes = store.get(&SHARDS, &(object, index))?;
            Ok(bytes.map_or(Lies::Nowhere, |bytes| Lies::Here { manifest, bytes }))
        });
        Ok(looking.await.map_err(|_gone| Error::NotHere { object, index })??)
    }

    /// Says that the bytes of a shard lie in the cold store under `number`, and deletes them here; whether the shard was
    /// still as `row` says. They were verified there.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) async fn cool(
        &self,
        (object, index): cold::Shard,
        row: &KeptRow,
        number: u64,
    ) -> Result<bool, Error> {
        let store = &self.context.store;
        let _lane = self.lane(&object).await;
        let key = (object, index);
        if store.get(&KEPT, &key)?.as_ref() != Some(row) {
            return Ok(false);
        }
        let mut batch = store.batch();
        batch.delete(&SHARDS, &key);
        put_row(&mut batch, key, Some(*row), KeptRow { cold: Some(number), ..*row });
        count(&self.context.accounts, &mut batch, row, 1);
        store.commit(batch).await?;
        Ok(true)
    }

    /// Writes the bytes of a shard here that lie in the cold store under `number`; whether they still did.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) async fn warm(
        &self,
        (object, index): cold::Shard,
        number: u64,
        bytes: &[u8],
    ) -> Result<bool, Error> {
        let store = &self.context.store;
        let _lane = self.lane(&object).await;
        let key = (object, index);
        let Some(row) = store.get(&KEPT, &key)?.filter(|row| row.cold == Some(number)) else {
            return Ok(false);
        };
        if hash::plain(bytes) != row.hash {
            return Ok(false);
        }
        let mut batch = store.batch();
        batch.put_slice(&SHARDS, &key, bytes);
        leave_cold(&self.context.accounts, &mut batch, key, &row);
        let back = Some(self.context.clock.now());
        put_row(&mut batch, key, Some(row), KeptRow { cold: None, back, ..row });
        store.commit(batch).await?;
        self.cold.discarded();
        Ok(true)
    }
}

/// Counts that the bytes of `row` do not lie in the cold store any more, if they did, and has them deleted there.
pub(crate) fn leave_cold(
    accounts: &Accounts,
    batch: &mut Batch,
    (object, index): cold::Shard,
    row: &KeptRow,
) {
    if let Some(number) = row.cold {
        batch.put(&DISCARDS, &(object, index, number), &());
        count(accounts, batch, row, -1);
    }
}

/// Counts a shard in, or out of, what is cold.
fn count(accounts: &Accounts, batch: &mut Batch, row: &KeptRow, sign: i64) {
    accounts.add(batch, &row.space, Account::ColdShards, sign);
    let bytes = i64::try_from(row.length).unwrap_or(i64::MAX);
    accounts.add(batch, &row.space, Account::ColdShardBytes, sign.saturating_mul(bytes));
}
