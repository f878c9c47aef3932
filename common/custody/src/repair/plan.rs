//! The plan of one repair: what is missing, from whom k shards are read, who gets the new ones, and what it costs.

use cosmic_common::id::{ObjectId, PeerId};

use super::health::{Health, Ring, Subject};
use crate::{
    message::shard::Indices,
    plan::{fill::Fill, place::Assignment, target::Target},
};

/// What is to be done for one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairPlan {
    /// The object.
    pub object: ObjectId,
    /// From whom which shards are read: k of them, each different, nearest first; empty if nothing has to be rebuilt.
    pub read: Vec<Assignment>,
    /// Further copies, for when one of those fails.
    pub spare: Vec<Assignment>,
    /// Shards kept for an owner who is missing, which their keepers take over as their own (`ShardRequest::Keep`): no bytes move.
    pub adopt: Vec<Assignment>,
    /// Shards to be made again, with their new holders.
    pub make: Vec<Assignment>,
    /// Missing shards for which there is no holder now.
    pub homeless: Indices,
    /// How many new holders leave more than n - k shards to one zone or operator.
    pub beyond_limits: usize,
    /// Bytes that come to the one who repairs.
    pub read_bytes: u64,
    /// Bytes that leave him.
    pub write_bytes: u64,
}

impl RepairPlan {
    /// All bytes that are moved.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.read_bytes.saturating_add(self.write_bytes)
    }
}

/// Why an object cannot be mended now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// Fewer different shards than suffice can be read.
    #[error(
        "only {found} different shards are with holders that are there, {needed} suffice; it waits for others to come back"
    )]
    TooFewSources {
        /// Shards that can be read.
        found: usize,
        /// k.
        needed: usize,
    },
    /// Every member that is there and may take a shard has one already.
    #[error("every supernode that is there has a shard of it already; {missing} shards wait for another")]
    NoPlace {
        /// Shards without a place.
        missing: usize,
    },
}

/// Who repairs, and whom he may burden.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The supernode that repairs.
    pub me: PeerId,
    /// The ring.
    pub ring: Ring<'a>,
    /// Whether a member has room and is not distrusted. Those who are away are left out anyway.
    pub may_take: &'a dyn Fn(&PeerId) -> bool,
    /// The distance of a holder: the nearest are read first.
    pub rank: &'a dyn Fn(&PeerId) -> u64,
}

impl std::fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").field("me", &self.me).finish_non_exhaustive()
    }
}

/// The plan of the repair of `subject`, whose health was found to be `health`.
///
/// # Errors
/// [`Stuck`] if nothing can be done now.
pub fn plan_repair(subject: &Subject, health: &Health, means: &Means<'_>) -> Result<RepairPlan, Stuck> {
    plan_from(subject, subject, health, means)
}

/// The plan by which an object, of which `from` is one coding, is coded anew: what is missing of the other coding `subject`,
/// whose health was found to be `health`, is made from shards of `from`.
///
/// # Errors
/// [`Stuck`] if nothing can be done now.
pub fn plan_recode(
    from: &Subject,
    subject: &Subject,
    health: &Health,
    means: &Means<'_>,
) -> Result<RepairPlan, Stuck> {
    plan_from(from, subject, health, means)
}

fn plan_from(
    from: &Subject,
    subject: &Subject,
    health: &Health,
    means: &Means<'_>,
) -> Result<RepairPlan, Stuck> {
    let (ring, codec) = (means.ring, subject.codec);
    let is_present = |peer: &PeerId| ring.liveness.is_present(peer, ring.now);
    let adopt = adopted(subject, health, is_present);
    let mut rest = health.missing;
    adopt.iter().for_each(|shard| rest.remove(shard.index));

    // First where the table wants it, so that it need not move again: such a member may have a shard that another has too.
    let may_take = |peer: &PeerId| is_present(peer) && (means.may_take)(peer);
    let own = subject.copies.iter().filter(|copy| !copy.handed_off && health.counted.contains(copy.index));
    let own: Vec<Assignment> = own
        .map(|copy| Assignment { index: copy.index, holder: copy.holder })
        .chain(adopt.iter().copied())
        .collect();
    let target = Target::of(ring.table, &subject.object, codec, &own, means.may_take);
    let mut make = target.wanted;
    make.retain(|shard| rest.contains(shard.index) && is_present(&shard.holder));
    make.iter().for_each(|shard| rest.remove(shard.index));
    // Whoever has a copy of his own, away or not, gets no second shard of the object besides: it may come back.
    let occupied: Vec<PeerId> = own.iter().chain(&make).map(|copy| copy.holder).collect();
    let fill = Fill { table: ring.table, object: subject.object, codec, may_take };
    let filled = fill.fill(rest, &occupied);
    make.extend(filled.places);
    if adopt.is_empty() && make.is_empty() {
        return Err(Stuck::NoPlace { missing: filled.homeless.len() });
    }
    let (read, spare) = if make.is_empty() { (Vec::new(), Vec::new()) } else { sources(from, means)? };
    let is_mine = |shard: &&Assignment| shard.holder == means.me;
    let cost = |shards: &[Assignment], of: &Subject| {
        let moved = shards.len() - shards.iter().filter(is_mine).count();
        of.shard_bytes.saturating_mul(u64::try_from(moved).unwrap_or(u64::MAX))
    };
    Ok(RepairPlan {
        object: subject.object,
        read_bytes: cost(&read, from),
        write_bytes: cost(&make, subject),
        read,
        spare,
        adopt,
        make,
        homeless: filled.homeless,
        beyond_limits: filled.beyond_limits,
    })
}

/// Missing shards that somebody who is there, and has no shard of his own of the object, keeps for the owner.
fn adopted(subject: &Subject, health: &Health, is_present: impl Fn(&PeerId) -> bool) -> Vec<Assignment> {
    let mut adopt: Vec<Assignment> = Vec::new();
    for copy in subject.copies.iter().filter(|copy| copy.handed_off) {
        let has_own = subject.copies.iter().any(|other| other.holder == copy.holder && !other.handed_off);
        let is_taken = adopt.iter().any(|taken| taken.index == copy.index || taken.holder == copy.holder);
        if health.missing.contains(copy.index) && is_present(&copy.holder) && !has_own && !is_taken {
            adopt.push(Assignment { index: copy.index, holder: copy.holder });
        }
    }
    adopt
}

/// The k nearest different shards, and what is there besides.
fn sources(subject: &Subject, means: &Means<'_>) -> Result<(Vec<Assignment>, Vec<Assignment>), Stuck> {
    let ring = means.ring;
    let mut all: Vec<Assignment> =
        subject.held().filter(|copy| ring.liveness.is_present(&copy.holder, ring.now)).collect();
    all.sort_by_key(|copy| (copy.holder != means.me, (means.rank)(&copy.holder), *copy));
    let (mut read, mut spare, mut seen) = (Vec::new(), Vec::new(), Indices::default());
    for copy in all {
        if read.len() < subject.codec.k() && !seen.contains(copy.index) {
            seen.insert(copy.index);
            read.push(copy);
        } else {
            spare.push(copy);
        }
    }
    if read.len() < subject.codec.k() {
        return Err(Stuck::TooFewSources { found: read.len(), needed: subject.codec.k() });
    }
    Ok((read, spare))
}
