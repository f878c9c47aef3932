//! How safe everything is: receipts kept, counted by the rules of custody, and asked for by apps that wait.

pub mod packs;
mod regions;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cosmic_common::{
    heads::Head,
    id::{EntryId, LogId, ObjectId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{
    count::{
        log::{Duty, LogCustody, LogReach},
        object::{ObjectCustody, ObjectVerdict},
    },
    level::Level,
    message::ATTEST_MAX,
    receipt::{Held, Promise, Receipt},
    standing::Standing,
};
use cosmic_erasure::Manifest;
use cosmic_identity::signed::Signed as SignedRecord;
use cosmic_ring::{Atlas, Class, Regions};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Error;

pub use self::regions::Placed;

/// The receipts of this device and what follows from them.
pub struct Safety(Mutex<State>);

struct State {
    standing: Standing,
    atlas: Arc<Atlas>,
    /// Of spaces whose genesis is here.
    regions: BTreeMap<SpaceId, Arc<Regions>>,
    logs: BTreeMap<LogId, LogCustody>,
}

impl fmt::Debug for Safety {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Safety")
    }
}

impl Default for Safety {
    fn default() -> Self {
        Self(Mutex::new(State {
            standing: Standing::default(),
            atlas: Arc::new(Atlas::of(Vec::new(), 1, &[])),
            regions: BTreeMap::new(),
            logs: BTreeMap::new(),
        }))
    }
}

/// A signed receipt together with what it says.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What it says; its signature was verified.
    pub receipt: Receipt,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
}

impl Signed {
    /// The receipt in `bytes`, if its holder signed it.
    ///
    /// # Errors
    /// [`cosmic_custody::error::Error`] if it is malformed or forged.
    pub fn open(bytes: Vec<u8>) -> Result<Self, cosmic_custody::error::Error> {
        Ok(Self { receipt: Receipt::open(&bytes)?, bytes })
    }
}

/// How safe entries of one log are: by the replicas that have them, and by the packs they lie in.
#[derive(Debug, Default)]
pub struct Reach {
    replicas: LogReach,
    runs: Vec<packs::Run>,
}

impl Reach {
    /// The level of the entry at `seq`.
    #[must_use]
    pub fn level(&self, seq: u64) -> Level {
        let packed = self.runs.iter().filter(|(run, _)| run.contains(&seq)).map(|(_, level)| *level);
        packed.max().unwrap_or(Level::Local).max(self.replicas.level(seq))
    }
}

impl Safety {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The members of the ring have changed.
    pub fn set_ring(&self, standing: Standing, atlas: Arc<Atlas>) {
        let mut state = self.state();
        let earlier = std::mem::replace(&mut state.standing, standing);
        state.standing.inherit(&earlier);
        state.atlas = atlas;
        let State { standing, logs, .. } = &mut *state;
        logs.values_mut().for_each(|log| log.retain_members(standing));
    }

