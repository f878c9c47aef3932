//! How safe one object is.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::{Hash, ObjectId, PeerId};
use cosmic_erasure::{Codec, Manifest};

use super::lives::{Lives, Said};
use crate::{
    care::Care,
    error::Error,
    level::Level,
    message::shard::Indices,
    placement::Holding,
    receipt::{Held, Promise, Receipt},
    standing::Standing,
};

/// Whole copies below this many cannot be called durable, however small the ring is.
pub const DURABLE_COPIES_MIN: usize = 3;

/// Shards in place that are safely above the repair threshold of the class: a write waits for these ([`Care::wanted`]).
#[must_use]
pub const fn shards_wanted(codec: Codec) -> usize {
    Care::of(codec).wanted
}

/// The receipts for one object, in one coding.
#[derive(Debug, Clone)]
pub struct ObjectCustody {
    coding: ObjectId,
    codec: Codec,
    hashes: Vec<Hash>,
    lives: Lives<Kept>,
}

/// What one holder keeps of the object, in one life.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    shards: Indices,
    whole: bool,
}

/// How safe an object is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVerdict {
    /// The level.
    pub level: Level,
    /// The different shards that current members signed for.
    pub shards: Indices,
    /// Shards a write waits for.
    pub wanted: usize,
    /// Holders that keep at least one of them.
    pub holders: usize,
    /// Holders of which any may be lost together without losing the object.
    pub survives: u8,
    /// Zones of which any may be lost together without losing the object.
    pub survives_zones: u8,
    /// Whether the ring was too small for three copies when the object was coded.
    pub reduced: bool,
}

impl ObjectCustody {
    /// No receipts yet for the object of this manifest. A device recomputes the manifest from the object's bytes first;
    /// with a stranger's manifest the verdict would be about strange shards.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        Self {
            coding: manifest.coding(),
            codec: manifest.codec(),
            hashes: manifest.shards().to_vec(),
            lives: Lives::default(),
        }
    }

    /// Adds a verified receipt.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Foreign`] or [`Error::WrongShard`]: it can never count here, and is not kept.
    pub fn insert(&mut self, receipt: &Receipt, standing: &Standing) -> Result<(), Error> {
        let holder = receipt.holder;
        if !standing.contains(&holder) {
            return Err(Error::NotAMember { holder });
        }
        match receipt.held {
            Held::Shard { object, index, hash } if object == self.coding => {
                if self.hashes.get(usize::from(index)) != Some(&hash) {
                    return Err(Error::WrongShard { holder, index });
                }
                // A shard kept for another holder (hand-off) exists, but is not where it should be.
                let kept = receipt.promise == Promise::Keeps;
                self.lives.insert(receipt, |said| {
                    if kept {
                        said.shards.insert(index);
                    }
                });
            }
            Held::Object { object } if object == self.coding => {
                self.lives.insert(receipt, |said| said.whole = true);
            }
            Held::Log { .. } | Held::Shard { .. } | Held::Object { .. } => {
                return Err(Error::Foreign { holder });
            }
        }
        Ok(())
    }

    /// Adds a verified receipt that has just come: which life its holder lives now is learned from it first.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn hear(&mut self, receipt: &Receipt, standing: &mut Standing) -> Result<(), Error> {
        standing.observe(receipt);
        self.insert(receipt, standing)
    }

    /// How safe the object is.
    #[must_use]
    pub fn verdict(&self, standing: &Standing) -> ObjectVerdict {
        let said: Vec<_> = self.lives.current(standing).collect();
        let by_holder = spread(said.iter().map(|one| (one.peer, one.said.shards)));
        let by_zone = spread(zones(&said, standing).iter().map(|(zone, shards)| (zone, *shards)));
        let shards: Indices = said.iter().flat_map(|one| one.said.shards.iter()).collect();
        let (count, wanted) = (shards.len(), shards_wanted(self.codec));
        let survives = losses_survived(&by_holder, self.codec.k());
        let reduced = self.codec.is_copies() && self.codec.n() < DURABLE_COPIES_MIN;
        let whole = said.iter().filter(|one| one.said.whole).count();
        let level = if count >= wanted && survives > 0 && !reduced {
            Level::Durable { survives }
        } else if survives > 0 || (reduced && count >= wanted) {
            Level::Replicated
        } else if count >= self.codec.k() || whole > 0 {
            Level::Accepted
        } else {
            Level::Local
        };
        ObjectVerdict {
            level,
            shards,
            wanted,
            holders: said.iter().filter(|one| !one.said.shards.is_empty()).count(),
            survives,
            survives_zones: losses_survived(&by_zone, self.codec.k()),
            reduced,
        }
    }

    /// The name of the coding that the receipts are for: the object's id, unless it was coded anew.
    #[must_use]
    pub const fn coding(&self) -> ObjectId {
        self.coding
    }

    /// Every shard with everyone who keeps it, in the order of shards and holders.
    #[must_use]
    pub fn holdings(&self, standing: &Standing) -> Vec<(u8, Holding)> {
        let mut holdings: Vec<_> = self
            .lives
            .current(standing)
            .flat_map(|Said { peer, life, said }| {
                said.shards.iter().map(|index| (index, Holding { peer: *peer, incarnation: *life }))
            })
            .collect();
        holdings.sort_unstable_by_key(|(index, holding)| (*index, holding.peer));
        holdings
    }

    /// Whether `holder`, in the life it lives now, signed for shard `index`.
    #[must_use]
    pub fn keeps(&self, holder: &PeerId, index: u8, standing: &Standing) -> bool {
        self.lives.current(standing).any(|one| one.peer == holder && one.said.shards.contains(index))
    }

    /// Forgets the receipts of those who are no longer members.
    pub fn retain_members(&mut self, standing: &Standing) {
        self.lives.retain(standing);
    }
}

fn zones<'a>(said: &[Said<'_, Kept>], standing: &'a Standing) -> BTreeMap<&'a str, Indices> {
    let mut zones: BTreeMap<&str, Indices> = BTreeMap::new();
    for one in said {
        if let Some(zone) = standing.zone(one.peer) {
            let shards = zones.entry(zone).or_default();
            one.said.shards.iter().for_each(|index| shards.insert(index));
        }
    }
    zones
}

/// How many different shards each place answers for, when a shard that lies in several places is counted
/// once, where there are fewest.
fn spread<'a, P: Ord + 'a>(places: impl IntoIterator<Item = (&'a P, Indices)>) -> Vec<usize> {
    let places: BTreeMap<&P, Indices> = places.into_iter().collect();
    let mut counts: BTreeMap<&P, usize> = BTreeMap::new();
    let all: BTreeSet<u8> = places.values().flat_map(|shards| shards.iter()).collect();
    for index in all {
        let here = places.iter().filter(|(_, shards)| shards.contains(index)).map(|(place, _)| *place);
        if let Some(place) = here.min_by_key(|place| (counts.get(place).copied().unwrap_or(0), *place)) {
            *counts.entry(place).or_default() += 1;
        }
    }
    counts.into_values().collect()
}

/// How many places may be lost, the fullest first, while `enough` shards stay.
fn losses_survived(counts: &[usize], enough: usize) -> u8 {
    let mut fullest_first = counts.to_vec();
    fullest_first.sort_unstable_by(|one, other| other.cmp(one));
    let mut left: usize = counts.iter().sum();
    let mut losses = 0;
    for count in fullest_first {
        left -= count;
        if left < enough {
            break;
        }
        losses += 1;
    }
    losses
}
