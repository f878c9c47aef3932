//! Spaces of this device: create, invite, join by ticket, redeem the ticket, leave.

use std::collections::BTreeMap;

use cosmic_common::{
    address::Address,
    id::{EntryId, PeerId, SpaceId, WriterId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_identity::key::SecretKey;
use cosmic_log::{
    chain::{Draft, LogState, append, open_log},
    entry::Entry,
    kind::Kind,
    open::Open,
};
use cosmic_ring::Label;
use cosmic_seal::{
    epoch::{Secrets, copy_for, new_epoch},
    kem::{KemPublic, KemSecret},
    secret::SpaceSecrets,
};
use cosmic_space::{
    delegation::{Bearer, Caveats, Delegation},
    genesis::{Genesis, Policy, REGIONS_MAX},
    membership::Membership,
    record::MembershipRecord,
    rights::{Channels, Right, Role},
    ticket::Ticket,
};
use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use crate::{
    core::{Core, append::NewEntry, space::Space},
    documents::store::check_name,
    error::Error,
    event::Event,
};

#[cfg(test)]
mod tests;

/// Where peers of a space may be found, as a ticket told.
pub type Peers = Vec<(PeerId, Vec<Address>)>;

/// Randomness for one act; rules have none of their own.
#[derive(Debug)]
pub struct Seeds {
    /// For what is made once.
    pub first: Zeroizing<[u8; 32]>,
    /// For what is sealed.
    pub second: Zeroizing<[u8; 32]>,
    /// For the epoch.
    pub third: Zeroizing<[u8; 32]>,
}

impl Seeds {
    /// Fresh seeds from the operating system.
    #[must_use]
    pub fn random() -> Self {
        let seed = || Zeroizing::new(cosmic_runtime::random::seed());
        Self { first: seed(), second: seed(), third: seed() }
    }
}

/// What an invitation allows.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// What the invited may do.
    pub role: Role,
    /// When the ticket ends.
    pub expires: Option<Timestamp>,
    /// Where the space may be found.
    pub peers: Peers,
}

/// Whether regions can have these names, and a genesis names so many.
fn check_regions(regions: &[String]) -> Result<(), Error> {
    if regions.len() > REGIONS_MAX {
        return Err(Error::Regions { found: regions.len() });
    }
    match regions.iter().find(|region| region.parse::<Label>().is_err()) {
        Some(region) => Err(Error::Region { region: region.clone() }),
        None => Ok(()),
    }
}

impl Core {
    /// Makes a space with this device as its root.
    ///
    /// # Errors
    /// [`Error`] if the name is unusable or the database refuses.
    pub fn create_space(
        &mut self,
        connection: &Connection,
        name: &str,
        seeds: &Seeds,
    ) -> Result<SpaceId, Error> {
        self.create_space_in(connection, name, Vec::new(), seeds)
    }

    /// The same; its data may lie in `regions` alone, or everywhere if there are none.
    ///
    /// # Errors
    /// [`Error::Region`] if no region can have one of the names, and as [`Core::create_space`].
    pub fn create_space_in(
        &mut self,
        connection: &Connection,
        name: &str,
        mut regions: Vec<String>,
        seeds: &Seeds,
    ) -> Result<SpaceId, Error> {
        check_name("a space's name", name)?;
        regions.sort_unstable();
        regions.dedup();
        check_regions(&regions)?;
        let nonce = <[u8; 16]>::try_from(seeds.first.get(..16).unwrap_or_default()).unwrap_or_default();
        let writer = self.context.device.writer_key(&nonce);
        let genesis =
            Genesis { root: writer.writer_id(), nonce, policy: Policy { regions, ..Policy::default() } };
        let id = genesis.space_id();
        let secrets = SpaceSecrets::new(&seeds.second);
        insert_row(
            self,
            connection,
            &id,
            NewRow { name, writer_reference: &nonce, ticket: None, peers: &[] },
        )?;
        connection.execute(
            "UPDATE spaces SET constant = ?2 WHERE space = ?1",
            params![id.as_bytes(), secrets.as_bytes()],
        )?;
        let mut space = Space::empty(&self.context.device, id, &nonce);
        space.membership.found(&genesis)?;
        space.secrets = Some(secrets.clone());
        space.add_record(self, connection, &MembershipRecord::Genesis(genesis))?;
        let kem = space.kem.public().to_bytes();
        space.add_record(self, connection, &MembershipRecord::KemKey(kem))?;

        let (record, epoch) = new_epoch(&id, &secrets, Vec::new(), &seeds.third);
        space.add_clear(self, connection, Kind::Epoch, record.to_bytes())?;
        connection.execute(
            "INSERT INTO epochs (space, epoch, secret) VALUES (?1, ?2, ?3)",
            params![id.as_bytes(), record.id().as_bytes(), epoch.as_bytes()],
        )?;
        space.epochs.insert(record.id(), epoch.clone());
        let secrets = Secrets { space: secrets, epoch };
        let copy = copy_for(space.kem.public(), &id, &record, &secrets, &seeds.third)?;
        space.add_clear(self, connection, Kind::Copy, copy.to_bytes())?;
        self.keep(space);
        self.tell(Event::Spaces);
        Ok(id)
    }

    /// Delegates to the key of a new ticket and seals the space's secrets to it.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if this device may not invite, [`Error::Role`] if the role cannot be given.
    pub fn invite(
        &mut self,
        connection: &Connection,
        id: &SpaceId,
        invitation: Invitation,
        seeds: &Seeds,
    ) -> Result<Ticket, Error> {
        let Invitation { role, expires, peers } = invitation;
        if role == Role::Owner {
            return Err(Error::Role { role: role.to_string() });
        }
        let ticket = Ticket::new(*id, &seeds.first, peers)?;
        let kem = KemSecret::from_seed(&ticket.kem_seed());
        self.with_space(connection, id, |core, space| {
            let channel = space.membership_channel();
            space
                .membership
                .may(&space.writer.writer_id(), Right::Invite, &channel)
                .map_err(Error::NotAllowed)?;
            space.may_invite()?;
            let delegation = Delegation {
                space: *id,
                rights: role.rights(),
                channels: Channels::All,
                audience: ticket.signing_key().writer_id(),
                bearer: Bearer::Ticket,
                kem_hash: Some(kem.public().hash()),
                caveats: Caveats { expires, max_bytes: None },
                parent: space.delegation,
            };
            space.add_record(core, connection, &MembershipRecord::Delegation(delegation))?;
            for copy in space.copies(kem.public(), &seeds.second)? {
                space.add_clear(core, connection, Kind::Copy, copy)?;
            }
            Ok(())
        })?;
        Ok(ticket)
    }

    /// Notes that this device joins by `ticket`; the rest happens when the space's membership arrives.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn join_space(&mut self, connection: &Connection, ticket: &Ticket) -> Result<SpaceId, Error> {
        let id = ticket.space();
        if self.take(connection, &id).map(|space| self.keep(space)).is_ok() {
            return Ok(id);
        }
        let text = ticket.to_text();
        let row = NewRow {
            name: &format!("joined {}", id.short()),
            writer_reference: id.as_bytes(),
            ticket: Some(&text),
            peers: ticket.peers(),
        };
        insert_row(self, connection, &id, row)?;
        self.tell(Event::Spaces);
        Ok(id)
    }

    /// Forgets a space on this device: keys, entries, documents, files.
    ///
    /// # Errors
    /// [`Error::NoSpace`] if it is not here.
    pub fn leave_space(&mut self, connection: &Connection, id: &SpaceId) -> Result<(), Error> {
        let space = self.take(connection, id)?;
        drop(space);
        let of_logs = "(SELECT log FROM logs WHERE space = ?1)";
        let of_objects = "(SELECT object FROM objects WHERE space = ?1)";
        for statement in [
            "DELETE FROM covers WHERE snapshot IN (SELECT snapshot FROM snapshots WHERE space = ?1)"
                .to_owned(),
            format!("DELETE FROM acknowledged WHERE log IN {of_logs}"),
            format!("DELETE FROM entries WHERE log IN {of_logs}"),
            format!(
                "DELETE FROM shard_receipts WHERE object IN (SELECT object FROM packs WHERE log IN {of_logs})"
            ),
            format!("DELETE FROM packs WHERE log IN {of_logs}"),
            format!("DELETE FROM receipts WHERE log IN {of_logs}"),
            format!("DELETE FROM forks WHERE log IN {of_logs}"),
            format!("DELETE FROM shard_receipts WHERE object IN {of_objects}"),
        ] {
            connection.execute(&statement, [id.as_bytes()])?;
        }
        for table in [
            "logs",
            "snapshots",
            "looked",
            "wanted",
            "pending",
            "documents",
            "events",
            "files",
            "objects",
            "channels",
            "epochs",
            "spaces",
        ] {
            connection.execute(&format!("DELETE FROM {table} WHERE space = ?1"), [id.as_bytes()])?;
        }
        self.forget(id);
        self.tell(Event::Spaces);
        Ok(())
    }
}

