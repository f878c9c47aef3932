//! Numbers of many, of whom some lie: what is usual for each unit of weight, and how far anybody may say that he is from it.
//!
//! The ring gives members what they keep by their weights, and devices choose by them, so what honest members say for each unit
//! of weight lies close together. What is said further from the median than a few times the median deviation counts as that far,
//! and what is said much further as nothing: honest members are hardly touched, and a minority of liars moves the sum by a part
//! of the usual deviation, whatever it says.

/// How far from the median anybody may be, in median deviations. The smaller, the less a liar can do, and the more of what is
/// rare among honest members is cut off, above as below: at 1.25 thirty of a hundred that all exaggerate shift the sum by 0.65
/// of a standard deviation of the honest, where the median alone would be shifted by 0.57.
const REACH: f64 = 1.25;
/// Whoever is so many times further away counts as if he had said nothing.
const FAR: f64 = 3.0;
/// Weights are compared in thousandths.
const FINE: f64 = 1000.0;
/// Among so few that their differences say little …
const FEW: usize = 8;
/// … this far.
const REACH_FEW: f64 = 6.0;

/// `value` as a whole number: 0 if it is below or no number.
pub(crate) const fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a float saturates, and the rest is rounded away"
    )]
    let whole = value.round() as u64;
    whole
}

/// The median of values with weights: the middle between the lower and the upper one, if half of the weight lies on each side.
/// None of none.
#[must_use]
pub fn median(mut values: Vec<(f64, u64)>) -> Option<f64> {
    values.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let whole: u128 = values.iter().map(|(_value, weight)| u128::from(*weight)).sum();
    let mut below = 0_u128;
    let mut lower = None;
    for (value, weight) in values {
        if let Some(lower) = lower {
            return Some(f64::midpoint(lower, value));
        }
        below += u128::from(weight);
        match (2 * below).cmp(&whole) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => lower = Some(value),
            std::cmp::Ordering::Greater => return Some(value),
        }
    }
    lower
}

/// The median of whole numbers that count alike; 0 of none.
#[must_use]
pub fn middle(values: impl IntoIterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.into_iter().collect();
    values.sort_unstable();
    let half = values.len() / 2;
    let upper = values.get(half).copied().unwrap_or_default();
    if values.len().is_multiple_of(2) && half > 0 {
        u64::midpoint(values.get(half - 1).copied().unwrap_or_default(), upper)
    } else {
        upper
    }
}

/// What is usual, and believed, for each unit of weight.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Band {
    usual: f64,
    reach: f64,
}

impl Band {
    /// The band of what members said, each with its weight. Nobody is doubted who is within `harmless` of the median.
    #[must_use]
    pub fn of(said: &[(u64, f64)], harmless: u64) -> Self {
        let rates: Vec<(f64, u64)> =
            said.iter().map(|(value, weight)| (rate(*value, *weight), whole(weight * FINE))).collect();
        let Some(usual) = median(rates.clone()) else { return Self::default() };
        let off = rates.into_iter().map(|(rate, weight)| ((rate - usual).abs(), weight)).collect();
        let times = if said.len() < FEW { REACH_FEW } else { REACH };
        let reach = (times * median(off).unwrap_or_default()).max(harmless as f64);
        Self { usual, reach }
    }

    /// What counts of what a member of `weight` said.
    #[must_use]
    pub fn believed(&self, value: u64, weight: f64) -> f64 {
        let off = rate(value, weight) - self.usual;
        let counts = if off.abs() > FAR * self.reach { 0.0 } else { off.clamp(-self.reach, self.reach) };
        (self.usual + counts).max(0.0) * weight
    }

    /// Whether all of it counts.
    #[must_use]
    pub fn holds(&self, value: u64, weight: f64) -> bool {
        (rate(value, weight) - self.usual).abs() <= self.reach
    }

    /// What a member of `weight` that said nothing counts for.
    #[must_use]
    pub fn usual(&self, weight: f64) -> f64 {
        self.usual * weight
    }
}

/// What is said for each unit of weight. Whoever has next to no weight has next to nothing to say.
fn rate(value: u64, weight: f64) -> f64 {
    value as f64 / weight.max(1.0 / FINE)
}
