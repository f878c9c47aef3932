//! What a change will move is told before, and is near the least it could be.

use std::time::Duration;

use cosmic_ring::{Class, Table};
use proptest::prelude::*;

use super::rings::{codec, object, peer, site, sites, table_of};
use crate::{Assignment, Movement, PartitionLoad, Target, moves::shard_bytes, plan_placement};

const CLASS: Class = Class { k: 3, n: 6 };
const EVERYWHERE: PartitionLoad =
    PartitionLoad { objects: 10, shard_bytes: 10_000, shards: 6, entry_bytes: 500 };

fn ring(members: impl IntoIterator<Item = u32>) -> Table {
    Table::of(members.into_iter().map(|number| site(number, number % 10, number)).collect(), 10, CLASS)
}

#[test]
fn one_who_joins_gets_his_part_and_little_else_moves() {
    for count in [30, 60] {
        let movement = Movement::between(&ring(0..count), &ring(0..=count), |_| EVERYWHERE);
        let joined = movement.members[&peer(count)];
        assert_eq!((joined.before, joined.outgoing, joined.incoming), (0, 0, joined.after));
        assert!(movement.over_optimum() < 1.1, "{count}: {}", movement.over_optimum());
        assert!(movement.bytes >= movement.optimum && movement.optimum >= joined.after);
        assert!(movement.class.is_none());
        let out: u64 = movement.members.values().map(|member| member.outgoing).sum();
        assert_eq!(out, movement.bytes);
        let rate = 1_000_000;
        assert!(movement.duration(rate) >= Duration::from_secs(joined.incoming / rate));
    }
}

#[test]
fn no_change_moves_nothing_and_a_change_of_class_is_told() {
    let same = Movement::between(&ring(0..30), &ring(0..30), |_| EVERYWHERE);
    assert_eq!((same.bytes, same.shards, same.objects, same.partitions), (0, 0, 0, 0));
    assert!((same.over_optimum() - 1.0).abs() < f64::EPSILON);
    assert_eq!(same.duration(1), Duration::ZERO);
    let wider = table_of(sites(30, 10), Class { k: 5, n: 10 });
    let movement = Movement::between(&table_of(sites(30, 10), CLASS), &wider, |_| EVERYWHERE);
    assert_eq!(movement.class, Some((CLASS, Class { k: 5, n: 10 })));
}

#[test]
fn bytes_of_shards_are_rounded_up_for_each_object() {
    assert_eq!(shard_bytes(codec(3, 6), [1, 3, 4, 4_194_304]), 1 + 1 + 2 + 1_398_102);
}

proptest! {
    /// The plan of a whole ring and the targets of its objects, one by one, say the same.
    #[test]
    fn the_sum_is_that_of_its_objects(before in 6_u32..14, after in 6_u32..14, seed in 0_u32..1000) {
        let (before, after) = (ring(0..before), ring(0..after));
        let object = object(seed);
        let held: Vec<Assignment> = plan_placement(&before, &object, codec(3, 6));
        let target = Target::of(&after, &object, codec(3, 6), &held, |_| true);
        let here = after.partition_of(object.as_bytes());
        let load = PartitionLoad { objects: 1, shard_bytes: 1, shards: 6, entry_bytes: 0 };
        let movement = Movement::between(&before, &after, |partition| {
            if partition == here { load } else { PartitionLoad::default() }
        });
        prop_assert_eq!(movement.shards, target.wanted.len() as u64);
        prop_assert_eq!(movement.bytes, target.strays.len() as u64);
        prop_assert_eq!(movement.objects, u64::from(!target.wanted.is_empty()));
    }
}
