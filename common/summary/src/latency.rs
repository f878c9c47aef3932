//! How long devices wait: a sketch of quantiles with a bounded relative error.
//!
//! Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", 2019, with a fixed
//! range instead of buckets that collapse, so that the size is bounded and merging loses nothing.

use std::time::Duration;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::robust;

/// How far a quantile may be off, as a part of itself.
const ERROR: f64 = 0.02;
/// Each bucket ends at this many times its beginning.
const GAMMA: f64 = (1.0 + ERROR) / (1.0 - ERROR);
/// The end of the first bucket, in seconds: shorter times count as this.
const SHORTEST_S: f64 = 0.00025;
/// Buckets: from 0.25 ms to 16.6 s. Longer times are in the last.
pub const BUCKETS: usize = 279;

/// How many requests took how long.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencySketch(Vec<u32>);

impl LatencySketch {
    /// No request.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![0; BUCKETS])
    }

    /// One request took this long.
    pub fn insert(&mut self, took: Duration) {
        let steps = (took.as_secs_f64().max(SHORTEST_S) / SHORTEST_S).ln() / GAMMA.ln();
        let index = usize::try_from(robust::whole(steps.ceil())).unwrap_or(usize::MAX).min(BUCKETS - 1);
        if let Some(count) = self.0.get_mut(index) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds the requests of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (count, theirs) in self.0.iter_mut().zip(&other.0) {
            *count = count.saturating_add(*theirs);
        }
    }

    /// Requests.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().copied().map(u64::from).sum()
    }

    /// The time that a part of the requests, 0 to 1, was not longer than. None if there was no request.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        let rank = robust::whole(((count as f64) * part).ceil()).clamp(1, count.max(1));
        let mut seen = 0;
        let index = self.0.iter().position(|bucket| {
            seen += u64::from(*bucket);
            seen >= rank
        })?;
        let exponent = i32::try_from(index).unwrap_or(i32::MAX);
        // The middle of the bucket, as far from its beginning as from its end in proportion.
        Some(Duration::from_secs_f64(SHORTEST_S * 2.0 * GAMMA.powi(exponent) / (GAMMA + 1.0)))
    }

    /// What is usual among several, each of a weight: of the parts that took no longer than each bucket says, the median. So each
    /// quantile is the median of theirs, and a minority that says whatever it likes moves it no further than to what others say.
    /// `count` requests; those without any do not count.
    #[must_use]
    pub fn median(of: &[(&Self, u64)], count: u64) -> Self {
        let mut told: Vec<(&Self, f64, u64, u64)> =
            of.iter().map(|(sketch, weight)| (*sketch, sketch.count() as f64, *weight, 0)).collect();
        told.retain(|(_sketch, count, ..)| *count > 0.0);
        let mut before = 0;
        let bucket = |index: usize| {
            let parts = told.iter_mut().map(|(sketch, count, weight, seen)| {
                *seen += sketch.0.get(index).copied().map_or(0, u64::from);
                (*seen as f64 / *count, *weight)
            });
            let part = robust::median(parts.collect()).unwrap_or_default();
            let until = robust::whole(part * count as f64).max(before);
            let here = until - std::mem::replace(&mut before, until);
            u32::try_from(here).unwrap_or(u32::MAX)
        };
        Self((0..BUCKETS).map(bucket).collect())
    }
}

impl Default for LatencySketch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for LatencySketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LatencySketch({} requests, half within {:?})", self.count(), self.quantile(0.5))
    }
}

/// `[first bucket that is not 0, [count, …]]`, up to the last that is not 0.
impl<C> Encode<C> for LatencySketch {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let first = self.0.iter().position(|count| *count > 0).unwrap_or_default();
        let end = self.0.iter().rposition(|count| *count > 0).map_or(first, |last| last + 1);
        let counts = self.0.get(first..end).unwrap_or_default();
        e.array(2)?.u64(first as u64)?.array(counts.len() as u64)?;
        for count in counts {
            e.u32(*count)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for LatencySketch {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        let wrong = || decode::Error::message("not a sketch of latency").at(position);
        if d.array()? != Some(2) {
            return Err(wrong());
        }
        let first = usize::try_from(d.u64()?).unwrap_or(usize::MAX);
        let count = d.array()?.and_then(|count| usize::try_from(count).ok()).ok_or_else(wrong)?;
        let end = first.checked_add(count).filter(|end| *end <= BUCKETS).ok_or_else(wrong)?;
        let mut sketch = Self::new();
        for bucket in sketch.0.get_mut(first..end).ok_or_else(wrong)? {
            *bucket = d.u32()?;
        }
        Ok(sketch)
    }
}
