//! Ring tables: for each partition of the key space the members that keep what belongs there.
//!
//! A table is one ring. It follows from its members and the class alone, by integers only, so everybody who knows the same
//! records has the same table. It is made once per change of membership and looked up from then on. Which ring a space is
//! placed by, the [`crate::Atlas`] says.

mod limits;
mod walk;

use std::collections::BTreeMap;

use cosmic_common::{
    hash,
    id::{Hash, ObjectId, OperatorId, PeerId, SpaceId},
};

use self::{limits::Limits, walk::Walk};
use crate::{class::Class, config::PARTITION_BITS_MAX, label::Label, member::Member, members::MEMBERS_MAX};

/// The replicas of a partition.
pub const REPLICAS: usize = 3;

/// One of the slices of the key space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u32);

/// What the table needs to know of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The supernode.
    pub peer: PeerId,
    /// Who runs it.
    pub operator: OperatorId,
    /// What may fail as one.
    pub zone: Label,
    /// How much it takes, against others.
    pub weight: u16,
}

/// The assignment of partitions to members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    bits: u8,
    class: Class,
    sites: Vec<Site>,
    /// For each partition `depth` places in `sites`: replicas first, then the other holders, then spare ones.
    places: Vec<u16>,
    depth: usize,
    digest: Hash,
}

impl Partition {
    /// The number of the partition, from 0 on.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl From<&Member> for Site {
    fn from(member: &Member) -> Self {
        Self {
            peer: member.peer,
            operator: member.operator,
            zone: member.zone.clone(),
            weight: member.weight,
        }
    }
}

impl Table {
    /// The table of `sites` (one per peer; of more the first counts) with 2^`bits` partitions under `class`.
    #[must_use]
    pub fn of(mut sites: Vec<Site>, bits: u8, class: Class) -> Self {
        sites.sort_by_key(|site| site.peer);
        sites.dedup_by_key(|site| site.peer);
        sites.truncate(MEMBERS_MAX);
        let bits = bits.clamp(1, PARTITION_BITS_MAX);
        // Twice the holders, so that as many again can step in without another walk.
        let depth = sites.len().min(2 * usize::from(class.n).max(REPLICAS));
        let mut limits = Limits::new(&sites, bits, class, depth);
        let mut walk = Walk::new(&sites, bits);
        let mut places = Vec::with_capacity(depth << bits);
        for partition in 0..1_u32 << bits {
            walk.begin(partition);
            limits.choose(&mut walk, &mut places);
        }
        let mut table = Self { bits, class, sites, places, depth, digest: Hash::from_bytes([0; 32]) };
        table.digest = table.hash();
        table
    }

    /// The hash of the whole assignment: receipts and placements name the table by it.
    #[must_use]
    pub const fn digest(&self) -> Hash {
        self.digest
    }

    /// The class new objects are coded in.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// How many members there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sites.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// The members, in the order of peers.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// All partitions.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..1_u32 << self.bits).map(Partition)
    }

    /// The partition of a key: its first bits.
    #[must_use]
    pub const fn partition_of(&self, key: &[u8; 32]) -> Partition {
        let [a, b, c, d, ..] = *key;
        Partition(u32::from_be_bytes([a, b, c, d]) >> (u32::BITS - self.bits as u32))
    }

    /// The members of a partition in their order: replicas first, then the other holders, then who steps in for them.
    pub fn walk(&self, partition: Partition) -> impl Iterator<Item = &Site> {
        let start = partition.0 as usize * self.depth;
        let places = self.places.get(start..start + self.depth).unwrap_or_default();
        places.iter().filter_map(|place| self.sites.get(usize::from(*place)))
    }

    /// The replicas of a partition, at most [`REPLICAS`].
    pub fn replicas(&self, partition: Partition) -> impl Iterator<Item = PeerId> {
        self.walk(partition).take(REPLICAS).map(|site| site.peer)
    }

    /// The replicas of a space.
    pub fn replicas_of(&self, space: &SpaceId) -> impl Iterator<Item = PeerId> {
        self.replicas(self.partition_of(space.as_bytes()))
    }

    /// The holders of the `n` shards of an object, in the order of shards; fewer if there are fewer members.
    #[must_use]
    pub fn holders(&self, object: &ObjectId, n: usize) -> Vec<PeerId> {
        self.walk(self.partition_of(object.as_bytes())).take(n).map(|site| site.peer).collect()
    }

    fn hash(&self) -> Hash {
        let shape = [self.bits, self.class.k, self.class.n];
        let depth = u16::try_from(self.depth).unwrap_or(u16::MAX).to_be_bytes();
        let lists = self
            .partitions()
            .flat_map(|partition| self.walk(partition))
            .map(|site| site.peer.as_bytes().as_slice());
        let parts: Vec<&[u8]> = [shape.as_slice(), &depth].into_iter().chain(lists).collect();
        Hash::from_bytes(hash::derive("cosmic ring table 1", &parts))
    }
}

/// Numbers for the distinct values of `keys`, by their order; and how many there are.
fn numbered<K: Ord>(keys: impl Iterator<Item = K> + Clone) -> (Vec<usize>, usize) {
    let mut numbers: BTreeMap<K, usize> = keys.clone().map(|key| (key, 0)).collect();
    numbers.values_mut().enumerate().for_each(|(number, place)| *place = number);
    let of = keys.filter_map(|key| numbers.get(&key).copied()).collect();
    (of, numbers.len())
}
