//! Draws: numbers that follow from a seed, the same on every machine.

use cosmic_common::hash;

/// A stream of numbers from a seed.
#[derive(Debug)]
pub(crate) struct Draw {
    context: &'static str,
    seed: [u8; 32],
    count: u64,
}

impl Draw {
    pub(crate) const fn new(context: &'static str, seed: &[u8; 32]) -> Self {
        Self { context, seed: *seed, count: 0 }
    }

    /// A number below `bound`, each as likely as the others to within 2^-64 × bound; 0 if `bound` is.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let [a, b, c, d, e, f, g, h, ..] =
            hash::derive(self.context, &[&self.seed, &self.count.to_be_bytes()]);
        self.count += 1;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        #[expect(clippy::cast_possible_truncation, reason = "the upper half of the product is below bound")]
        let below = ((u128::from(number) * bound as u128) >> 64) as usize;
        below
    }
}
