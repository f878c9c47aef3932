//! Which gateway a device talks to: a few candidates drawn by capacity, asked how they are, and the best of them.
//!
//! The power of two choices, of the nearest: of those asked who are about as near as the nearest, the one with the least load for its
//! weight. A supernode that is full or about to leave is taken only if there is no other.

use std::time::Duration;

use cosmic_common::{
    id::PeerId,
    record::{Record, Shape},
};
use minicbor::{Decode, Decoder, Encode, decode::Error as DecodeError};

use crate::draw::Draw;

/// Candidates asked by a device that knows how far all of them are.
pub const ASKED: usize = 2;
/// Candidates asked as long as it does not: one of these is probably near.
pub const ASKED_UNKNOWN: usize = 4;
/// Supernodes that one which is about to leave names instead.
pub const ALTERNATIVES_MAX: usize = 3;
/// From this part of what it can take on, in thousandths, a supernode is full: the rest is for those who were sent by others.
const FULL_PERMILLE: u64 = 900;
/// Twice as far as the nearest, and this much more, is about as near: less does not matter to a person.
const NEAR_MORE: Duration = Duration::from_millis(20);

/// What a supernode says of itself to whoever asks: `/cosmic/gateway/1`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct GatewayReport {
    /// Sessions that are open.
    #[n(0)]
    pub sessions: u32,
    /// Sessions it takes.
    #[n(1)]
    pub sessions_max: u32,
    /// Whether it sends devices away.
    #[n(2)]
    pub leaving: bool,
    /// Others it is connected to, if it does; at most [`ALTERNATIVES_MAX`].
    #[cbor(n(3), decode_with = "few")]
    pub alternatives: Vec<PeerId>,
}

/// A supernode that could be the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The supernode.
    pub peer: PeerId,
    /// How much it takes, against others: the weight of its member record.
    pub weight: u16,
}

/// A candidate that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub candidate: Candidate,
    /// How long its answer took, if that was measured.
    pub round_trip: Option<Duration>,
    /// What it says of itself, if it does.
    pub report: Option<GatewayReport>,
}

/// Up to `count` of `candidates`, each drawn by weight from what is left.
#[must_use]
pub fn draw(candidates: &[Candidate], count: usize, seed: &[u8; 32]) -> Vec<Candidate> {
    let mut left = candidates.to_vec();
    left.sort_unstable_by_key(|candidate| candidate.peer);
    let mut draw = Draw::new("cosmic gateway 1", seed);
    std::iter::from_fn(|| take_weighted(&mut left, &mut draw)).take(count).collect()
}

/// Takes one out, the likelier the greater its weight.
fn take_weighted(left: &mut Vec<Candidate>, draw: &mut Draw) -> Option<Candidate> {
    let weight = |candidate: &Candidate| usize::from(candidate.weight.max(1));
    let mut ticket = draw.below(left.iter().map(weight).sum());
    let place = left.iter().position(|candidate| match ticket.checked_sub(weight(candidate)) {
        Some(rest) => {
            ticket = rest;
            false
        }
        None => true,
    })?;
    Some(left.remove(place))
}

/// The best of those that were seen; of equals the first.
#[must_use]
pub fn choose(seen: &[Seen]) -> Option<PeerId> {
    let best = seen.iter().map(Seen::trouble).min()?;
    let able = || seen.iter().filter(|seen| seen.trouble() == best);
    let nearest = able().filter_map(|seen| seen.round_trip).min();
    able()
        .filter(|seen| is_near(seen.round_trip, nearest))
        .min_by(|one, other| {
            // Sessions for each weight, by integers.
            let load = |of: &Seen, against: &Seen| of.load() * u64::from(against.candidate.weight.max(1));
            load(one, other).cmp(&load(other, one))
        })
        .map(|seen| seen.candidate.peer)
}

/// Whether `round_trip` is about as short as the shortest. Nothing measured is far if something is.
#[must_use]
pub fn is_near(round_trip: Option<Duration>, nearest: Option<Duration>) -> bool {
    match (round_trip, nearest) {
        (Some(round_trip), Some(nearest)) => round_trip <= nearest * 2 + NEAR_MORE,
        (None, Some(_)) => false,
        (_, None) => true,
    }
}

impl Seen {
    /// What speaks against it, the worse the greater: leaving, being full.
    fn trouble(&self) -> (bool, bool) {
        self.report.as_ref().map_or((false, false), |report| (report.leaving, report.is_full()))
    }

    fn load(&self) -> u64 {
        self.report.as_ref().map_or(0, |report| report.sessions.into())
    }
}

impl GatewayReport {
    /// Whether it would rather see devices at others.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.sessions) * 1000 >= u64::from(self.sessions_max) * FULL_PERMILLE
    }
}

fn few<C>(d: &mut Decoder<'_>, _context: &mut C) -> Result<Vec<PeerId>, DecodeError> {
    let position = d.position();
    let named: Vec<PeerId> = d.decode()?;
    if named.len() > ALTERNATIVES_MAX {
        return Err(DecodeError::message("more alternatives than allowed").at(position));
    }
    Ok(named)
}

impl Record for GatewayReport {
    const NAME: &'static str = "gateway report";
    // Three ids, two numbers, a truth.
    const LIMIT: usize = 160;
    const SHAPE: Shape = Shape::Value;
}