struct NewRow<'a> {
    name: &'a str,
    writer_reference: &'a [u8],
    ticket: Option<&'a str>,
    peers: &'a [(PeerId, Vec<Address>)],
}

fn insert_row(core: &Core, connection: &Connection, id: &SpaceId, row: NewRow<'_>) -> Result<(), Error> {
    let peers: BTreeMap<String, &Vec<Address>> =
        row.peers.iter().map(|(peer, addresses)| (peer.to_string(), addresses)).collect();
    let peers = serde_json::to_string(&peers).unwrap_or_else(|_error| "{}".to_owned());
    let created = i64::try_from(core.now().unix_ms()).unwrap_or(i64::MAX);
    connection.execute(
        "INSERT INTO spaces (space, name, writer_reference, ticket, peers, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![id.as_bytes(), row.name, row.writer_reference, row.ticket, peers, created],
    )?;
    Ok(())
}

impl Space {
    fn add_record(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        record: &MembershipRecord,
    ) -> Result<Entry, Error> {
        self.add_clear(core, connection, Kind::Membership, record.to_bytes())
    }

    fn add_clear(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        kind: Kind,
        body: Vec<u8>,
    ) -> Result<Entry, Error> {
        let channel = self.membership_channel();
        self.append(core, connection, channel, NewEntry::clear(kind), |_core, _bytes| Ok(body))
    }

