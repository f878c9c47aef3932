//! One space in the writer's memory: its keys, membership and logs, read from the database when first needed.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    heads::{Head, Heads},
    id::{ChannelId, EntryId, EpochId, LogId, SpaceId},
    record::Record as _,
    time::HybridTime,
};
use cosmic_identity::key::SecretKey;
use cosmic_log::{chain::LogState, entry::Entry, open::Open};
use cosmic_seal::{
    kem::KemSecret,
    secret::{EpochSecret, SpaceSecrets},
};
use cosmic_space::{genesis::membership_channel, membership::Membership};
use rusqlite::{Connection, OptionalExtension as _, params};
use zeroize::Zeroizing;

use crate::{device::Device, error::Error};

/// A space as the writer knows it.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) id: SpaceId,
    pub(crate) writer: SecretKey,
    pub(crate) kem: KemSecret,
    pub(crate) membership: Membership,
    /// Absent while a ticket's copy of them has not arrived.
    pub(crate) secrets: Option<SpaceSecrets>,
    pub(crate) epochs: BTreeMap<EpochId, EpochSecret>,
    /// The entry with this device's delegation; none for the root, and while a ticket is not redeemed.
    pub(crate) delegation: Option<EntryId>,
    /// The ticket this device joins by, until it is redeemed.
    pub(crate) ticket: Option<Zeroizing<String>>,
    pub(crate) logs: BTreeMap<LogId, LogState>,
    /// The logs this run writes, by channel.
    pub(crate) mine: BTreeMap<ChannelId, LogId>,
    /// What the last entry of each log this run writes already depends on.
    pub(crate) covered: BTreeMap<LogId, Covered>,
    /// Logs with entries that wait for others.
    pub(crate) waiting: BTreeSet<LogId>,
    /// Snapshots that were held against what is here, and are to be acknowledged, by channel.
    pub(crate) verified: BTreeMap<ChannelId, Vec<EntryId>>,
    /// Entries of each channel since it was last looked at for a snapshot.
    pub(crate) grown: BTreeMap<ChannelId, u64>,
    /// Bytes of pending changes.
    pub(crate) pending_bytes: usize,
    pub(crate) time: HybridTime,
}

/// What a log's last entry depends on, so that the next one names only what is new.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    pub(crate) heads: BTreeMap<LogId, u64>,
    pub(crate) membership: Vec<EntryId>,
}

struct Row {
    writer_reference: Vec<u8>,
    constant: Option<Vec<u8>>,
    delegation: Option<Vec<u8>>,
    ticket: Option<String>,
}

impl Space {
    /// Reads a space.
    ///
    /// # Errors
    /// [`Error::NoSpace`] if this device is no member of it.
    pub(crate) fn load(connection: &Connection, device: &Device, id: &SpaceId) -> Result<Self, Error> {
        let row = connection
            .query_row(
                "SELECT writer_reference, constant, delegation, ticket FROM spaces WHERE space = ?1",
                [id.as_bytes()],
                |row| {
                    Ok(Row {
                        writer_reference: row.get(0)?,
                        constant: row.get(1)?,
                        delegation: row.get(2)?,
                        ticket: row.get(3)?,
                    })
                },
            )
            .optional()?
            .ok_or(Error::NoSpace { space: id.to_string() })?;
        let delegation = row.delegation.map(|bytes| EntryId::try_from(bytes.as_slice())).transpose()?;
        let mut space = Self::empty(device, *id, &row.writer_reference);
        space.delegation = delegation;
        space.ticket = row.ticket.map(Zeroizing::new);
        space.secrets = row.constant.and_then(secret_bytes).map(SpaceSecrets::from_bytes);
        space.read_logs(connection)?;
        space.membership = Membership::restore(*id, &membership_entries(connection, id)?)?;
        space.read_epochs(connection)?;
        space.read_growth(connection)?;
        space.pending_bytes = connection.query_row(
            "SELECT coalesce(sum(length(content)), 0) FROM pending WHERE space = ?1",
            [id.as_bytes()],
            |row| row.get(0),
        )?;
        Ok(space)
    }

