//! A walk through the directory: whom to ask next about a key, when those who stand closest to it may stand there on purpose.
//!
//! ```text
//! heard of ──asked──▶ asking ──▶ answered, and named others
//!     │                  └─────▶ failed: counts against those who named it
//!     └ of a subnet that was asked twice, or named by nobody who is believed: spared, unless there are too few others
//! ```
//!
//! Kademlia asks the twenty closest it hears of. Ids are free, so that somebody with one machine can be all twenty. Here a
//! subnet is asked twice, and the walk goes on until it has covered the region in which twenty honest ones are to be expected,
//! however many have crowded between them and the key. A record is signed, so one honest holder is enough.

use std::collections::{BTreeMap, HashMap, HashSet};

use cosmic_common::{hash, id::PeerId};
use libp2p::Multiaddr;

use super::place::{Distance, Place};
use crate::guard::Block;

/// Servers that keep a record, and that are asked for it, if there are so many (Kademlia's k).
pub(crate) const NEAREST: usize = 20;
/// Servers of one subnet asked by a walk, as many as stand in a bucket.
const OF_SUBNET_MAX: usize = 2;
/// Servers asked at once: a round of silent ones costs one patience, and ten rounds fit into that of a caller.
const PARALLEL: usize = 10;
/// Servers asked by one walk: sixty that crowd around a key, those beyond them, and those that are not there.
const ASKED_MAX: usize = 160;
/// Servers one walk hears of; of more it forgets the farthest.
const HEARD_MAX: usize = 1024;
/// Servers named by somebody that may be silent or not have answered yet, beside as many as have answered. Honest servers name
/// those that answered them; who names more that are not there makes them up.
const DOUBTS_MAX: usize = 4;
/// Servers an answer names because they are closest to the key.
pub(crate) const NAMED_CLOSEST: usize = 20;
/// Servers an answer names beside those, evenly from all that are known: whoever crowds around a key displaces none of these.
pub(crate) const NAMED_SPREAD: usize = 12;

/// A server of the directory, and where it may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) peer: PeerId,
    pub(crate) place: Place,
    pub(crate) addresses: Vec<Multiaddr>,
    /// Where it counts to; nowhere if it is of this machine or its own network.
    pub(crate) subnets: Vec<Block>,
}

/// The walk.
#[derive(Debug)]
pub(crate) struct Walk {
    local: PeerId,
    target: Place,
    region: Distance,
    seed: [u8; 32],
    heard: BTreeMap<Distance, Heard>,
    /// What became of those whom each server named.
    tellers: HashMap<PeerId, Teller>,
    asked_of: HashMap<Block, usize>,
    asking: usize,
    asked: usize,
}

#[derive(Debug)]
struct Heard {
    server: Server,
    /// Who named it; nobody if it stands in the own table.
    tellers: HashSet<PeerId>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// `spared`: it counted no more for what an honest network looks like.
    Asking {
        spared: bool,
    },
    Answered {
        spared: bool,
    },
    Failed,
}

#[derive(Debug, Default)]
struct Teller {
    answered: usize,
    doubtful: usize,
}

impl Walk {
    /// To `target`, from the own `table`; `seed` decides what nobody should foresee.
    pub(crate) fn new(local: (PeerId, Place), target: Place, table: Vec<Server>, seed: [u8; 32]) -> Self {
        let (local, place) = local;
        let region = region(place, table.iter().map(|server| server.place));
        let mut walk = Self {
            local,
            target,
            region,
            seed,
            heard: BTreeMap::new(),
            tellers: HashMap::new(),
            asked_of: HashMap::new(),
            asking: 0,
            asked: 0,
        };
        for server in table {
            walk.hear(server, None);
        }
        walk
    }

    /// Whom to ask now, and near which place for others. With nobody to ask and nobody being asked the walk is over.
    pub(crate) fn next(&mut self) -> Option<(Server, Place)> {
        if self.asking >= PARALLEL || self.asked >= ASKED_MAX {
            return None;
        }
        let near = self.near();
        let (distance, spared) = self.choose(&near)?;
        let heard = self.heard.get_mut(&distance)?;
        heard.state = State::Asking { spared };
        self.asking += 1;
        self.asked += 1;
        for subnet in &heard.server.subnets {
            *self.asked_of.entry(*subnet).or_default() += 1;
        }
        let (server, tellers) = (heard.server.clone(), heard.tellers.clone());
        self.each_teller(&tellers, |teller| teller.doubtful += 1);
        Some((server, near))
    }

    /// Where the next step leads: to the key, and every other time somewhere else in its region, which nobody has crowded.
    fn near(&self) -> Place {
        if self.asked.is_multiple_of(2) {
            return self.target;
        }
        let drawn = hash::derive("cosmic directory walk 1", &[&self.seed, &self.asked.to_be_bytes()]);
        self.target.at(self.region.scaled(drawn))
    }

    /// Whether nobody is being asked.
    pub(crate) const fn is_idle(&self) -> bool {
        self.asking == 0
    }

    /// Somebody who was asked has answered, and named others.
    pub(crate) fn answered(&mut self, server: &Server, named: Vec<Server>) {
        let tellers = self.settle(server, true);
        self.each_teller(&tellers, |teller| {
            teller.doubtful -= 1;
            teller.answered += 1;
        });
        for other in named.into_iter().take(NAMED_CLOSEST + NAMED_SPREAD) {
            self.hear(other, Some(server.peer));
        }
    }

