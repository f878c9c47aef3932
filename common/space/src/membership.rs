//! Membership: the set of a space's membership entries, and what follows from it.
//!
//! Two layers, kept apart:
//!
//! - What was *granted*: checked as each entry comes in, against entries it names by their hash. Once
//!   true it stays true, and it decides what is stored.
//! - What *stands*: `verdicts` looks at the whole set, with revocations, cuts and seniority. It is
//!   worked out when first asked for after an entry came in, and then looked up. While nothing was ever
//!   revoked or forked it grows with the set instead (10,000 entries: 15 ms to work out, 130 ns to ask).
//!
//! ```text
//!   entry --insert--> granted (grows)  --first question--> verdicts (forgotten when they may change)
//! ```

mod branches;
mod causality;
pub mod counting;
mod reading;
pub mod roster;
mod verdicts;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::OnceLock,
};

use cosmic_common::{
    heads::{Head, Heads},
    id::{ChannelId, EntryId, EpochId, Hash, LogId, SpaceId, WriterId},
    limit::DELEGATION_DEPTH_MAX,
    record::Record as _,
    time::Timestamp,
};
use cosmic_log::{chain, entry::Entry, fork::Fork, kind::Kind};

use self::verdicts::Verdicts;
use crate::{
    delegation::{Bearer, Caveats, Delegation},
    genesis::{Genesis, membership_channel},
    record::{EpochRecord, MembershipRecord, Revocation},
    refusal::{Missing, Refusal},
    rights::{Channels, Right, Rights},
};

/// What the set knows of one entry.
#[derive(Debug)]
struct Node {
    id: EntryId,
    log: LogId,
    seq: u64,
    writer: WriterId,
    previous: Option<EntryId>,
    dependencies: Vec<EntryId>,
    act: Act,
}

/// What an entry does; [`Membership::insert`] has checked its form.
#[derive(Debug)]
enum Act {
    /// It opens a log or acknowledges: present, and nothing more.
    Presence,
    Delegation(Box<Delegation>),
    Revocation(Revocation),
    KemKey(Hash),
    Fork(Fork),
    Epoch(EpochRecord),
    Copy {
        epoch: EpochId,
        recipient: Hash,
    },
}

/// One log of the membership channel.
#[derive(Debug)]
struct Log {
    writer: WriterId,
    /// The entries by sequence number; more than one only where the log forked.
    places: BTreeMap<u64, Vec<usize>>,
}

/// A delegation in the set, checked against its whole chain.
#[derive(Debug, Clone, Copy)]
struct Granted {
    /// The node that carries it.
    node: usize,
    /// Links between it and the root; 1 if the root gave it.
    depth: usize,
}

/// Whether an entry was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is now part of the set.
    New,
    /// It already was.
    Known,
}

/// The membership entries of one space and what follows from them.
pub struct Membership {
    space: SpaceId,
    channel: ChannelId,
    genesis: Option<Genesis>,
    nodes: Vec<Node>,
    index: BTreeMap<EntryId, usize>,
    logs: BTreeMap<LogId, Log>,
    delegations: BTreeMap<EntryId, Granted>,
    by_audience: BTreeMap<WriterId, Vec<EntryId>>,
    revocations: Vec<usize>,
    epochs: Vec<usize>,
    copies: BTreeMap<Hash, Vec<usize>>,
    kem_keys: BTreeMap<WriterId, Vec<usize>>,
    /// Places in membership logs with more than one entry, as seen here or proven.
    contested: BTreeMap<(LogId, u64), BTreeSet<EntryId>>,
    /// Proven forks of any log of the space: by place the entries that compete there, each with the one
    /// it follows.
    forks: BTreeMap<LogId, BTreeMap<u64, BTreeMap<EntryId, Option<EntryId>>>>,
    verdicts: OnceLock<Verdicts>,
}

impl Membership {
    /// The membership of `space`, of which nothing is known yet.
    #[must_use]
    pub fn new(space: SpaceId) -> Self {
        Self {
            space,
            channel: membership_channel(&space),
            genesis: None,
            nodes: Vec::new(),
            index: BTreeMap::new(),
            logs: BTreeMap::new(),
            delegations: BTreeMap::new(),
            by_audience: BTreeMap::new(),
            revocations: Vec::new(),
            epochs: Vec::new(),
            copies: BTreeMap::new(),
            kem_keys: BTreeMap::new(),
            contested: BTreeMap::new(),
            forks: BTreeMap::new(),
            verdicts: OnceLock::new(),
        }
    }

