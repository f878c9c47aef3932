//! Care: what each class waits for when it is written, and how much it may lose, and for how long, before it is mended.

use std::time::Duration;

use cosmic_erasure::Codec;

/// How long a holder of a narrow class may be away before its shards are made again: as long as it takes to be offline.
pub const PATIENCE_NARROW: Duration = Duration::from_hours(4);
/// How long a holder of a wide class may be away: a day covers most repairs of machines, and cuts traffic three to four
/// times (`docs/storage.md`).
pub const PATIENCE_WIDE: Duration = Duration::from_hours(24);

/// How one class is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// Shards in place that a write waits for: one more than `repair_at`.
    pub wanted: usize,
    /// So many healthy shards, or fewer, are mended.
    pub repair_at: usize,
    /// So many healthy shards, or fewer, are mended before all else, without patience, with the larger budget.
    pub panic_at: usize,
    /// Whether it has room for stragglers, and so the patience of the wide classes ([`crate::liveness::Patience`]).
    pub is_wide: bool,
}

impl Care {
    /// The care of a class. Narrow classes want every shard and are mended at the first loss; the wide ones of
    /// `docs/storage.md` have room for some stragglers.
    #[must_use]
    pub const fn of(codec: Codec) -> Self {
        let (k, n) = (codec.k(), codec.n());
        let wanted = match (k, n) {
            (5, 10) => 9,
            (8, 14) => 13,
            (10, 20) => 17,
            _ => n,
        };
        let is_wide = wanted < n;
        // A fifth of what may be lost is left: 12 of 20, 9 of 14, 6 of 10, 3 of 6, the last copy.
        let panic_at = k + (n - k) / 5;
        Self { wanted, repair_at: wanted - 1, panic_at, is_wide }
    }
}
