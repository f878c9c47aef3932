//! How a reader finds enough shards of an object: a small machine that says whom to ask next.
//!
//! ```text
//! holders by the current table ─▶ the placement record ─▶ holders by earlier tables ─▶ "which have you?" to everyone
//! ```
//! The next source is opened when the ones before cannot yield enough, so that a ring that moved, a lost placement
//! record, or both, cost questions and never the object. A shard is asked for once at each holder; who wants to
//! try again begins a new search.

use std::collections::{BTreeSet, VecDeque};

use cosmic_common::{
    id::{ObjectId, PeerId},
    limit::SHARDS_MAX,
};
use cosmic_erasure::Codec;
use cosmic_ring::Table;

use super::place::{Assignment, plan_placement};
use crate::{message::shard::Indices, placement::Placement};

/// Holders asked at once "which indices have you?", so that a large ring is not asked all at once.
const WHICH_AT_ONCE: usize = 16;

/// A question to a holder. Each is answered exactly once, by [`Search::answered`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// `ShardRequest::Get`.
    Shard {
        /// Whom to ask.
        holder: PeerId,
        /// Which shard.
        index: u8,
    },
    /// `ShardRequest::GetPlacement`.
    Placement {
        /// Whom to ask.
        holder: PeerId,
    },
    /// `ShardRequest::Which`.
    Which {
        /// Whom to ask.
        holder: PeerId,
    },
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The shard, checked against the manifest.
    Shard,
    /// The placement record.
    Placement(Placement),
    /// The indices the holder says it has.
    Held(Indices),
    /// No answer, a refusal, or wrong bytes.
    Nothing,
}

/// Where a search looks, in this order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Holders by the current table.
    pub current: Vec<Assignment>,
    /// Who keeps the placement record.
    pub placement_keepers: Vec<PeerId>,
    /// Holders by earlier tables, the latest first.
    pub earlier: Vec<Assignment>,
    /// Everybody who may hold something.
    pub everyone: Vec<PeerId>,
}

impl Sources {
    /// Where to look for an object coded with `codec`: by the current table, by earlier ones (the latest first), and at
    /// all current members.
    #[must_use]
    pub fn of<'a>(
        object: &ObjectId,
        codec: Codec,
        current: &Table,
        earlier: impl IntoIterator<Item = &'a Table>,
    ) -> Self {
        Self {
            current: plan_placement(current, object, codec),
            placement_keepers: current.replicas(current.partition_of(object.as_bytes())).collect(),
            earlier: earlier.into_iter().flat_map(|table| plan_placement(table, object, codec)).collect(),
            everyone: current.sites().iter().map(|site| site.peer).collect(),
        }
    }
}

/// Whether a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Questions are open, or to be asked.
    Searching,
    /// Enough different shards were found.
    Enough,
    /// Everybody was asked, and these are all there are.
    Lost {
        /// The shards that were found.
        found: Indices,
    },
}

/// A search for any `enough` shards of one object.
#[derive(Debug)]
pub struct Search {
    enough: usize,
    spare: usize,
    hurries: usize,
    impatient: bool,
    pool: VecDeque<Assignment>,
    steps: VecDeque<Step>,
    asked: BTreeSet<Ask>,
    open: BTreeSet<Ask>,
    found: Indices,
}

#[derive(Debug)]
enum Step {
    Shards(Vec<Assignment>),
    Ask(Vec<Ask>),
}

impl Search {
    /// A search for `enough` different shards that asks `spare` more at first, so that one slow holder does not hold up
    /// the rest. Within a source, holders of lower `rank` are asked first (put those known to be away last).
    pub fn new(enough: usize, spare: usize, mut sources: Sources, rank: impl Fn(&PeerId) -> u64) -> Self {
        for shards in [&mut sources.current, &mut sources.earlier] {
            shards.sort_by_key(|shard| rank(&shard.holder));
        }
        sources.everyone.sort_by_key(|holder| rank(holder));
        let placement = sources.placement_keepers.into_iter().map(|holder| Ask::Placement { holder });
        let which: Vec<Ask> = sources.everyone.into_iter().map(|holder| Ask::Which { holder }).collect();
        let mut steps = VecDeque::from([Step::Ask(placement.collect()), Step::Shards(sources.earlier)]);
        steps.extend(which.chunks(WHICH_AT_ONCE).map(|some| Step::Ask(some.to_vec())));
        Self {
            enough,
            spare,
            hurries: 0,
            impatient: false,
            pool: sources.current.into(),
            steps,
            asked: BTreeSet::new(),
            open: BTreeSet::new(),
            found: Indices::default(),
        }
    }

