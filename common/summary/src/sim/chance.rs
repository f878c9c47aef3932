//! Chance from a seed (SplitMix64).

pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap()
    }

    /// Whether something happens that happens `times` in a thousand.
    pub(super) fn happens(&mut self, times: u64) -> bool {
        self.number() % 1000 < times
    }

    /// Between 0 and 1.
    pub(super) fn part(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normal, by the sum of twelve.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_draw| self.part()).sum::<f64>() - 6.0
    }
}