    /// The root may invite; others need the right in their own delegation.
    fn may_invite(&self) -> Result<(), Error> {
        let Some(delegation) = self.delegation.and_then(|entry| self.membership.delegation(&entry)) else {
            return Ok(());
        };
        if delegation.own_rights().has(Right::Invite) {
            return Ok(());
        }
        Err(Error::NotAllowed(cosmic_space::refusal::Refusal::Lacks { right: Right::Invite }))
    }

    /// A copy of every epoch known here for `recipient`.
    fn copies(&self, recipient: &KemPublic, seed: &[u8; 32]) -> Result<Vec<Vec<u8>>, Error> {
        let mut copies = Vec::new();
        for epoch in self.membership.epochs() {
            let Some(secret) = self.epochs.get(&epoch.id) else { continue };
            let secrets = Secrets { space: self.secrets()?.clone(), epoch: secret.clone() };
            copies.push(copy_for(recipient, &self.id, &epoch.record, &secrets, seed)?.to_bytes());
        }
        Ok(copies)
    }

    /// The key-agreement key of the ticket this device joins by.
    pub(crate) fn ticket_kem(&self) -> Result<Option<KemSecret>, Error> {
        let Some(text) = &self.ticket else { return Ok(None) };
        let ticket: Ticket = text.parse()?;
        Ok(Some(KemSecret::from_seed(&ticket.kem_seed())))
    }

    /// Once the ticket's copy is opened: the ticket's key delegates to this device's writer key and seals the
    /// secrets to its key-agreement key, in a membership log of its own; then the ticket is no longer needed.
    pub(crate) fn redeem(&mut self, core: &mut Core, connection: &Connection) -> Result<(), Error> {
        let Some(text) = self.ticket.clone().filter(|_| self.secrets.is_some()) else { return Ok(()) };
        let ticket: Ticket = text.parse()?;
        let key = ticket.signing_key();
        let Some(invitation) = standing(&self.membership, &key.writer_id()) else { return Ok(()) };
        let mine = Delegation {
            audience: self.writer.writer_id(),
            bearer: Bearer::Member,
            kem_hash: Some(self.kem.public().hash()),
            caveats: Caveats::default(),
            parent: Some(invitation),
            ..self
                .membership
                .delegation(&invitation)
                .cloned()
                .ok_or(Error::NotYet { space: self.id.short() })?
        };
        let mut bodies = vec![(Kind::Membership, MembershipRecord::Delegation(mine).to_bytes())];
        let seed = Zeroizing::new(cosmic_runtime::random::seed());
        bodies.extend(self.copies(self.kem.public(), &seed)?.into_iter().map(|copy| (Kind::Copy, copy)));
        let delegation = self.write_ticket_log(core, connection, (&key, invitation), bodies)?;
        self.delegation = Some(delegation);
        self.ticket = None;
        connection.execute(
            "UPDATE spaces SET delegation = ?2, ticket = NULL WHERE space = ?1",
            params![self.id.as_bytes(), delegation.as_bytes()],
        )?;
        let kem = self.kem.public().to_bytes();
        self.add_record(core, connection, &MembershipRecord::KemKey(kem))?;
        core.tell(Event::Spaces);
        Ok(())
    }

    /// Opens a membership log of the ticket's key in this run and appends `bodies`; the id of the first.
    fn write_ticket_log(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        (key, invitation): (&SecretKey, EntryId),
        bodies: Vec<(Kind, Vec<u8>)>,
    ) -> Result<EntryId, Error> {
        let open = Open {
            space: self.id,
            writer: key.writer_id(),
            channel: self.membership_channel(),
            incarnation: core.context.device.incarnation(),
            delegation: Some(invitation),
        };
        let mut dependencies = self.membership.frontier();
        dependencies.truncate(cosmic_common::limit::DEPENDENCIES_MAX);
        self.time = self.time.tick(core.now());
        let (mut state, entry) = open_log(open, self.time, key)?;
        self.store(core, connection, state.clone(), &entry, true)?;
        let mut first = None;
        for (kind, body) in bodies {
            self.time = self.time.tick(core.now());
            let draft =
                Draft { dependencies: std::mem::take(&mut dependencies), ..Draft::new(kind, self.time) };
            let entry = append(&state, draft, key, |_core| body)?;
            state.extend(&entry);
            self.store(core, connection, LogState::clone(&state), &entry, true)?;
            first = first.or_else(|| Some(entry.id()));
        }
        first.ok_or(Error::NotYet { space: self.id.short() })
    }
}

/// A delegation to `key` that stands.
fn standing(membership: &Membership, key: &WriterId) -> Option<EntryId> {
    membership.members().find(|member| member.key == *key).and_then(|member| member.delegation)
}
