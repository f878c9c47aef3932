//! Recode: an object that lies in another class than the ring has now is coded anew, beside the coding it has.
//!
//! ```text
//!          the class has lasted           wanted shards signed for        twice, a delay apart
//! in place ─────────────────▶ coded anew ────────────────────────▶ both ─────────────────────▶ the old shards are freed
//!    ▲                            │ fewer: from the old one, again    │ the new one fell below: kept for longer
//!    └──────── danger first ──────┘◀──────────────────────────────────┘
//! ```
//! Whoever has a shard of one coding asks what there is of the others, and decides for his own alone. Nobody coordinates.

use cosmic_erasure::Codec;
use cosmic_ring::Class;

use crate::{
    care::Care,
    choice::Recode,
    repair::health::{Health, Need},
};

/// One coding of an object, and how it is.
#[derive(Debug, Clone, Copy)]
pub struct Coded {
    /// How it is coded.
    pub codec: Codec,
    /// How it is.
    pub health: Health,
}

/// What becomes of one coding of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It is looked after like any other.
    Care,
    /// Another coding of the object is better off: that one is looked after.
    Leave,
    /// The object is coded anew from it.
    Recode(Codec),
    /// The object lies safely in the ring's class: the shards of this coding may go ([`crate::release`]).
    GiveUp(Codec),
}

impl Coded {
    fn margin(&self) -> isize {
        let count = |number: usize| isize::try_from(number).unwrap_or(isize::MAX);
        count(self.health.readable.len()) - count(self.codec.k())
    }

    fn is_readable(&self) -> bool {
        self.margin() >= 0
    }

    /// Whether it is as safe as a write makes an object.
    fn is_safe(&self) -> bool {
        self.health.counted.len() >= Care::of(self.codec).wanted
    }

    /// What becomes of this coding, when `others` are known of the same object, `recode` is the verdict on its class, and
    /// the ring has so many `places`.
    #[must_use]
    pub fn course(&self, others: &[Self], recode: Recode, places: usize) -> Course {
        let Some(class) = self.due(recode, places) else {
            // In the class of the ring it is looked after as long as it can be; elsewhere only the best coding is.
            let is_better = |other: &Self| other.is_readable() && other.margin() > self.margin();
            let is_looked_after = recode == Recode::Not && self.is_readable();
            return if !is_looked_after && others.iter().any(is_better) {
                Course::Leave
            } else {
                Course::Care
            };
        };
        let right = others.iter().find(|other| other.codec == class);
        if right.is_some_and(Self::is_safe) {
            return Course::GiveUp(class);
        }
        let is_endangered = self.health.need >= Need::Repair && places >= self.codec.n();
        if self.is_readable() && !is_endangered {
            return Course::Recode(class);
        }
        let is_as_good = |other: &Self| other.is_readable() && other.margin() >= self.margin();
        if right.is_some_and(is_as_good) { Course::Leave } else { Course::Care }
    }

    /// The class it is to be coded in, if it is time. A ring that has no place for the shards that are missing does not wait
    /// until the object is lost.
    fn due(&self, recode: Recode, places: usize) -> Option<Codec> {
        let is_lost_soon = self.health.need == Need::Panic && places < self.codec.n();
        let Class { k, n } = match recode {
            Recode::Now { class } => class,
            Recode::Later { class, .. } if is_lost_soon => class,
            Recode::Not | Recode::Later { .. } => return None,
        };
        Codec::new(k, n).ok()
    }
}