    /// The class of the ring that a space is placed by, once there is one: what lies in another is coded anew in time.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn class(&self, connection: &Connection, space: &SpaceId) -> Result<Option<Class>, Error> {
        let regions = self.regions(connection, space)?;
        let state = self.state();
        let is_known = state.standing.members().next().is_some();
        Ok(is_known.then(|| state.atlas.ring(space, &regions).class()))
    }

    /// Reads the receipts kept in the database; done when the members are first known and whenever they change.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn load(&self, connection: &Connection) -> Result<(), Error> {
        let mut statement = connection.prepare("SELECT signed FROM receipts")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match Signed::open(row.get(0)?) {
                Ok(signed) => self.count(&signed.receipt),
                Err(error) => tracing::warn!(%error, "a kept receipt is damaged and does not count"),
            }
        }
        Ok(())
    }

    /// Counts a verified receipt for a log; receipts of strangers are passed over.
    pub fn count(&self, receipt: &Receipt) {
        let mut state = self.state();
        let State { standing, logs, .. } = &mut *state;
        standing.observe(receipt);
        if let Held::Log { space, log, .. } = receipt.held
            && standing.contains(&receipt.holder)
        {
            let custody = logs.entry(log).or_insert_with(|| LogCustody::new(space, log));
            if let Err(error) = custody.insert(receipt, standing) {
                tracing::debug!(%error, "a receipt does not count");
            }
        }
    }

    /// How safe the entries `seqs` of `log` are.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn reach(
        &self,
        connection: &Connection,
        space: &SpaceId,
        log: &LogId,
        seqs: &RangeInclusive<u64>,
    ) -> Result<Reach, Error> {
        let regions = self.regions(connection, space)?;
        let runs = packs::runs(self, connection, (&regions, log), seqs)?;
        let state = self.state();
        let duty = Duty::of(space, &state.atlas.ring(space, &regions), []);
        let Some(custody) = state.logs.get(log) else { return Ok(Reach { runs, ..Reach::default() }) };
        let failed = std::cell::Cell::new(None);
        let replicas = custody.reach(&duty, &state.standing_in(&regions), |head| {
            is_ours(connection, log, head).unwrap_or_else(|error| {
                failed.set(Some(error));
                false
            })
        });
        failed.take().map_or(Ok(Reach { replicas, runs }), Err)
    }

    /// The level of the entry at `seq` of `log`.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn level(
        &self,
        connection: &Connection,
        space: &SpaceId,
        (log, seq): (&LogId, u64),
    ) -> Result<Level, Error> {
        Ok(self.reach(connection, space, log, &(seq..=seq))?.level(seq))
    }

    /// Logs of this device in `space` whose last entry is not known to be on a quorum of replicas; as many as can be asked
    /// about at once.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn owed(&self, connection: &Connection, space: &SpaceId) -> Result<Vec<LogId>, Error> {
        let mut statement =
            connection.prepare_cached("SELECT log, seq FROM logs WHERE space = ?1 AND mine = 1")?;
        let mut rows = statement.query([space.as_bytes()])?;
        let mut owed = Vec::new();
        while let Some(row) = rows.next()? {
            let (log, seq) = (LogId::try_from(row.get_ref(0)?.as_blob()?)?, row.get(1)?);
            if self.level(connection, space, (&log, seq))? < Level::Replicated {
                owed.push(log);
            }
            if owed.len() as u64 == ATTEST_MAX {
                break;
            }
        }
        Ok(owed)
    }

    /// How safe an object is, by its receipts in the database; nothing while its manifest is not known.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn object(
        &self,
        connection: &Connection,
        space: &SpaceId,
        object: &ObjectId,
    ) -> Result<Option<ObjectVerdict>, Error> {
        let Some(manifest) = manifest(connection, object)? else { return Ok(None) };
        let regions = self.regions(connection, space)?;
        self.verdict(connection, &regions, &manifest).map(Some)
    }

    /// How safe the object of a manifest is, by its receipts in the database.
    fn verdict(
        &self,
        connection: &Connection,
        regions: &Regions,
        manifest: &Manifest,
    ) -> Result<ObjectVerdict, Error> {
        let mut statement =
            connection.prepare_cached("SELECT signed FROM shard_receipts WHERE object = ?1")?;
        let rows = statement.query_map([manifest.object().as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
        let mut receipts = Vec::new();
        for bytes in rows {
            // Verified before it was kept; doing so again for every look at a file's progress cost 9 CPU s/GB of it.
            let Ok(signed) = SignedRecord::<Receipt>::from_bytes(&bytes?) else { continue };
            receipts.push(signed.unverified().clone());
        }
        Ok(self.state().verdict(regions, manifest, &receipts))
    }

    /// How safe an object is if just these receipts are counted: what an upload checks before it is called done.
    #[must_use]
    pub fn judge(&self, regions: &Regions, manifest: &Manifest, receipts: &[Signed]) -> ObjectVerdict {
        let receipts: Vec<Receipt> = receipts.iter().map(|signed| signed.receipt.clone()).collect();
        self.state().verdict(regions, manifest, &receipts)
    }
}

impl State {
    /// Whose word counts for what may lie in `regions`: a copy that lies elsewhere is none.
    fn standing_in(&self, regions: &Regions) -> Cow<'_, Standing> {
        if regions.is_all() {
            return Cow::Borrowed(&self.standing);
        }
        let mut standing = self.standing.clone();
        standing.retain(|peer| self.atlas.permits(regions, peer));
        Cow::Owned(standing)
    }

    fn verdict(&mut self, regions: &Regions, manifest: &Manifest, receipts: &[Receipt]) -> ObjectVerdict {
        receipts.iter().for_each(|receipt| self.standing.observe(receipt));
        let standing = self.standing_in(regions);
        let mut custody = ObjectCustody::new(manifest);
        for receipt in receipts {
            if let Err(error) = custody.insert(receipt, &standing) {
                tracing::debug!(%error, "a receipt does not count");
            }
        }
        custody.verdict(&standing)
    }
}

