//! Classes: into how many shards objects are coded, by how many members there are.

use std::collections::BTreeSet;

use cosmic_common::limit::SHARDS_MAX;
use minicbor::{Decode, Encode};

use crate::error::Error;

/// Whole copies in rings too small to code: one on each member, at most this many.
pub const COPIES_MAX: u8 = 3;

/// `k of n`: every object lies on n members as shards, any k of which suffice; k = 1 means whole copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Shards that suffice.
    pub k: u8,
    /// Shards in all.
    pub n: u8,
}

/// From how many active members on a class holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ClassStep {
    /// Members from which on it holds.
    #[n(0)]
    pub members: u16,
    /// Shards that suffice.
    #[n(1)]
    pub k: u8,
    /// Shards in all.
    #[n(2)]
    pub n: u8,
}

/// The steps of a configuration that names none; `docs/storage.md` has the model they come from.
pub const DEFAULT_STEPS: [ClassStep; 4] = [
    ClassStep { members: 6, k: 3, n: 6 },
    ClassStep { members: 10, k: 5, n: 10 },
    ClassStep { members: 14, k: 8, n: 14 },
    ClassStep { members: 20, k: 10, n: 20 },
];

impl Class {
    /// The class of a ring of `members` active members: the last step it reaches; whole copies below the first.
    #[must_use]
    pub fn for_members(members: usize, steps: &[ClassStep]) -> Self {
        let steps = if steps.is_empty() { &DEFAULT_STEPS } else { steps };
        match steps.iter().rev().find(|step| usize::from(step.members) <= members) {
            Some(step) => Self { k: step.k, n: step.n },
            None => Self { k: 1, n: u8::try_from(members).unwrap_or(COPIES_MAX).clamp(1, COPIES_MAX) },
        }
    }

    /// Every class that rings of these steps may have, and those of a network that names none: an object may still lie in it.
    #[must_use]
    pub fn all(steps: &[ClassStep]) -> BTreeSet<Self> {
        let copies = (1..=COPIES_MAX).map(|n| Self { k: 1, n });
        let coded = steps.iter().chain(&DEFAULT_STEPS).map(|step| Self { k: step.k, n: step.n });
        copies.chain(coded).collect()
    }

    /// How many shards may be lost.
    #[must_use]
    pub const fn losses(self) -> u8 {
        self.n.saturating_sub(self.k)
    }
}

/// Checks that each step has enough members for its shards, and more of them than the one before.
pub(crate) fn check_steps(steps: &[ClassStep]) -> Result<(), Error> {
    let mut before = 0;
    for ClassStep { members, k, n } in steps.iter().copied() {
        let is_codec = k >= 1 && k < n && usize::from(n) <= SHARDS_MAX;
        if !is_codec || members < u16::from(n) || members <= before {
            return Err(Error::Class { members, k, n });
        }
        before = members;
    }
    Ok(())
}
