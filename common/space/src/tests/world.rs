//! A space in the making: devices with keys, and entries that go through admission like any other.

use cosmic_common::{
    heads::{Head, Heads},
    id::{ChannelId, EntryId, Hash, Incarnation, SpaceId, WriterId},
    record::Record,
    time::HybridTime,
};
use cosmic_identity::key::SecretKey;
use cosmic_log::{
    chain::{Draft, LogState, append, open_log},
    entry::Entry,
    kind::Kind,
    open::Open,
};

use crate::{
    admission::{Verdict, admit},
    delegation::{Bearer, Caveats, Delegation},
    genesis::{Genesis, Policy},
    membership::{Inserted, Membership},
    record::{MembershipRecord, Revocation},
    refusal::Refusal,
    rights::{Channels, Rights},
};

pub(super) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub(super) fn genesis(root: &SecretKey) -> Genesis {
    Genesis { root: root.writer_id(), nonce: [9; 16], policy: Policy::default() }
}

/// One log of one device.
pub(super) struct Pen {
    pub(super) key: SecretKey,
    pub(super) state: LogState,
}

impl Pen {
    pub(super) fn open(
        space: SpaceId,
        channel: ChannelId,
        key: &SecretKey,
        life: u8,
        delegation: Option<EntryId>,
    ) -> (Self, Entry) {
        let incarnation = Incarnation::from_bytes([life; 16]);
        let open = Open { space, writer: key.writer_id(), channel, incarnation, delegation };
        let (state, entry) = open_log(open, HybridTime::default(), key).unwrap();
        (Self { key: key.clone(), state }, entry)
    }

    pub(super) fn write(&mut self, kind: Kind, body: Vec<u8>, after: &[EntryId]) -> Entry {
        let entry = self.draft(kind, body, after);
        self.state.extend(&entry);
        entry
    }

    pub(super) fn draft(&self, kind: Kind, body: Vec<u8>, after: &[EntryId]) -> Entry {
        let mut draft = Draft::new(kind, HybridTime::default());
        draft.dependencies = after.to_vec();
        draft.epoch = kind.is_sealed().then(|| cosmic_common::id::EpochId::from_bytes([3; 32]));
        append(&self.state, draft, &self.key, |_core| body).unwrap()
    }

    pub(super) fn writer(&self) -> WriterId {
        self.key.writer_id()
    }

    pub(super) fn head(&self) -> (cosmic_common::id::LogId, Head) {
        (self.state.open().log_id(), self.state.head())
    }
}

/// A membership that every entry enters through admission, and the entries in the order they came.
pub(super) struct World {
    pub(super) space: SpaceId,
    pub(super) membership: Membership,
    pub(super) entries: Vec<Entry>,
    pub(super) root: Pen,
}

impl World {
    pub(super) fn new() -> Self {
        let root = key(1);
        let genesis = genesis(&root);
        let space = genesis.space_id();
        let mut membership = Membership::new(space);
        let (mut pen, open) = Pen::open(space, membership.channel(), &root, 1, None);
        let founding = pen.write(Kind::Membership, MembershipRecord::Genesis(genesis).to_bytes(), &[]);
        let batch = vec![open, founding];
        membership.learn(&batch);
        let mut state = None;
        for entry in &batch {
            let Verdict::Admit(next) = admit(&membership, state.as_ref(), entry) else {
                panic!("the founding entries are admitted")
            };
            state = Some(next);
            assert_eq!(membership.insert(entry).unwrap(), Inserted::New);
        }
        Self { space, membership, entries: batch, root: pen }
    }

    pub(super) fn delegation(
        &self,
        audience: WriterId,
        rights: Rights,
        parent: Option<EntryId>,
    ) -> Delegation {
        Delegation {
            space: self.space,
            rights,
            channels: Channels::All,
            audience,
            bearer: Bearer::Member,
            kem_hash: Some(Hash::from_bytes([4; 32])),
            caveats: Caveats::default(),
            parent,
        }
    }

    /// Puts an entry in, as a replica does.
    pub(super) fn take(&mut self, entry: Entry) -> Result<EntryId, Refusal> {
        self.membership.insert(&entry)?;
        let id = entry.id();
        self.entries.push(entry);
        Ok(id)
    }

    /// Writes a record with `pen` and puts it in.
    pub(super) fn say(
        &mut self,
        pen: &mut Pen,
        record: &MembershipRecord,
        after: &[EntryId],
    ) -> Result<EntryId, Refusal> {
        let entry = pen.write(Kind::Membership, record.to_bytes(), after);
        self.take(entry)
    }

    pub(super) fn say_as_root(&mut self, record: &MembershipRecord, after: &[EntryId]) -> EntryId {
        let entry = self.root.write(Kind::Membership, record.to_bytes(), after);
        self.take(entry).unwrap()
    }

    /// The root gives `rights` to the key `n`, which opens its membership log.
    pub(super) fn invite(&mut self, n: u8, rights: Rights) -> (Pen, EntryId) {
        let delegation = self.delegation(key(n).writer_id(), rights, None);
        let id = self.say_as_root(&MembershipRecord::Delegation(delegation), &[]);
        (self.join(n, id), id)
    }

    pub(super) fn join(&mut self, n: u8, delegation: EntryId) -> Pen {
        let (pen, open) = Pen::open(self.space, self.membership.channel(), &key(n), 1, Some(delegation));
        self.take(open).unwrap();
        pen
    }

    /// `giver`, who holds `parent`, gives `rights` to the key `n`, which opens its membership log.
    pub(super) fn pass_on(
        &mut self,
        giver: &mut Pen,
        parent: EntryId,
        n: u8,
        rights: Rights,
    ) -> (Pen, EntryId) {
        let delegation = self.delegation(key(n).writer_id(), rights, Some(parent));
        let id = self.say(giver, &MembershipRecord::Delegation(delegation), &[]).unwrap();
        (self.join(n, id), id)
    }

    pub(super) fn stands(&self, delegation: &EntryId) -> bool {
        let audience = self.membership.delegation(delegation).unwrap().audience;
        self.membership.standing_delegation(delegation, &audience).is_ok()
    }
}

pub(super) fn revocation(target: EntryId, cut: &[(cosmic_common::id::LogId, Head)]) -> MembershipRecord {
    MembershipRecord::Revocation(Revocation { target, cut: cut.iter().copied().collect::<Heads>() })
}