    /// Somebody who was asked did not answer: it stays a doubt about whoever named it.
    pub(crate) fn failed(&mut self, server: &Server) {
        self.settle(server, false);
    }

    fn settle(&mut self, server: &Server, answered: bool) -> HashSet<PeerId> {
        let heard = self.heard.get_mut(&self.target.distance(&server.place));
        let Some(heard) = heard else { return HashSet::new() };
        let State::Asking { spared } = heard.state else { return HashSet::new() };
        heard.state = if answered { State::Answered { spared } } else { State::Failed };
        self.asking -= 1;
        heard.tellers.clone()
    }

    fn each_teller(&mut self, tellers: &HashSet<PeerId>, change: impl Fn(&mut Teller)) {
        for teller in tellers {
            change(self.tellers.entry(*teller).or_default());
        }
    }

    fn hear(&mut self, server: Server, teller: Option<PeerId>) {
        if server.peer == self.local {
            return;
        }
        let distance = self.target.distance(&server.place);
        if let Some(known) = self.heard.get_mut(&distance) {
            // Who named it before it was asked is judged by it; the own table is judged by nobody.
            if known.state == State::Waiting && !known.tellers.is_empty() {
                known.tellers.extend(teller);
            }
            return;
        }
        let heard = Heard { server, tellers: teller.into_iter().collect(), state: State::Waiting };
        self.heard.insert(distance, heard);
        if self.heard.len() > HEARD_MAX
            && let Some(farthest) = self.heard.iter().rev().find(|(_, heard)| heard.state == State::Waiting)
        {
            let farthest = *farthest.0;
            self.heard.remove(&farthest);
        }
    }

    /// Whom to ask near a place, and whether it is one of those that are spared.
    fn choose(&self, near: &Place) -> Option<(Distance, bool)> {
        let border = self.border();
        let within = self.heard.iter().take_while(|(distance, _)| **distance <= border);
        let waiting: Vec<_> = within.filter(|(_, heard)| heard.state == State::Waiting).collect();
        let closest = |of: &dyn Fn(&Heard) -> bool| {
            let all = waiting.iter().filter(|(_, heard)| of(heard));
            all.min_by_key(|(_, heard)| near.distance(&heard.server.place)).map(|(distance, _)| **distance)
        };
        if let Some(distance) = closest(&|heard| self.counts(heard)) {
            return Some((distance, false));
        }
        // In a network of a few subnets there may be nobody else; in a large one nobody gets here.
        let few = self.is_idle() && self.answers() < NEAREST;
        let spared = few.then(|| closest(&|heard| self.is_believed(heard)).or_else(|| closest(&|_| true)));
        spared.flatten().map(|distance| (distance, true))
    }

    /// How far from the key somebody is still asked.
    fn border(&self) -> Distance {
        let honest = self.heard.iter().filter(|(_, heard)| heard.state == State::Answered { spared: false });
        let nearest = honest.map(|(distance, _)| *distance).nth(NEAREST - 1);
        nearest.map_or(Distance::MAX, |nearest| nearest.max(self.region))
    }

    fn answers(&self) -> usize {
        self.heard.values().filter(|heard| matches!(heard.state, State::Answered { .. })).count()
    }

    fn counts(&self, heard: &Heard) -> bool {
        let asked = |subnet| self.asked_of.get(subnet).copied().unwrap_or_default();
        heard.server.subnets.iter().all(|subnet| asked(subnet) < OF_SUBNET_MAX) && self.is_believed(heard)
    }

    fn is_believed(&self, heard: &Heard) -> bool {
        let trusted = |teller: &PeerId| {
            let known = self.tellers.get(teller);
            known.is_none_or(|teller| teller.doubtful < teller.answered + DOUBTS_MAX)
        };
        heard.tellers.is_empty() || heard.tellers.iter().any(trusted)
    }
}

/// How far from a key its twenty nearest servers stand: as far as one's own twenty nearest stand from oneself, since honest ids
/// are spread evenly. Whoever knows fewer has a network before him that is asked as a whole.
fn region(own: Place, table: impl Iterator<Item = Place>) -> Distance {
    let mut distances: Vec<_> = table.map(|place| own.distance(&place)).collect();
    distances.sort_unstable();
    distances.into_iter().nth(NEAREST - 1).unwrap_or(Distance::MAX)
}

/// Whom a server names to somebody who asks for `target`: the closest it knows, few of one subnet, and some of all others.
pub(crate) fn named(target: &Place, mut table: Vec<Server>) -> Vec<Server> {
    table.sort_by_cached_key(|server| target.distance(&server.place));
    let mut of: HashMap<Block, usize> = HashMap::new();
    let mut close = 0;
    let (mut named, others): (Vec<_>, Vec<_>) = table.into_iter().partition(|server| {
        let count = |subnet| of.get(subnet).copied().unwrap_or_default();
        let chosen =
            close < NAMED_CLOSEST && server.subnets.iter().all(|subnet| count(subnet) < OF_SUBNET_MAX);
        if chosen {
            close += 1;
            server.subnets.iter().for_each(|subnet| *of.entry(*subnet).or_default() += 1);
        }
        chosen
    });
    let step = others.len().div_ceil(NAMED_SPREAD).max(1);
    named.extend(others.into_iter().step_by(step));
    named
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod crowd;
