//! Chance from a seed (SplitMix64), and lives of machines (Weibull).

use std::time::Duration;

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

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let place = self.below(of.len());
        of.get(place)
    }

    /// A time of about `mean`. A shape below 1 means that the young die most and the old stay, as machines do.
    pub(super) fn weibull(&mut self, mean: Duration, shape: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are enough for a simulation")]
        let uniform = (self.number() >> 11) as f64 / (1_u64 << 53) as f64;
        // Gamma(1 + 1/shape) for the two shapes that are used.
        let gamma = if shape < 0.7 { 1.504 } else { 1.133 };
        mean.mul_f64((-(1.0 - uniform).max(1e-12).ln()).powf(1.0 / shape) / gamma)
    }
}
