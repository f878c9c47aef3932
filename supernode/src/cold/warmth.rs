//! When a cold shard is hot again: when it is read often within a day.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{id::ObjectId, time::Timestamp};

/// The third read brings it back: one is a reader, two may be the same reader again.
const READS: u8 = 3;
/// Within so long.
const WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Shards whose reads are counted: 200 kB. Of more, those that were first read longest ago are forgotten.
const KNOWN_MAX: usize = 4096;

/// Reads of cold shards, as far back as they matter.
#[derive(Debug, Default)]
pub(super) struct Warmth {
    reads: BTreeMap<(ObjectId, u8), (Timestamp, u8)>,
}

impl Warmth {
    /// Counts a read; whether the shard is hot again by it.
    pub(super) fn read(&mut self, shard: (ObjectId, u8), now: Timestamp) -> bool {
        let (first, reads) = self.reads.remove(&shard).unwrap_or((now, 0));
        let (first, reads) = if now.since(first) > WITHIN { (now, 1) } else { (first, reads + 1) };
        if reads >= READS {
            return true;
        }
        if self.reads.len() >= KNOWN_MAX
            && let Some(oldest) =
                self.reads.iter().min_by_key(|(_shard, (first, _reads))| *first).map(|(shard, _)| *shard)
        {
            self.reads.remove(&oldest);
        }
        self.reads.insert(shard, (first, reads));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(n: u16) -> (ObjectId, u8) {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        (ObjectId::from_bytes(id), 1)
    }

    const fn hour(n: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_750_000_000_000 + n * 3_600_000)
    }

    #[test]
    fn three_reads_within_a_day_make_a_shard_hot() {
        let mut warmth = Warmth::default();
        assert!(!warmth.read(shard(1), hour(0)));
        assert!(!warmth.read(shard(2), hour(1)), "each is counted for itself");
        assert!(!warmth.read(shard(1), hour(2)));
        assert!(warmth.read(shard(1), hour(24)));
        assert!(!warmth.read(shard(1), hour(24)), "it begins anew");
    }

    #[test]
    fn reads_that_are_far_apart_do_not() {
        let mut warmth = Warmth::default();
        for day in 0..10 {
            assert!(!warmth.read(shard(1), hour(day * 25)));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut warmth = Warmth::default();
        assert!(!warmth.read(shard(0), hour(0)));
        for n in 1..=u16::try_from(KNOWN_MAX).unwrap() {
            assert!(!warmth.read(shard(n), hour(1)));
        }
        assert_eq!(warmth.reads.len(), KNOWN_MAX);
        assert!(!warmth.reads.contains_key(&shard(0)), "the oldest was forgotten");
    }
}