    /// The membership made of stored entries, in any order.
    ///
    /// # Errors
    /// [`Refusal`] if one of them has no place, or rests on others that are not there.
    pub fn restore(space: SpaceId, entries: &[Entry]) -> Result<Self, Refusal> {
        let mut membership = Self::new(space);
        membership.learn(entries);
        let mut waiting: Vec<&Entry> = entries.iter().collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut left = Vec::new();
            for entry in waiting {
                match membership.insert(entry) {
                    Ok(_) => {}
                    Err(Refusal::Missing(_)) => left.push(entry),
                    Err(refusal) => return Err(refusal),
                }
            }
            if left.len() == before {
                return Err(Refusal::Incomplete { left: before });
            }
            waiting = left;
        }
        Ok(membership)
    }

    /// The space.
    #[must_use]
    pub const fn space(&self) -> SpaceId {
        self.space
    }

    /// The channel its entries stand in.
    #[must_use]
    pub const fn channel(&self) -> ChannelId {
        self.channel
    }

    /// The founding record, once it is known.
    #[must_use]
    pub const fn genesis(&self) -> Option<&Genesis> {
        self.genesis.as_ref()
    }

    /// Looks for the founding record in a batch that is about to be admitted.
    ///
    /// The entry before the genesis, which opens the root's log, can only be judged when the root is
    /// known. The genesis proves itself by its hash, so this needs no trust; after the first time it
    /// costs nothing.
    pub fn learn(&mut self, batch: &[Entry]) {
        if self.genesis.is_some() {
            return;
        }
        self.genesis = batch.iter().filter(|entry| entry.core().kind == Kind::Membership).find_map(|entry| {
            match MembershipRecord::from_bytes(entry.body()?).ok()? {
                MembershipRecord::Genesis(genesis) if self.founds(&genesis) => Some(genesis),
                _ => None,
            }
        });
    }

    /// Takes in the founding record from elsewhere, such as a session proof.
    ///
    /// # Errors
    /// [`Refusal::OtherSpace`] if it founds another space.
    pub fn found(&mut self, genesis: &Genesis) -> Result<(), Refusal> {
        if !self.founds(genesis) {
            return Err(Refusal::OtherSpace);
        }
        self.genesis.get_or_insert_with(|| genesis.clone());
        self.verdicts = OnceLock::new();
        Ok(())
    }

    fn founds(&self, genesis: &Genesis) -> bool {
        genesis.check().is_ok() && genesis.space_id() == self.space
    }

    /// Adds an entry of the membership channel that was admitted ([`crate::admission`]), now or before
    /// it was stored: signature and chain are not looked at again.
    ///
    /// # Errors
    /// [`Refusal`] if it says what it must not, or [`Refusal::Missing`] if what it rests on is not here.
    pub fn insert(&mut self, entry: &Entry) -> Result<Inserted, Refusal> {
        let id = entry.id();
        if self.index.contains_key(&id) {
            return Ok(Inserted::Known);
        }
        let core = entry.core();
        let expected = self.logs.get(&core.log).map_or(0, |log| log.places.len() as u64);
        if let Some(previous) = core.previous {
            let node = self.index.get(&previous).and_then(|node| self.nodes.get(*node));
            let node = node.ok_or(Missing::Previous { expected })?;
            if node.log != core.log || node.seq.checked_add(1) != Some(core.seq) {
                return Err(chain::Refusal::BrokenChain.into());
            }
        }
        let (writer, act) = match self.logs.get(&core.log) {
            _ if core.seq == 0 => (self.read_open(entry)?.writer, Act::Presence),
            Some(log) => (log.writer, self.read(entry, log.writer)?),
            None => return Err(Missing::Previous { expected }.into()),
        };
        self.add(entry, writer, act);
        Ok(Inserted::New)
    }

    /// Whether the entry is here.
    #[must_use]
    pub fn contains(&self, entry: &EntryId) -> bool {
        self.index.contains_key(entry)
    }

    /// Whether `writer` may do `right` in `channel`, as things stand. Every member reads and writes in
    /// the membership channel; what a record there may say is judged one by one.
    ///
    /// # Errors
    /// [`Refusal::NotAMember`] or [`Refusal::Lacks`].
    pub fn may(&self, writer: &WriterId, right: Right, channel: &ChannelId) -> Result<(), Refusal> {
        if self.is_root(writer) {
            return Ok(());
        }
        let standing = self.verdicts().members.get(writer).ok_or(Refusal::NotAMember { writer: *writer })?;
        let allowed = standing.iter().filter_map(|id| self.delegation(id)).any(|delegation| {
            reaches(delegation.own_rights(), &delegation.channels, right, channel, &self.channel)
        });
        if allowed { Ok(()) } else { Err(Refusal::Lacks { right }) }
    }

    /// The delegation in this entry, whether or not it still stands.
    #[must_use]
    pub fn delegation(&self, entry: &EntryId) -> Option<&Delegation> {
        match &self.nodes.get(self.delegations.get(entry)?.node)?.act {
            Act::Delegation(delegation) => Some(delegation),
            _ => None,
        }
    }

    /// The delegation in this entry, if it was made to `key`, was not taken back, and was given by
    /// somebody who could.
    ///
    /// # Errors
    /// [`Refusal::Missing`], [`Refusal::NotAudience`] or [`Refusal::Revoked`].
    pub fn standing_delegation(&self, entry: &EntryId, key: &WriterId) -> Result<&Delegation, Refusal> {
        let delegation = self.delegation(entry).ok_or(Missing::Delegation(*entry))?;
        if delegation.audience != *key {
            return Err(Refusal::NotAudience { writer: *key });
        }
        if self.verdicts().members.get(key).is_some_and(|standing| standing.contains(entry)) {
            Ok(delegation)
        } else {
            Err(Refusal::Revoked { delegation: *entry })
        }
    }

    /// A delegation to `key` that stands: the one with the lowest id that has not expired at `now`, or
    /// else the one with the lowest id.
    #[must_use]
    pub fn standing_of(&self, key: &WriterId, now: Timestamp) -> Option<EntryId> {
        let standing = self.verdicts().members.get(key)?;
        let lasts = |id: &&EntryId| self.caveats(id).expires.is_none_or(|at| at > now);
        standing.iter().find(lasts).or_else(|| standing.first()).copied()
    }

    /// The limits that follow from a delegation and all it rests on. A ticket's limits bind the ticket,
    /// not those who redeemed it.
    #[must_use]
    pub fn caveats(&self, entry: &EntryId) -> Caveats {
        let mut caveats = Caveats::default();
        let mut next = Some(*entry);
        for _ in 0..DELEGATION_DEPTH_MAX {
            let Some(delegation) = next.and_then(|id| self.delegation(&id)) else { break };
            if delegation.bearer == Bearer::Member || next == Some(*entry) {
                caveats = caveats.tightest(delegation.caveats);
            }
            next = delegation.parent;
        }
        caveats
    }

    /// The first place where two entries of a log were proven, and these entries. Where a log parts, the
    /// entry with the lowest id counts, unless a [pinned](Membership::pins) head lies after another.
    #[must_use]
    pub fn fork(&self, log: &LogId) -> Option<(u64, BTreeSet<EntryId>)> {
        let (seq, ids) = self.forks.get(log)?.first_key_value()?;
        Some((*seq, ids.keys().copied().collect()))
    }

    /// Heads of a log that revocations in force name in their cuts. The branch below such a head
    /// counts, so that a removed writer cannot replace by a fork what others saw.
    #[must_use]
    pub fn pins(&self, log: &LogId) -> Vec<Head> {
        let cuts = self.verdicts().revoked.values().flatten().filter_map(|node| self.cut(*node));
        let mut pins: Vec<_> = cuts.filter_map(|cut| cut.get(log).copied()).collect();
        pins.sort_unstable();
        pins.dedup();
        pins
    }

    /// Whether `writer` is the root of the space.
    #[must_use]
    pub fn is_root(&self, writer: &WriterId) -> bool {
        self.genesis.as_ref().is_some_and(|genesis| genesis.root == *writer)
    }

    /// Checks that `key` is the root by the genesis known here, or else by the one that came with it.
    pub(crate) fn check_root(&self, key: &WriterId, carried: Option<&Genesis>) -> Result<(), Refusal> {
        let carried = carried.filter(|genesis| self.founds(genesis));
        let genesis = self.genesis.as_ref().or(carried).ok_or(Missing::Genesis)?;
        if genesis.root == *key { Ok(()) } else { Err(Refusal::NotRoot { writer: *key }) }
    }

    fn verdicts(&self) -> &Verdicts {
        self.verdicts.get_or_init(|| Verdicts::of(self))
    }

    fn counting<'a>(&'a self, nodes: &'a [usize]) -> impl Iterator<Item = &'a Node> {
        let counting = &self.verdicts().counting;
        let counts = |node: &&usize| counting.get(**node).copied().unwrap_or(false);
        nodes.iter().filter(counts).filter_map(|node| self.nodes.get(*node))
    }

    fn cut(&self, revocation: usize) -> Option<&Heads> {
        match &self.nodes.get(revocation)?.act {
            Act::Revocation(revocation) => Some(&revocation.cut),
            _ => None,
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("space", &self.space)
            .field("entries", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

/// Whether `rights` on `channels` allow `right` in `channel`, where `membership` is the channel that
/// all members read and write.
pub(crate) fn reaches(
    rights: Rights,
    channels: &Channels,
    right: Right,
    channel: &ChannelId,
    membership: &ChannelId,
) -> bool {
    if channel == membership {
        matches!(right, Right::Relay | Right::Read | Right::Write) || rights.has(right)
    } else {
        rights.has(right) && channels.reach(channel)
    }
}
