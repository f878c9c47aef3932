//! Reading one entry: what it says, and whether its writer was ever in a position to say it.
//!
//! Each check here looks only at the entry and at entries it names by their hash. So whatever is
//! refused is refused by every replica, in whatever order things arrive.

use std::collections::BTreeSet;

use cosmic_common::{
    id::{EntryId, WriterId},
    limit::DELEGATION_DEPTH_MAX,
    record::Record as _,
};
use cosmic_log::{chain, entry::Entry, kind::Kind, open::Open};

use super::{Act, Granted, Log, Membership, Node};
use crate::{
    delegation::Delegation,
    genesis::Genesis,
    record::{COPY_SEALED_MAX_BYTES, CopyRecord, EpochRecord, MembershipRecord, kem_hash},
    refusal::{Missing, Refusal},
    rights::Right,
};

impl Membership {
    /// Checks that `open` may open a log: in the membership channel under any delegation to its
    /// writer, elsewhere under one that gives the right to write there.
    pub(crate) fn check_open(&self, open: &Open) -> Result<(), Refusal> {
        if open.space != self.space {
            return Err(Refusal::OtherSpace);
        }
        let Some(id) = open.delegation else {
            return self.check_root(&open.writer, None);
        };
        let delegation = self.delegation(&id).ok_or(Missing::Delegation(id))?;
        if delegation.audience != open.writer {
            return Err(Refusal::NotAudience { writer: open.writer });
        }
        let writes = delegation.own_rights().has(Right::Write) && delegation.channels.reach(&open.channel);
        if open.channel == self.channel || writes {
            Ok(())
        } else {
            Err(Refusal::Lacks { right: Right::Write })
        }
    }

    pub(super) fn read_open(&self, entry: &Entry) -> Result<Open, Refusal> {
        let body = entry.body().ok_or(Refusal::BodyMissing { kind: entry.core().kind })?;
        let open = Open::from_bytes(body)?;
        if open.log_id() != entry.core().log {
            return Err(chain::Refusal::OtherLog.into());
        }
        if open.channel != self.channel {
            return Err(Refusal::Kind { kind: Kind::Membership, channel: open.channel });
        }
        self.check_open(&open)?;
        Ok(open)
    }

    /// Checks that a later entry of a log of `writer` says nothing that it must not.
    pub(crate) fn check_entry(&self, entry: &Entry, writer: WriterId) -> Result<(), Refusal> {
        self.read(entry, writer).map(drop)
    }

    /// What a later entry of a log of `writer` does.
    pub(super) fn read(&self, entry: &Entry, writer: WriterId) -> Result<Act, Refusal> {
        let kind = entry.core().kind;
        let body = || entry.body().ok_or(Refusal::BodyMissing { kind });
        match kind {
            Kind::Acknowledgement => Ok(Act::Presence),
            Kind::Membership => self.read_record(entry, writer, MembershipRecord::from_bytes(body()?)?),
            Kind::Epoch => {
                let record = EpochRecord::from_bytes(body()?)?;
                record.check()?;
                Ok(Act::Epoch(record))
            }
            // The body of a copy may be dropped for good; nobody can be given it then.
            Kind::Copy => entry.body().map_or(Ok(Act::Presence), |body| {
                let copy = CopyRecord::from_bytes(body)?;
                if copy.sealed.len() > COPY_SEALED_MAX_BYTES {
                    return Err(Refusal::OutOfBounds { record: CopyRecord::NAME, field: "sealed" });
                }
                Ok(Act::Copy { epoch: copy.epoch, recipient: copy.recipient })
            }),
            Kind::Open => Err(chain::Refusal::Opening.into()),
            Kind::Change | Kind::Snapshot | Kind::File | Kind::Tombstone => {
                Err(Refusal::Kind { kind, channel: self.channel })
            }
        }
    }