    /// What to ask now. Call it at the start, after each answer and after [`Search::hurry`].
    pub fn asks(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        loop {
            while self.wants(self.spare) {
                let Some(shard) = self.draw() else { break };
                self.ask(Ask::Shard { holder: shard.holder, index: shard.index }, &mut asks);
            }
            let hints_are_open = self.open.iter().any(|ask| !matches!(ask, Ask::Shard { .. }));
            if !self.wants(0) || (hints_are_open && !self.impatient) {
                return asks;
            }
            self.impatient = false;
            match self.steps.pop_front() {
                None => return asks,
                Some(Step::Shards(shards)) => self.pool.extend(shards),
                Some(Step::Ask(hints)) => hints.into_iter().for_each(|hint| self.ask(hint, &mut asks)),
            }
        }
    }

    /// Takes in what came of an ask. Answers to what was not asked change nothing.
    pub fn answered(&mut self, ask: Ask, found: Found) {
        if !self.open.remove(&ask) {
            return;
        }
        match (ask, found) {
            (Ask::Shard { index, .. }, Found::Shard) => self.found.insert(index),
            (Ask::Placement { .. }, Found::Placement(placement)) => self.pool.extend(
                placement
                    .holders
                    .into_iter()
                    .filter(|(index, _)| usize::from(*index) < SHARDS_MAX)
                    .map(|(index, holding)| Assignment { index, holder: holding.peer }),
            ),
            (Ask::Which { holder }, Found::Held(indices)) => {
                self.pool.extend(indices.iter().map(|index| Assignment { index, holder }));
            }
            (Ask::Shard { .. } | Ask::Placement { .. } | Ask::Which { .. }, _) => {}
        }
    }

    /// Those who were asked take too long: one more holder is asked, or the next source opened, without giving
    /// up on them.
    pub fn hurry(&mut self) {
        self.hurries += 1;
        self.impatient = true;
    }

    /// Whether the search goes on.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let no_more_to_ask = self.steps.is_empty() && !self.pool.iter().any(|shard| self.is_news(shard));
        if self.found.len() >= self.enough {
            Outcome::Enough
        } else if self.open.is_empty() && no_more_to_ask {
            Outcome::Lost { found: self.found }
        } else {
            Outcome::Searching
        }
    }

    /// The shards found so far.
    #[must_use]
    pub const fn found(&self) -> Indices {
        self.found
    }

    /// Whether the open questions, all answered well, would not be enough.
    fn wants(&self, spare: usize) -> bool {
        let open = self.open_indices().filter(|index| !self.found.contains(*index)).count();
        self.found.len() < self.enough && self.found.len() + open < self.enough + spare + self.hurries
    }

    /// The next shard worth asking for: one that nobody is being asked for, or, in a hurry, any not found.
    fn draw(&mut self) -> Option<Assignment> {
        let fresh =
            |shard: &Assignment| self.is_news(shard) && !self.open_indices().any(|open| open == shard.index);
        let in_a_hurry = |shard: &Assignment| self.hurries > 0 && self.is_news(shard);
        let place = self.pool.iter().position(fresh).or_else(|| self.pool.iter().position(in_a_hurry))?;
        self.pool.remove(place)
    }

    fn is_news(&self, shard: &Assignment) -> bool {
        let ask = Ask::Shard { holder: shard.holder, index: shard.index };
        !self.found.contains(shard.index) && !self.asked.contains(&ask)
    }

    fn open_indices(&self) -> impl Iterator<Item = u8> {
        self.open.iter().filter_map(|ask| match ask {
            Ask::Shard { index, .. } => Some(*index),
            Ask::Placement { .. } | Ask::Which { .. } => None,
        })
    }

    fn ask(&mut self, ask: Ask, asks: &mut Vec<Ask>) {
        if self.asked.insert(ask) {
            self.open.insert(ask);
            asks.push(ask);
        }
    }
}
