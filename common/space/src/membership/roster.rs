//! Who is a member now, and where the entries lie that members need.

use std::collections::BTreeSet;

use cosmic_common::{
    heads::{Head, Heads},
    id::{EntryId, EpochId, Hash, LogId, WriterId},
};

use super::{Act, Log, Membership, Node};
use crate::{
    delegation::{Bearer, Caveats},
    record::EpochRecord,
    rights::{Channels, Rights, Role},
};

/// Where an entry lies: the key of its row, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The log.
    pub log: LogId,
    /// The sequence number.
    pub seq: u64,
    /// The entry.
    pub entry: EntryId,
}

/// Somebody who may do something, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The key.
    pub key: WriterId,
    /// The delegation; none for the root. A key with several delegations is listed once for each.
    pub delegation: Option<EntryId>,
    /// Whether the key is a device's or a ticket's.
    pub bearer: Bearer,
    /// What it may do, or pass on if it is a ticket's.
    pub rights: Rights,
    /// Where.
    pub channels: Channels,
    /// The hash of the key to seal epoch secrets to.
    pub kem_hash: Option<Hash>,
    /// Limits from the whole chain.
    pub caveats: Caveats,
}

impl Member {
    /// The word for the rights; `None` is a custom set.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        if self.delegation.is_none() { Some(Role::Owner) } else { Role::of(self.rights) }
    }
}

/// A key epoch that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its name.
    pub id: EpochId,
    /// What was published of it.
    pub record: EpochRecord,
    /// The entry that carries it.
    pub place: Place,
}

/// A copy of an epoch's secret that counts; load the entry to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyPlace {
    /// The epoch.
    pub epoch: EpochId,
    /// The entry that carries it.
    pub place: Place,
}

impl Node {
    pub(super) const fn place(&self) -> Place {
        Place { log: self.log, seq: self.seq, entry: self.id }
    }
}

impl Membership {
    /// Everybody who may do something, the root first.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        let root = self.genesis.iter().map(|genesis| Member {
            key: genesis.root,
            delegation: None,
            bearer: Bearer::Member,
            rights: Rights::ALL,
            channels: Channels::All,
            kem_hash: self.kem_key(&genesis.root).map(|(hash, _)| hash),
            caveats: Caveats::default(),
        });
        let others = self.verdicts().members.values().flatten().filter_map(|id| {
            let delegation = self.delegation(id)?;
            Some(Member {
                key: delegation.audience,
                delegation: Some(*id),
                bearer: delegation.bearer,
                rights: delegation.rights,
                channels: delegation.channels.clone(),
                kem_hash: delegation.kem_hash,
                caveats: self.caveats(id),
            })
        });
        root.chain(others)
    }

    /// The last entry of each membership log, on the branch that counts.
    #[must_use]
    pub fn heads(&self) -> Heads {
        let aside = |node: &usize| self.verdicts().aside.contains(node);
        let head = |log: &Log| {
            let (seq, node) =
                log.places.iter().rev().find_map(|(seq, nodes)| {
                    nodes.iter().find(|node| !aside(node)).map(|node| (*seq, *node))
                })?;
            Some(Head { seq, entry: self.nodes.get(node)?.id })
        };
        self.logs.iter().filter_map(|(id, log)| Some((*id, head(log)?))).collect()
    }

    /// The entries that count and that no other such entry was made after: what the next entry of any
    /// channel names as its membership dependencies. With more than an entry may name, an
    /// acknowledgement that names some of them comes first.
    #[must_use]
    pub fn frontier(&self) -> Vec<EntryId> {
        let counting = &self.verdicts().counting;
        let counts = |node: &usize| counting.get(*node).copied().unwrap_or(false);
        let mut covered = BTreeSet::new();
        for (position, node) in self.nodes.iter().enumerate() {
            if counts(&position) {
                covered.extend(node.previous.iter().chain(&node.dependencies).copied());
            }
        }
        let last = self.index.iter().filter(|(id, node)| counts(node) && !covered.contains(*id));
        last.map(|(id, _)| *id).collect()
    }

    /// The key epochs that count, in the order of their ids.
    #[must_use]
    pub fn epochs(&self) -> Vec<Epoch> {
        let mut epochs: Vec<_> = self
            .counting(&self.epochs)
            .filter_map(|node| match &node.act {
                Act::Epoch(record) => {
                    Some(Epoch { id: record.id(), record: record.clone(), place: node.place() })
                }
                _ => None,
            })
            .collect();
        epochs.sort_by_key(|epoch| (epoch.id, epoch.place));
        epochs.dedup_by_key(|epoch| epoch.id);
        epochs
    }

    /// The copies sealed to the key-agreement key with this hash, in the order of their places.
    #[must_use]
    pub fn copies_for(&self, recipient: &Hash) -> Vec<CopyPlace> {
        let nodes = self.copies.get(recipient).map_or(&[][..], Vec::as_slice);
        let mut copies: Vec<_> = self
            .counting(nodes)
            .filter_map(|node| match &node.act {
                Act::Copy { epoch, .. } => Some(CopyPlace { epoch: *epoch, place: node.place() }),
                _ => None,
            })
            .collect();
        copies.sort_by_key(|copy| copy.place);
        copies
    }

    /// The key-agreement key a writer published last, and where: the one its delegation names, or any
    /// if the writer is the root.
    #[must_use]
    pub fn kem_key(&self, writer: &WriterId) -> Option<(Hash, Place)> {
        let nodes = self.kem_keys.get(writer).map_or(&[][..], Vec::as_slice);
        let named = |hash: &Hash| {
            self.is_root(writer)
                || self.verdicts().members.get(writer).is_some_and(|standing| {
                    standing.iter().filter_map(|id| self.delegation(id)).any(|d| d.kem_hash == Some(*hash))
                })
        };
        self.counting(nodes)
            .filter_map(|node| match node.act {
                Act::KemKey(hash) if named(&hash) => Some((hash, node.place())),
                _ => None,
            })
            .max_by_key(|(_, place)| (place.seq, place.entry))
    }
}