    fn read_record(&self, entry: &Entry, writer: WriterId, record: MembershipRecord) -> Result<Act, Refusal> {
        record.check()?;
        match record {
            MembershipRecord::Genesis(genesis) => self.read_genesis(entry, writer, &genesis),
            MembershipRecord::Delegation(delegation) => {
                self.check_delegation(&delegation, writer)?;
                Ok(Act::Delegation(Box::new(delegation)))
            }
            MembershipRecord::Revocation(revocation) => Ok(Act::Revocation(revocation)),
            MembershipRecord::KemKey(key) => Ok(Act::KemKey(kem_hash(&key))),
            MembershipRecord::ForkProof(open, proof) => {
                if open.space != self.space {
                    return Err(Refusal::OtherSpace);
                }
                let fork = proof.verify(&open.writer)?;
                if fork.log != open.log_id() {
                    return Err(chain::Refusal::OtherLog.into());
                }
                Ok(Act::Fork(fork))
            }
        }
    }

    fn read_genesis(&self, entry: &Entry, writer: WriterId, genesis: &Genesis) -> Result<Act, Refusal> {
        if !self.founds(genesis) {
            return Err(Refusal::OtherSpace);
        }
        if genesis.root != writer {
            return Err(Refusal::NotRoot { writer });
        }
        if entry.core().seq != 1 {
            return Err(Refusal::GenesisPlace);
        }
        Ok(Act::Presence)
    }

    fn check_delegation(&self, delegation: &Delegation, writer: WriterId) -> Result<(), Refusal> {
        if delegation.space != self.space {
            return Err(Refusal::OtherSpace);
        }
        let Some(id) = delegation.parent else {
            return self.check_root(&writer, None);
        };
        let parent = self.delegation(&id).ok_or(Missing::Delegation(id))?;
        if parent.audience != writer {
            return Err(Refusal::NotAudience { writer });
        }
        if self.depth(Some(id)) >= DELEGATION_DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        delegation.check_within(parent)
    }

    /// Links between a delegation and the root; 0 for the root itself.
    pub(super) fn depth(&self, delegation: Option<EntryId>) -> usize {
        delegation.and_then(|id| self.delegations.get(&id)).map_or(0, |granted| granted.depth)
    }

    /// Takes the entry in: from here on nothing can be refused.
    pub(super) fn add(&mut self, entry: &Entry, writer: WriterId, act: Act) {
        let (id, core) = (entry.id(), entry.core());
        let node = self.nodes.len();
        match &act {
            Act::Presence => {}
            Act::Delegation(delegation) => {
                let depth = self.depth(delegation.parent) + 1;
                self.delegations.insert(id, Granted { node, depth });
                self.by_audience.entry(delegation.audience).or_default().push(id);
            }
            Act::Revocation(_) => self.revocations.push(node),
            Act::KemKey(_) => self.kem_keys.entry(writer).or_default().push(node),
            Act::Fork(fork) => {
                let place = self.forks.entry(fork.log).or_default().entry(fork.seq).or_default();
                place.extend([(fork.counts, fork.counts_follows), (fork.aside, fork.aside_follows)]);
            }
            Act::Epoch(_) => self.epochs.push(node),
            Act::Copy { recipient, .. } => self.copies.entry(*recipient).or_default().push(node),
        }
        let log = self.logs.entry(core.log).or_insert_with(|| Log { writer, places: Default::default() });
        let place = log.places.entry(core.seq).or_default();
        if let Some(other) = place.first().and_then(|other| self.nodes.get(*other)) {
            self.contested
                .entry((core.log, core.seq))
                .or_insert_with(|| BTreeSet::from([other.id]))
                .insert(id);
        }
        place.push(node);
        self.index.insert(id, node);
        self.nodes.push(Node {
            id,
            log: core.log,
            seq: core.seq,
            writer,
            previous: core.previous,
            dependencies: core.dependencies.clone(),
            act,
        });
        if let Some(mut verdicts) = self.verdicts.take()
            && verdicts.extend(self)
        {
            self.verdicts = verdicts.into();
        }
    }
}
