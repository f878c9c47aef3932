//! Moves: what a change of the ring will move, before it does, against the least that any change to the same loads could.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cosmic_common::id::PeerId;
use cosmic_erasure::Codec;
use cosmic_ring::{Class, Partition, Table, table::REPLICAS};

/// What lies in one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionLoad {
    /// Objects.
    pub objects: u64,
    /// Bytes of one shard of each of them together.
    pub shard_bytes: u64,
    /// How many shards those objects have: 0 for the number of the table before.
    pub shards: u8,
    /// Bytes of entries of its spaces, at one replica.
    pub entry_bytes: u64,
}

/// What one member gets and gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberMove {
    /// Bytes it keeps before.
    pub before: u64,
    /// Bytes it keeps after.
    pub after: u64,
    /// Bytes that come to it.
    pub incoming: u64,
    /// Bytes that it may drop when all is done.
    pub outgoing: u64,
}

/// What a change will move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Movement {
    /// By member, those that neither get nor give included.
    pub members: BTreeMap<PeerId, MemberMove>,
    /// Partitions in which anything changes.
    pub partitions: u64,
    /// Objects of which at least one shard moves.
    pub objects: u64,
    /// Shards that move.
    pub shards: u64,
    /// Bytes that move, of shards and of entries.
    pub bytes: u64,
    /// The least that any change from the loads before to the loads after could move.
    pub optimum: u64,
    /// The class new objects get, if it changes; those that are there are coded anew later, in the background.
    pub class: Option<(Class, Class)>,
}

impl Movement {
    /// What moves from `before` to `after`, with `load` in each partition. Two tables of different partition bits share
    /// nothing: everything is looked at by the partitions of `after`.
    #[must_use]
    pub fn between(before: &Table, after: &Table, load: impl Fn(Partition) -> PartitionLoad) -> Self {
        let mut movement = Self::default();
        if before.class() != after.class() {
            movement.class = Some((before.class(), after.class()));
        }
        for site in before.sites().iter().chain(after.sites()) {
            movement.members.entry(site.peer).or_default();
        }
        for partition in after.partitions() {
            let load = load(partition);
            let n = usize::from(if load.shards == 0 { before.class().n } else { load.shards });
            let holders = [before, after].map(|table| members(table, partition, n));
            let replicas = [before, after].map(|table| members(table, partition, REPLICAS));
            let shards = movement.shift(&holders, load.shard_bytes);
            let logs = movement.shift(&replicas, load.entry_bytes);
            movement.shards += shards.saturating_mul(load.objects);
            movement.objects += if shards > 0 { load.objects } else { 0 };
            movement.partitions += u64::from(shards > 0 || logs > 0);
        }
        movement.optimum =
            movement.members.values().map(|member| member.after.saturating_sub(member.before)).sum();
        movement
    }

    /// How long it takes when every member takes in and gives out at most `bytes_per_second`: as long as the busiest needs.
    #[must_use]
    pub fn duration(&self, bytes_per_second: u64) -> Duration {
        let busiest = self.members.values().map(|member| member.incoming.max(member.outgoing)).max();
        Duration::from_secs(busiest.unwrap_or(0).div_ceil(bytes_per_second.max(1)))
    }

    /// How many times the optimum moves; 1 if nothing does.
    #[must_use]
    pub fn over_optimum(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = self.bytes as f64 / self.optimum.max(1) as f64;
        if self.bytes == 0 { 1.0 } else { ratio }
    }

    /// Counts one kind of thing in one partition; how many of its keepers change.
    fn shift(&mut self, [before, after]: &[BTreeSet<PeerId>; 2], bytes: u64) -> u64 {
        let mut changes = 0;
        for peer in before.union(after) {
            let member = self.members.entry(*peer).or_default();
            let (was, is) = (before.contains(peer), after.contains(peer));
            if was {
                member.before += bytes;
            }
            if is {
                member.after += bytes;
            }
            if is && !was {
                member.incoming += bytes;
                self.bytes += bytes;
                changes += 1;
            }
            if was && !is {
                member.outgoing += bytes;
            }
        }
        changes
    }
}

fn members(table: &Table, partition: Partition, count: usize) -> BTreeSet<PeerId> {
    table.walk(partition).take(count).map(|site| site.peer).collect()
}

/// Bytes of one shard of each of these objects together: what [`PartitionLoad::shard_bytes`] wants.
#[must_use]
pub fn shard_bytes(codec: Codec, lengths: impl IntoIterator<Item = u64>) -> u64 {
    let k = u64::try_from(codec.k()).unwrap_or(u64::MAX);
    lengths.into_iter().map(|length| length.div_ceil(k)).sum()
}