    /// A space of which nothing is known but who this device is in it.
    pub(crate) fn empty(device: &Device, id: SpaceId, writer_reference: &[u8]) -> Self {
        Self {
            id,
            writer: device.writer_key(writer_reference),
            kem: device.kem_secret(&id),
            membership: Membership::new(id),
            secrets: None,
            epochs: BTreeMap::new(),
            delegation: None,
            ticket: None,
            logs: BTreeMap::new(),
            mine: BTreeMap::new(),
            covered: BTreeMap::new(),
            waiting: BTreeSet::new(),
            verified: BTreeMap::new(),
            grown: BTreeMap::new(),
            pending_bytes: 0,
            time: HybridTime::default(),
        }
    }

    fn read_logs(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut statement = connection.prepare("SELECT open, seq, head FROM logs WHERE space = ?1")?;
        let mut rows = statement.query([self.id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let open = Open::from_bytes(row.get_ref(0)?.as_blob()?)?;
            let head = Head { seq: row.get(1)?, entry: EntryId::try_from(row.get_ref(2)?.as_blob()?)? };
            self.logs.insert(open.log_id(), LogState::restore(open, head));
        }
        let mut statement = connection.prepare(
            "SELECT DISTINCT entries.log FROM entries JOIN logs ON logs.log = entries.log WHERE applied = 0 AND space = ?1",
        )?;
        let mut rows = statement.query([self.id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            self.waiting.insert(LogId::try_from(row.get_ref(0)?.as_blob()?)?);
        }
        Ok(())
    }

    fn read_epochs(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut statement = connection.prepare("SELECT epoch, secret FROM epochs WHERE space = ?1")?;
        let mut rows = statement.query([self.id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let epoch = EpochId::try_from(row.get_ref(0)?.as_blob()?)?;
            if let Some(secret) = secret_bytes(row.get(1)?) {
                self.epochs.insert(epoch, EpochSecret::from_bytes(secret));
            }
        }
        Ok(())
    }

    /// The channel of the membership.
    pub(crate) fn membership_channel(&self) -> ChannelId {
        membership_channel(&self.id)
    }

    /// The secrets of the space.
    ///
    /// # Errors
    /// [`Error::NotYet`] while the ticket has not been redeemed.
    pub(crate) fn secrets(&self) -> Result<&SpaceSecrets, Error> {
        self.secrets.as_ref().ok_or(Error::NotYet { space: self.id.short() })
    }

    /// The epoch to seal with: the newest whose secret is here, by the one that no other follows.
    ///
    /// # Errors
    /// [`Error::NotYet`] while no secret is here.
    pub(crate) fn current_epoch(&self) -> Result<(EpochId, EpochSecret), Error> {
        let epochs = self.membership.epochs();
        let followed: BTreeSet<EpochId> =
            epochs.iter().flat_map(|epoch| epoch.record.parents.iter().copied()).collect();
        epochs
            .iter()
            .filter(|epoch| !followed.contains(&epoch.id))
            .find_map(|epoch| Some((epoch.id, self.epochs.get(&epoch.id)?.clone())))
            .ok_or(Error::NotYet { space: self.id.short() })
    }

    /// The heads of every log by channel.
    pub(crate) fn heads(&self) -> BTreeMap<ChannelId, Heads> {
        let mut channels: BTreeMap<ChannelId, Heads> = BTreeMap::new();
        for (log, state) in &self.logs {
            channels.entry(state.open().channel).or_default().insert(*log, state.head());
        }
        channels
    }
}

/// All membership entries of a space, in the order they came.
pub(crate) fn membership_entries(connection: &Connection, space: &SpaceId) -> Result<Vec<Entry>, Error> {
    let mut statement = connection.prepare(
        "SELECT bytes FROM entries JOIN logs ON logs.log = entries.log WHERE space = ?1 AND channel = ?2 ORDER BY number",
    )?;
    let channel = membership_channel(space);
    let mut rows = statement.query(params![space.as_bytes(), channel.as_bytes()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(Entry::from_bytes(row.get_ref(0)?.as_blob()?)?);
    }
    Ok(entries)
}

fn secret_bytes(bytes: Vec<u8>) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(bytes);
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
}
