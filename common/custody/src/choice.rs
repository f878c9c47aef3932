//! Which class objects are coded in now, and when one that lies in another is coded anew.
//!
//! The class follows from D: the members that are there and can all be used for one object at once without any zone or
//! operator getting more than may be lost. A ring in one zone, or of one operator, cannot obey; that is allowed and told.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_erasure::Codec;
use cosmic_ring::{Class, ClassStep, Site, class::DEFAULT_STEPS};

/// How long another class must have been the right one before anything is coded anew: longer than the patience of
/// every class, so that a ring that loses and regains a member moves nothing.
pub const RECODE_AFTER: Duration = Duration::from_hours(48);

/// The class for new objects, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The class.
    pub class: Class,
    /// D: members that could each take a shard of one object of that class within the limits.
    pub usable: usize,
    /// All of them stand in one zone: the loss of it is the loss of everything.
    pub one_zone: bool,
    /// All of them are one operator's.
    pub one_operator: bool,
}

impl Choice {
    /// The class for those of `sites` that are there: the widest of `steps` (the default ones if there are none) that
    /// enough members can be used for; whole copies below the first.
    #[must_use]
    pub fn of(sites: &[Site], is_there: impl Fn(&PeerId) -> bool, steps: &[ClassStep]) -> Self {
        let there: Vec<&Site> = sites.iter().filter(|site| is_there(&site.peer)).collect();
        let zones = sizes(there.iter().map(|site| &site.zone));
        let operators = sizes(there.iter().map(|site| site.operator));
        let usable = |class: Class| {
            let losses = usize::from(class.losses()).max(1);
            within(&zones, losses).min(within(&operators, losses))
        };
        let steps = if steps.is_empty() { &DEFAULT_STEPS } else { steps };
        let coded =
            steps.iter().rev().map(|step| (Class { k: step.k, n: step.n }, usize::from(step.members)));
        let class = coded
            .into_iter()
            .find(|(class, members)| usable(*class) >= *members)
            .map_or_else(|| Class::for_members(there.len(), &[NEVER]), |(class, _members)| class);
        Self { class, usable: usable(class), one_zone: zones.len() == 1, one_operator: operators.len() == 1 }
    }
}

/// A step no ring reaches, so that what is left is whole copies.
const NEVER: ClassStep = ClassStep { members: u16::MAX, k: 1, n: 2 };

fn sizes<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<usize> {
    let mut sizes: BTreeMap<K, usize> = BTreeMap::new();
    keys.for_each(|key| *sizes.entry(key).or_default() += 1);
    sizes.into_values().collect()
}

/// How many members groups of these sizes give for one object, at most `most` each where there are several.
fn within(sizes: &[usize], most: usize) -> usize {
    let most = if sizes.len() > 1 { most } else { usize::MAX };
    sizes.iter().map(|size| most.min(*size)).sum()
}

/// Whether an object is coded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recode {
    /// It lies in the right class.
    Not,
    /// The right class is another, but not for long enough yet.
    Later {
        /// The class it would get.
        class: Class,
        /// When it is time.
        from: Timestamp,
    },
    /// Into this class, in the background.
    Now {
        /// The class it gets.
        class: Class,
    },
}

/// Since when the class of the ring has been what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recoding {
    class: Class,
    since: Timestamp,
}

impl Recoding {
    /// The ring has this class from `now` on.
    #[must_use]
    pub const fn new(class: Class, now: Timestamp) -> Self {
        Self { class, since: now }
    }

    /// The class the ring has now; another one than before begins to wait anew.
    pub fn observe(&mut self, class: Class, now: Timestamp) {
        if class != self.class {
            *self = Self::new(class, now);
        }
    }

    /// The class the ring has, and since when.
    #[must_use]
    pub const fn since(&self) -> (Class, Timestamp) {
        (self.class, self.since)
    }

    /// Whether an object coded with `codec` is coded anew, when a class has to last for `rest` ([`RECODE_AFTER`]).
    #[must_use]
    pub fn verdict(&self, codec: Codec, rest: Duration, now: Timestamp) -> Recode {
        self.verdict_in(self.class, codec, rest, now)
    }

    /// The same in a ring of this class, which may be another than the one that is observed: spaces are placed in the rings of
    /// their regions, and a supernode observes the ring that it stands in.
    #[must_use]
    pub fn verdict_in(&self, class: Class, codec: Codec, rest: Duration, now: Timestamp) -> Recode {
        let from = self.since.after(rest);
        if (codec.k(), codec.n()) == (usize::from(class.k), usize::from(class.n)) {
            Recode::Not
        } else if now < from {
            Recode::Later { class, from }
        } else {
            Recode::Now { class }
        }
    }
}