/// Whether `head` lies in the log as it is here.
fn is_ours(connection: &Connection, log: &LogId, head: &Head) -> Result<bool, Error> {
    let id: Option<Vec<u8>> = connection
        .prepare_cached("SELECT id FROM entries WHERE log = ?1 AND seq = ?2")?
        .query_row(params![log.as_bytes(), head.seq], |row| row.get(0))
        .optional()?;
    Ok(id.and_then(|id| EntryId::try_from(id.as_slice()).ok()) == Some(head.entry))
}

/// Keeps a receipt for a log, if it says more than the one kept of the same holder.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn keep_log(connection: &Connection, signed: &Signed) -> Result<(), Error> {
    // Others are kept with the manifest they are counted by.
    let Held::Log { log, head, .. } = signed.receipt.held else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO receipts (log, holder, keeps, seq, signed) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (log, holder, keeps) DO UPDATE SET seq = excluded.seq, signed = excluded.signed
             WHERE excluded.seq >= seq",
        )?
        .execute(params![
            log.as_bytes(),
            signed.receipt.holder.as_bytes(),
            signed.receipt.promise == Promise::Keeps,
            head.seq,
            signed.bytes
        ])?;
    Ok(())
}

/// The manifest of a chunk, if it is known.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn manifest(connection: &Connection, object: &ObjectId) -> Result<Option<Manifest>, Error> {
    let manifest: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT manifest FROM objects WHERE object = ?1")?
        .query_row([object.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(manifest.flatten().map(|bytes| Manifest::from_bytes(&bytes)).transpose()?)
}

/// Keeps the receipts for an object, under its id, whatever the coding is called that they are for; those of another coding
/// than it had before take their place.
///
/// # Errors
/// [`Error`] if the database refuses.
pub fn keep_put(
    connection: &Connection,
    before: Option<&Manifest>,
    manifest: &Manifest,
    receipts: &[Signed],
) -> Result<(), Error> {
    let object = manifest.object();
    if before.is_some_and(|before| before.coding() != manifest.coding()) {
        connection
            .prepare_cached("DELETE FROM shard_receipts WHERE object = ?1")?
            .execute([object.as_bytes()])?;
    }
    for signed in receipts {
        match signed.receipt.held {
            Held::Shard { index, .. } => keep_shard(connection, &object, i64::from(index), signed)?,
            Held::Object { .. } => keep_shard(connection, &object, WHOLE, signed)?,
            Held::Log { .. } => {}
        }
    }
    Ok(())
}

/// The shard number under which a receipt for a whole object is kept.
const WHOLE: i64 = -1;

fn keep_shard(connection: &Connection, object: &ObjectId, shard: i64, signed: &Signed) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO shard_receipts (object, shard, holder, signed) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![object.as_bytes(), shard, signed.receipt.holder.as_bytes(), signed.bytes])?;
    Ok(())
}
